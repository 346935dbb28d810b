"""Speed in the dream and in reality."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dreamgym.evaluate import evaluate_dream
from dreamgym.fidelity.policies import Scripted
from dreamgym.fidelity.speed_check import check_speed, has_progress, uncapped
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.episodes_by_hand import make_episode, score


def test_without_the_cap_speed_is_the_same_and_no_lap_ends(toy_world_model: WorldModel) -> None:
    controller = toy_world_model.controller
    assert controller is not None
    dreams = {
        name: evaluate_dream(controller, range(6), world_model=world, max_episode_steps=200)
        for name, world in (("capped", replace(toy_world_model, card={**toy_world_model.card, "lap_units": 5.0})),
                            ("endless", uncapped(toy_world_model)),
                            ("long", replace(toy_world_model, card={**toy_world_model.card, "lap_units": 5e3})))
    }  # fmt: skip
    assert any(dream.complete for dream in dreams["capped"])
    assert not any(dream.complete for dream in dreams["endless"])
    for endless, long in zip(dreams["endless"], dreams["long"], strict=True):
        assert endless.length == long.length
        assert endless.fastest_window * endless.units == pytest.approx(long.fastest_window * long.units, rel=1e-2)


def test_speeds_are_as_by_hand(toy_world_model: WorldModel) -> None:
    # 100 steps of an episode with one tile in each step beat the score's 280 / 1000 tiles a point.
    quick = make_episode(120, rewards=np.full(120, 9.9, np.float32), complete=True, terminated=True)
    found = check_speed(
        {"still": Scripted((1, (0.0, 0.0, 0.0)))},
        [score(0.0, window=50.0, lap=700)],
        [quick],
        [score(0.0, lap=110)],
        range(2),
        toy_world_model,
        1.0,
        max_episode_steps=20,
    )
    assert found["real_units_in_100_steps"] == pytest.approx(100)
    assert (found["real_lap_steps"], found["dream_lap_steps"]) == (120, 110)
    assert found["passes"] is False  # a lap of 110 steps
    assert found["dream_policy"] == "still"
    slower = check_speed(
        {"still": Scripted((1, (0.0, 0.0, 0.0)))}, [], [quick], [], range(2), toy_world_model, 1.0, max_episode_steps=20
    )
    assert slower["passes"] is True


def test_speed_is_compared_where_progress_can_be_complete() -> None:
    assert has_progress(find("CarRacing"), find("CarRacing").rewards)
    assert not has_progress(find("DoomTakeCover"), find("DoomTakeCover").rewards)
