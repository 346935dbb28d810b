"""The single environment with compiled loops, against the default one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch

from dreamgym.dream.env import DreamCarRacingEnv
from dreamgym.errors import ActionError, ConfigError, DivergedError, ResetNeededError
from dreamgym.world_model import WorldModel
from tests.support.dream_cores import started

SIZES = [{}, {"latent_size": 5, "hidden_size": 7, "mixtures": 2}, {"latent_size": 6, "hidden_size": 10, "mixtures": 1}]


def action(frame: int) -> np.ndarray:
    return np.array([np.sin(0.3 * frame), 0.5 + 0.4 * np.cos(frame), 0.1 * (frame % 3)], np.float32)


@pytest.mark.parametrize("sizes", [*SIZES, {"latent_size": 32, "hidden_size": 256, "mixtures": 5}])
def test_every_step_agrees_with_the_default_one(
    make_world_model: Callable[..., WorldModel], sizes: dict[str, int]
) -> None:
    """Step by step from the same state; a component that hangs on the last bit may be chosen otherwise, hardly ever."""
    model = make_world_model(**sizes)
    ours, theirs = (DreamCarRacingEnv(world_model=model, temperature=(0.5, 2.0), fast=fast) for fast in (True, False))
    others = 0
    for episode in range(4):
        seed = 1 if episode == 0 else None
        assert np.array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
        for frame in range(100):
            theirs.set_state(ours.get_state())
            seen, reward, terminated, truncated, info = ours.step(action(frame))
            expected, *others_of_step, other_info = theirs.step(action(frame))
            if not np.allclose(seen, expected, atol=1e-5, rtol=0) or terminated != others_of_step[1]:
                others += 1
                continue
            assert reward == pytest.approx(others_of_step[0], abs=2e-3)  # 1000 times the rounding of the progress
            assert (terminated, truncated) == tuple(others_of_step[1:])
            assert info == pytest.approx(other_info, abs=1e-5)
            for one, other in zip(ours.core.last_prediction, theirs.core.last_prediction, strict=True):
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
            assert ours.core.elapsed.tolist() == theirs.core.elapsed.tolist()
    assert others <= 1


@pytest.mark.parametrize("temperature", [1e-30, 1e-3, 1e3, 1e30])
def test_temperatures_beyond_reason(toy_world_model: WorldModel, temperature: float) -> None:
    """Where a logit is more than e can be raised to, and where hardly a latent is within its limit."""
    ours, theirs = (
        DreamCarRacingEnv(world_model=toy_world_model, temperature=temperature, obs_type="latent", fast=fast)
        for fast in (True, False)
    )
    for env in (ours, theirs):
        env.reset(seed=3)
    for frame in range(50):
        theirs.set_state(ours.get_state())
        seen, expected = (env.step(action(frame))[0] for env in (ours, theirs))
        assert np.allclose(seen, expected, atol=1e-5 if temperature < 1 else 1e-3, rtol=0)  # sigma has its root
    assert (ours.core.clamped > 0) == (temperature > 1)
    assert ours.core.clamped == theirs.core.clamped


def rollout(env: DreamCarRacingEnv, frames: int) -> np.ndarray:
    return np.stack([env.step(action(frame))[0] for frame in range(frames)])


def test_seeds_states_and_copies_repeat_to_the_bit(toy_world_model: WorldModel) -> None:
    env = DreamCarRacingEnv(world_model=toy_world_model, fast=True)
    env.reset(seed=5)
    first = rollout(env, 150)
    env.reset(seed=5)
    begun = rollout(env, 70)
    assert np.array_equal(begun, first[:70])
    state = env.get_state()
    twins = copy.deepcopy(env), pickle.loads(pickle.dumps(env))
    expected = rollout(env, 30)
    env.set_state(state)
    for each in (env, *twins):
        assert np.array_equal(rollout(each, 30), expected)
    env.reset()
    assert not np.array_equal(rollout(env, 70), begun)


def test_a_new_temperature_holds_at_once(toy_world_model: WorldModel) -> None:
    ours, theirs = (DreamCarRacingEnv(world_model=toy_world_model, fast=fast) for fast in (True, False))
    for env in (ours, theirs):
        env.reset(seed=2)
        env.step(action(0))
        env.temperature = 3.0
    theirs.set_state(ours.get_state())
    assert np.allclose(ours.step(action(1))[0], theirs.step(action(1))[0], atol=1e-5)
    assert ours.step(action(2))[4]["temperature"] == 3.0


def test_errors_change_nothing(toy_world_model: WorldModel) -> None:
    env = DreamCarRacingEnv(world_model=toy_world_model, fast=True)
    with pytest.raises(ResetNeededError):
        env.step(action(0))
    env.reset(seed=1)
    env.step(action(0))
    before = env.core.features.clone()
    with pytest.raises(ActionError):
        env.step(np.array([2.0, 0.0, 0.0]))
    env.core.c[0, 3] = torch.nan
    with pytest.raises(DivergedError, match=r"rows \[0\]"):
        env.step(action(1))
    assert torch.equal(env.core.features, before)
    assert env.core.diverged.tolist() == [True]
    env.reset()
    env.step(action(2))
    assert env.core.diverged.tolist() == [False]


def test_a_single_stepper_needs_a_single_row_on_the_cpu(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="one row"):
        started(toy_world_model, 2).single_stepper()
    with pytest.raises(ConfigError, match='device="cpu"'):
        DreamCarRacingEnv(world_model=toy_world_model, fast=True, device="cuda")


def test_in_bfloat16_it_agrees_as_far_as_that_goes(full_size_world_model: WorldModel) -> None:
    default = started(full_size_world_model, 1, precision="bfloat16")
    core = started(full_size_world_model, 1, precision="bfloat16")
    single = core.single_stepper()
    apart = 0
    for frame in range(100):
        wanted, got = default.step(torch.from_numpy(action(frame))[None]), single.step(action(frame))
        # A gate on the border between two numbers of bfloat16 may fall on either side of it, 1/256 apart.
        assert torch.allclose(core.h, default.h, atol=0.02)
        apart += int((~torch.isclose(core.h, default.h, atol=1e-5, rtol=1e-5)).sum())
        assert got.reward == pytest.approx(float(wanted.reward), abs=0.05)
        apart += int((~torch.isclose(core.z, default.z, atol=1e-4, rtol=1e-4)).sum())
        core.set_state(default.get_state())
    assert apart <= 0.02 * 100 * default.features.numel()  # where a number lay between two of bfloat16
