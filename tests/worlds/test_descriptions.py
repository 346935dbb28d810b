"""What every registered world's description must have in order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from dreamgym.controller.linear import LinearController
from dreamgym.fidelity import fixed_policies
from dreamgym.worlds.base import World
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
