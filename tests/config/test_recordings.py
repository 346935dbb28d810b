"""Settings of a collection."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgym.config import CollectConfig
from dreamgym.config.recordings import CONTROLLERS
from dreamgym.errors import ConfigError
from dreamgym.worlds.registry import find, names


def test_every_player_has_a_share_that_the_command_line_can_set(tmp_path: Path):
    for world in names():
        shares = CollectConfig.of(world, out=tmp_path).mix
        assert set(shares) == {*find(world).players, *CONTROLLERS}
        assert sum(shares.values()) == pytest.approx(1.0)
    assert CollectConfig(out=tmp_path) == CollectConfig.of(out=tmp_path)


def test_settings_may_be_those_of_one_of_the_worlds_recordings(tmp_path: Path):
    aimless = CollectConfig.of(recording="aimless", out=tmp_path)
    assert (aimless.frames, aimless.lengths) == (120_000, (150, 150, 300, 500, 1000))
    assert {name for name, share in aimless.mix.items() if share} == {"aimless_follower", "leaving_follower"}
    own = CollectConfig.of("doom-take-cover", "own", out=tmp_path, frames=7)
    assert own.frames == 7 and own.mix["controller"] == 0.5
    with pytest.raises(ConfigError, match=r"recording: expected one of \['scripted', 'aimless', 'own'\], got 'cat'"):
        CollectConfig.of(recording="cat", out=tmp_path)


def test_episodes_that_no_file_could_hold_are_refused(tmp_path: Path):
    assert CollectConfig(out=tmp_path, lengths=(40_000,)).lengths == (40_000,)
    with pytest.raises(ConfigError, match="lengths: expected positive numbers of at most 40000, got"):
        CollectConfig(out=tmp_path, lengths=(100, 40_001))
