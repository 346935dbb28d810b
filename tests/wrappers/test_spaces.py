"""Which action advances h, and which are refused."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import ClipAction, RescaleAction, StickyAction, TimeLimit, TransformAction

from dreamgym.errors import ActionError
from dreamgym.world_model import WorldModel
from dreamgym.wrappers import LatentObservation, VectorLatentObservation
from tests.support.fake_racing import FakeRacing, latent_racing, random_actions


def test_discrete_actions_advance_h_as_the_continuous_ones_they_stand_for(toy_world_model: WorldModel) -> None:
    continuous, discrete = latent_racing(toy_world_model), latent_racing(toy_world_model, continuous=False)
    meanings = [(0, 0, 0), (0.6, 0, 0), (-0.6, 0, 0), (0, 0.2, 0), (0, 0, 0.8)]
    seen = []
    for choice, meaning in enumerate(meanings):
        continuous.reset(seed=1)
        discrete.reset(seed=1)
        wanted = continuous.step(np.array(meaning, np.float32))[0]
        assert np.array_equal(discrete.step(choice)[0], wanted)
        assert np.array_equal((discrete.reset(seed=1), discrete.step(np.int64(choice)))[1][0], wanted)
        assert discrete.unwrapped.executed == [choice]  # type: ignore[attr-defined]
        seen.append(wanted)
    assert len(np.unique(np.stack(seen), axis=0)) == 5


def test_a_transform_of_its_own_is_read_as_it_acts(toy_world_model: WorldModel) -> None:
    class Halved(TransformAction[Any, Any, Any]):
        def __init__(self, env: gym.Env[Any, Any]) -> None:
            super().__init__(env, lambda action: action, env.action_space)

        def action(self, action: Any) -> Any:
            return action / 2

    plain = latent_racing(toy_world_model)
    halved = LatentObservation(Halved(FakeRacing(length=-1)), world_model=toy_world_model)
    for env in (plain, halved):
        env.reset(seed=1)
    for action in random_actions(4):
        assert np.array_equal(halved.step(action)[0], plain.step(action / 2)[0])


def test_rescaled_and_clipped_actions_count_as_executed(toy_world_model: WorldModel) -> None:
    plain = latent_racing(toy_world_model)
    above = RescaleAction(latent_racing(toy_world_model), np.float32(-1), np.float32(1))
    beneath = LatentObservation(
        TimeLimit(RescaleAction(FakeRacing(length=-1), np.float32(-1), np.float32(1)), 100), world_model=toy_world_model
    )
    twin = latent_racing(toy_world_model)
    clipped = LatentObservation(ClipAction(FakeRacing(length=-1)), world_model=toy_world_model)
    assert beneath.action_space == Box(-1.0, 1.0, (3,), np.float32)
    for env in (plain, above, beneath, clipped, twin):
        env.reset(seed=1)
    for action in random_actions(4):
        wanted = plain.step(action)[0]
        symmetric = action * np.array([1, 2, 2], np.float32) - np.array([0, 1, 1], np.float32)
        assert np.allclose(above.step(symmetric)[0], wanted, atol=1e-5)
        assert np.allclose(beneath.step(symmetric)[0], wanted, atol=1e-5)
        wild = np.where(action == action.max(), np.float32(7.0), action)
        assert np.array_equal(clipped.step(wild)[0], twin.step(wild.clip([-1, 0, 0], 1).astype(np.float32))[0])
    clipped.reset(seed=1)
    plain.reset(seed=1)
    full = clipped.step(np.array([-9.0, 9.0, 0.0], np.float32))[0]
    assert np.array_equal(full, plain.step(np.array([-1.0, 1.0, 0.0], np.float32))[0])
    with pytest.raises(ActionError):
        clipped.step(np.full(3, np.nan, np.float32))
    with pytest.raises(ActionError, match="shape"):
        beneath.step(np.zeros(1, np.float32))


class Reversed(gym.ActionWrapper):  # type: ignore[type-arg]
    def action(self, action: Any) -> Any:
        return action * np.array([-1, 1, 1], np.float32)


def repeated(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    if not hasattr(gym.wrappers, "RepeatAction"):
        pytest.skip("this Gymnasium has no RepeatAction")
    return gym.wrappers.RepeatAction(env, 2)


def skipping(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return gym.wrappers.MaxAndSkipObservation(env, 2)


@pytest.mark.parametrize("wrapper", [Reversed, lambda env: StickyAction(env, 0.5), repeated, skipping])
def test_wrappers_that_hide_the_executed_action_are_refused(toy_world_model: WorldModel, wrapper: Any) -> None:
    with pytest.raises(ActionError, match=r"expected (\w+) around LatentObservation, got LatentObservation around \1$"):
        LatentObservation(wrapper(FakeRacing()), world_model=toy_world_model)
    with pytest.raises(ActionError, match=r"expected (\w+) around VectorLatentObservation"):
        VectorLatentObservation(SyncVectorEnv([lambda: wrapper(FakeRacing())]), world_model=toy_world_model)
    wrapper(latent_racing(toy_world_model)).reset(seed=1)


def test_wrappers_that_hide_the_actions_of_a_batch_are_refused(toy_world_model: WorldModel) -> None:
    envs = gym.wrappers.vector.TransformAction(SyncVectorEnv([FakeRacing]), np.negative)
    with pytest.raises(ActionError, match="expected TransformAction around VectorLatentObservation"):
        VectorLatentObservation(envs, world_model=toy_world_model)
    gym.wrappers.vector.TransformAction(
        VectorLatentObservation(SyncVectorEnv([FakeRacing]), world_model=toy_world_model), np.negative
    ).reset(seed=1)


def test_other_actions_are_refused(toy_world_model: WorldModel) -> None:
    env = FakeRacing()
    env.action_space = Box(-1.0, 1.0, (2,), np.float32)
    with pytest.raises(ActionError, match=r"expected CarRacing-v3's actions, .* got Box\(-1.0, 1.0, \(2,\), float32\)"):
        LatentObservation(env, world_model=toy_world_model)


@pytest.mark.parametrize(
    "action",
    [
        np.array([0, np.nan, 0], np.float32),
        np.array([0, np.inf, 0], np.float32),
        np.array([0, -1e-4, 0], np.float32),
        np.array([1.001, 0, 0], np.float32),
        np.zeros(2, np.float32),
        np.zeros((1, 3), np.float32),
        np.zeros(3, bool),
        np.array(["a", "b", "c"]),
        None,
        1,
    ],
)
def test_bad_actions_change_nothing(toy_world_model: WorldModel, action: Any) -> None:
    env = latent_racing(toy_world_model)
    env.reset(seed=1)
    before = env.latent_state
    with pytest.raises(ActionError):
        env.step(action)
    assert env.unwrapped.executed == []  # type: ignore[attr-defined]
    for part, now in zip(before, env.latent_state, strict=True):
        assert np.array_equal(part, now)
    wanted = latent_racing(toy_world_model)
    wanted.reset(seed=1)
    good = np.array([0.1, 0.2, 0.0], np.float32)
    assert np.array_equal(env.step(good)[0], wanted.step(good)[0])


@pytest.mark.parametrize("action", [5, -1, 1.0, None, np.zeros(3, np.float32), np.array([1])])
def test_bad_discrete_actions_are_refused(toy_world_model: WorldModel, action: Any) -> None:
    env = latent_racing(toy_world_model, continuous=False)
    env.reset(seed=1)
    with pytest.raises(ActionError):
        env.step(action)
    assert env.unwrapped.executed == []  # type: ignore[attr-defined]


def test_rounding_outside_the_space_is_cut(toy_world_model: WorldModel) -> None:
    env = latent_racing(toy_world_model)
    env.reset(seed=1)
    env.step(np.array([1 + 5e-7, -5e-7, 0.0]))
    assert env.unwrapped.executed[0].tolist() == [1.0, 0.0, 0.0]  # type: ignore[attr-defined]
