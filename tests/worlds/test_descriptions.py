"""What every registered world's description must have in order."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dreamgym.controller.linear import LinearController
from dreamgym.errors import ConfigError, ObservationError
from dreamgym.fidelity import fixed_policies
from dreamgym.worlds.base import ActionSet, FidelityCases, Handicap, Preprocess, World
from dreamgym.worlds.registry import find, names

CONTROLLERS = {"controller", "disturbed_controller", "blinded_controller"}


@pytest.fixture(params=names())
def world(request: pytest.FixtureRequest) -> World:
    return find(request.param)


def test_every_player_that_is_named_exists_and_can_be_sent_to_a_process(world: World) -> None:
    recordings = [*world.recordings.values(), *([world.own_recording] if world.own_recording else [])]
    recorded = {name for recording in recordings for name in recording.mix} - CONTROLLERS
    cases = world.fidelity
    assert recorded | {*cases.players, *cases.skilled, *cases.fast} <= world.players.keys()
    for name, factory in world.players.items():
        assert callable(pickle.loads(pickle.dumps(factory))().act), name


def test_shares_of_recordings_add_up(world: World) -> None:
    for recording in world.recordings.values():
        assert sum(recording.mix.values()) == pytest.approx(1.0)


def test_probes_and_handicaps_fit_the_actions(world: World) -> None:
    low, high = np.array(world.actions.low), np.array(world.actions.high)
    for parts in world.probes.values():
        for steps, action in parts:
            assert steps > 0
            assert (low <= np.array(action)).all() and (np.array(action) <= high).all()
    for each in world.fidelity.handicaps:
        assert {len(numbers) for numbers in (each.scale, each.offset) if numbers} == {world.actions.size}


def test_car_racing_is_compared_on_its_38_policies() -> None:
    world = find("CarRacing")
    controller = LinearController.from_parameters(np.random.default_rng(0).normal(size=867))
    policies = list(fixed_policies(controller, world, 32))
    assert len(policies) == 38
    named = {"gas 75%", "steering 50%", "pulls right 0.3", "no brake", "delay 8", "inertia 0.5", "sees no h"}
    assert named | {"weights disturbed 25% b", "action noise 0.05", "random linear a"} <= {*policies}
    assert policies[-6:] == ["still", "spin", "circle", "reverse", "wait off the road", "straight on"]


def described(**changes: Any) -> World:
    return replace(find("CarRacing"), **changes)


def actions(**changes: Any) -> ActionSet:
    return replace(find("CarRacing").actions, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 50.0}, "fps: expected a whole number"),
        ({"max_episode_steps": 0}, "max_episode_steps: expected a whole number"),
        ({"preprocess": Preprocess((8, 8, 3), np.array, version=0)}, "preprocess.version: expected a whole number"),
        ({"aspect": 0.0}, "aspect: expected width over height"),
        ({"aspect": float("nan")}, "aspect: expected width over height"),
        ({"actions": actions(low=(0.0, 0.0, 0.0))}, "a range of steering that holds -1 to 1"),
        ({"actions": actions(high=(1.0, 0.5, 1.0))}, "a range of gas that holds 0 to 1"),
        ({"actions": actions(discrete=((0.0, 0.0, 2.0),) * 5)}, "discrete actions in .* got .*2.0"),
        ({"fidelity": FidelityCases(fast=("nobody",))}, "some of the players .* got .*nobody"),
        ({"fidelity": FidelityCases(handicaps=(Handicap("pulls", offset=(0.1,)),))}, "3 numbers in each handicap"),
        ({"probes": {"still": ((1, (0.0, 0.0)),)}}, "3 numbers in each handicap and action"),
    ],
)
def test_what_would_fail_after_the_training_is_refused_before(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        described(**changes)


@pytest.mark.parametrize(
    ("convert", "made"),
    [
        (lambda frames: np.zeros((64, 64, 3), np.uint8), r"\(64, 64, 3\)"),  # of single frames only
        (lambda frames: np.zeros((*frames.shape[:-3], 64, 64, 3)), "float64"),
        (lambda frames: frames, r"\(2, 8, 8, 3\)"),
    ],
)
def test_a_conversion_that_makes_no_pictures_for_v_is_refused(convert: Any, made: str) -> None:
    with pytest.raises(ObservationError, match=rf"expected uint8 of shape \(2, 64, 64, 3\) .*got .*{made}"):
        Preprocess((8, 8, 3), convert)(np.zeros((2, 8, 8, 3), np.uint8))
