"""Who can play."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgym.errors import BundleNotFoundError, ConfigError
from dreamgym.play.players import choose, players
from dreamgym.world_model import WorldModel


def test_missing_controller_is_reported_with_the_remedy(make_world_model: object, tmp_path: Path) -> None:
    world = make_world_model()  # type: ignore[operator]
    world.controller = None
    found = players(world)
    assert [player.label for player in found] == ["You", "Random"]
    with pytest.raises(BundleNotFoundError, match="--controller"):
        choose(found, "controller")


def test_statistics_are_an_archives_alone(toy_world_model: WorldModel, tmp_path: Path) -> None:
    for controller in (None, tmp_path / "mine.safetensors"):
        with pytest.raises(ConfigError, match="vec_normalize: expected an SB3 archive"):
            players(toy_world_model, controller, vec_normalize=tmp_path / "statistics.pkl")


def test_given_controller_comes_before_the_bundles_own(toy_world_model: WorldModel, tmp_path: Path) -> None:
    assert toy_world_model.controller is not None
    toy_world_model.controller.save(tmp_path / "mine.safetensors")
    found = players(toy_world_model, tmp_path / "mine.safetensors")
    assert [player.label for player in found] == ["You", "mine", "Controller", "Random"]
    assert choose(found, "controller") == 1
