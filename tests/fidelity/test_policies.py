"""The policies that dream and reality are compared on: handicapped, scripted and disturbed as asked."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from dreamgym.controller.linear import LinearController
from dreamgym.fidelity import fixed_policies, probe_policies
from dreamgym.fidelity.policies import Handicapped, Scripted, disturbed
from dreamgym.worlds.registry import find

CAR_RACING = find("CarRacing")
ACTIONS = CAR_RACING.actions


def act(policy: Any, seeds: Sequence[int], observations: np.ndarray) -> np.ndarray:
    if hasattr(policy, "reset"):
        policy.reset(seeds)
    return np.stack([policy(observation) for observation in observations])


@pytest.fixture
def controller() -> LinearController:
    return LinearController.from_parameters(np.random.default_rng(0).normal(0, 0.3, 63))


@pytest.fixture
def observations() -> np.ndarray:
    """Ten steps of four rows."""
    return np.random.default_rng(1).normal(size=(10, 4, 20)).astype(np.float32)


def test_there_are_enough_policies_and_all_differ(controller: LinearController, observations: np.ndarray) -> None:
    policies = fixed_policies(controller, CAR_RACING, latent_size=8)
    assert len(policies) >= 24
    assert list(policies)[-6:] == list(probe_policies(CAR_RACING))
    long = np.tile(observations, (20, 1, 1))  # the scripts' parts last a hundred steps
    actions = {name: act(policy, range(4), long) for name, policy in policies.items()}
    for name, action in actions.items():
        assert action.dtype == np.float32, name
        assert (action >= [-1, 0, 0]).all(), name
        assert (action <= 1).all(), name
        again = pickle.loads(pickle.dumps(policies[name]))
        np.testing.assert_array_equal(act(again, range(4), long), action, err_msg=name)
    assert len({action.tobytes() for action in actions.values()}) == len(policies)


def test_noise_is_the_episodes_own(controller: LinearController, observations: np.ndarray) -> None:
    noisy = Handicapped(controller, ACTIONS, noise=0.1)
    together = act(noisy, [5, 6, 7, 8], observations)
    np.testing.assert_array_equal(act(noisy, [7], observations[:, 2:3]), together[:, 2:3])
    assert not np.array_equal(act(noisy, [6, 6, 7, 8], observations)[:, 0], together[:, 0])
    centred = (together - act(controller, [], observations))[..., 0]
    assert 0.03 < centred.std() < 0.2


def test_handicaps_are_as_by_hand(controller: LinearController, observations: np.ndarray) -> None:
    plain = act(controller, [], observations)
    delayed = act(Handicapped(controller, ACTIONS, delay=3), range(4), observations)
    np.testing.assert_array_equal(delayed[3:], plain[:-3])
    np.testing.assert_array_equal(delayed[:3], 0)
    changed = act(Handicapped(controller, ACTIONS, scale=(0.5, 2, 0), offset=(0.3, 0, 0)), range(4), observations)
    wanted = np.clip(plain * np.float32([0.5, 2, 0]) + np.float32([0.3, 0, 0]), [-1, 0, 0], 1)
    np.testing.assert_allclose(changed, wanted, atol=1e-6)
    sluggish = act(Handicapped(controller, ACTIONS, inertia=0.75), range(4), observations)
    np.testing.assert_allclose(sluggish[1], 0.75 * sluggish[0] + 0.25 * plain[1], atol=1e-6)


def test_handicaps_forget_the_last_episode(controller: LinearController, observations: np.ndarray) -> None:
    policy = Handicapped(controller, ACTIONS, delay=2, inertia=0.5, noise=0.1)
    first = act(policy, range(4), observations)
    np.testing.assert_array_equal(act(policy, range(4), observations), first)


def test_a_script_is_followed_and_its_end_held() -> None:
    policy = Scripted((2, (0.5, 1, 0)), (1, (-1, 0, 1)))
    wanted = np.array([[0.5, 1, 0], [0.5, 1, 0], [-1, 0, 1], [-1, 0, 1]])
    for _ in range(2):
        np.testing.assert_array_equal(act(policy, [0], np.zeros((4, 1, 20)))[:, 0], wanted)


def test_disturbing_is_seeded_and_of_the_size_asked(controller: LinearController) -> None:
    change = disturbed(controller, 0.5, 1).parameters - controller.parameters
    np.testing.assert_array_equal(disturbed(controller, 0.5, 1).parameters - controller.parameters, change)
    assert not np.array_equal(disturbed(controller, 0.5, 2).parameters - controller.parameters, change)
    rms = np.sqrt(np.mean(controller.parameters**2))
    assert np.std(change) == pytest.approx(0.5 * rms, rel=0.3)
