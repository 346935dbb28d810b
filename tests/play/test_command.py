"""The command that opens the window."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgym.config import PlayConfig
from dreamgym.data.seeds import COLLECTION_SEEDS
from dreamgym.errors import ConfigError, UntrustedPickleError
from dreamgym.play.command import make_session
from tests.support.corridor import corridor_model


def test_seeds_of_play_are_fresh_and_no_collections(toy_bundle: Path) -> None:
    seeds = set()
    for _ in range(3):
        session = make_session(PlayConfig(world_model=toy_bundle, view="dream"), "random")
        seeds.add(session.seed)
        session.close()
    assert len(seeds) == 3
    assert all(seed in COLLECTION_SEEDS and seed >= COLLECTION_SEEDS.start + 900 * 1_000_000 for seed in seeds)


def test_session_is_as_it_was_asked_for(toy_bundle: Path) -> None:
    asked = PlayConfig(world_model=toy_bundle, view="reality", player="random", temperature=0.7, max_steps=7, seed=5)
    session = make_session(asked, "you")
    assert (session.view, session.player.name, session.seed) == ("reality", "random_keys", 5)
    assert session.dream.temperature == pytest.approx(0.7)
    assert session.real.max_steps == session.dream.max_steps == 7
    session.close()


def test_archive_is_not_unpickled_unless_it_is_trusted(toy_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.zip").touch()
    with pytest.raises(UntrustedPickleError, match="--trust-pickle"):
        make_session(PlayConfig(world_model=toy_bundle, view="dream", controller=tmp_path / "mine.zip"), "you")


def test_bundle_whose_key_is_a_commands_is_refused(tmp_path: Path) -> None:
    world_model = corridor_model()
    world_model.card["actions"]["keys"][0]["keys"] = ["space"]
    world_model.save(tmp_path / "bundle")
    with pytest.raises(ConfigError, match="'space': the world has it"):
        make_session(PlayConfig(world_model=tmp_path / "bundle", view="dream"), "you")
