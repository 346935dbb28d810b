"""The real environment as the dream shows itself: z, h, their reproducibility, and what is refused."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import (
    FrameStackObservation,
    GrayscaleObservation,
)

from dreamgym import DreamCore
from dreamgym.dream.rendering import decode_frames
from dreamgym.errors import (
    BundleNotFoundError,
    ConfigError,
    ObservationError,
    ResetNeededError,
)
from dreamgym.world_model import WorldModel
from dreamgym.worlds.car_racing.preprocess import preprocess
from dreamgym.wrappers import LatentObservation
from tests.support.fake_racing import FakeRacing, latent_racing, random_actions


def rollout(env: gym.Env[Any, Any], seed: int | None = 0, steps: int = 6) -> np.ndarray:
    """Observations of reset and steps, (steps + 1, ...)."""
    return np.stack([env.reset(seed=seed)[0], *(env.step(action)[0] for action in random_actions(steps))])


def frames_of(seed: int, steps: int) -> np.ndarray:
    return np.stack([preprocess(frame) for frame in rollout(FakeRacing(length=-1), seed, steps)])


@pytest.fixture
def broken_world_model(toy_world_model: WorldModel) -> WorldModel:
    """V's means are far outside the limit, or NaN, as a test sets them."""
    return WorldModel(copy.deepcopy(toy_world_model.vision), toy_world_model.memory, toy_world_model.starts)


@pytest.mark.parametrize(
    ("obs_type", "shape", "dtype"), [("features", (20,), "f4"), ("latent", (8,), "f4"), ("rgb", (64, 64, 3), "u1")]
)
def test_observations_are_of_the_dreams_space(
    toy_world_model: WorldModel, obs_type: str, shape: tuple[int, ...], dtype: str
) -> None:
    env = latent_racing(toy_world_model, obs_type=obs_type)
    dream = gym.make("dreamgym:DreamCarRacing-v0", obs_type=obs_type, world_model=toy_world_model)
    assert env.observation_space == dream.observation_space
    assert env.action_space == dream.action_space
    for observation in rollout(env):
        assert observation.shape == shape
        assert observation.dtype == np.dtype(dtype)
        assert env.observation_space.contains(observation)


def test_obs_types_show_parts_of_the_same(toy_world_model: WorldModel) -> None:
    features, latent, rgb = (
        rollout(latent_racing(toy_world_model, obs_type=kind)) for kind in ("features", "latent", "rgb")
    )
    assert np.array_equal(features[:, :8], latent)
    assert np.array_equal(rgb, decode_frames(toy_world_model.vision, torch.from_numpy(latent)).numpy())
    assert (features[0, 8:] == 0.0).all()
    assert (features[1:, 8:] != 0.0).all()


def test_same_seed_same_observations_to_the_bit(toy_world_model: WorldModel) -> None:
    env = latent_racing(toy_world_model)
    first, other, again = rollout(env, 1), rollout(env, 2), rollout(env, 1)
    assert np.array_equal(first, again)
    assert not np.isclose(first[:, :8], other[:, :8]).any()
    assert not np.isclose(rollout(env, None)[:, :8], rollout(env, None)[:, :8]).any()


def test_noise_leaves_the_track_alone(toy_world_model: WorldModel) -> None:
    env = latent_racing(toy_world_model)
    env.reset(seed=3)
    frames = [env.env.step(action)[0] for action in random_actions(3)]
    assert np.array_equal(frames, rollout(FakeRacing(length=-1), 3, 3)[1:])


def test_mean_is_the_posteriors(toy_world_model: WorldModel) -> None:
    z = rollout(latent_racing(toy_world_model, obs_type="latent", latent="mean"), 4)
    images = torch.from_numpy(frames_of(4, 6)).permute(0, 3, 1, 2).float() / 255
    mean, _ = toy_world_model.vision.encode(images)
    assert np.allclose(z, mean.numpy(), atol=1e-6)


def test_h_is_memory_run_over_z_and_the_actions(toy_world_model: WorldModel) -> None:
    observations, actions = rollout(latent_racing(toy_world_model), 6), random_actions(6)
    memory = toy_world_model.memory
    state = memory.initial_state(1)
    for t, action in enumerate(actions):
        assert np.allclose(observations[t, 8:], state.h[0].numpy(), atol=1e-6)
        state = memory.step(torch.from_numpy(observations[t : t + 1, :8]), torch.from_numpy(action[None]), state)


@pytest.mark.parametrize("num_envs", [1, 5])
def test_dream_core_teacher_forced_gives_the_same_h_to_the_bit(
    full_size_world_model: WorldModel, num_envs: int
) -> None:
    steps = 8
    observations = rollout(latent_racing(full_size_world_model), 7, steps)
    core = DreamCore(full_size_world_model, num_envs)
    core.reset(seeds=torch.arange(num_envs), state=(torch.zeros(256), torch.zeros(256)))
    for t, action in enumerate(random_actions(steps)):
        assert np.array_equal(core.h[-1].numpy(), observations[t, 32:])
        core.z.copy_(torch.from_numpy(observations[t, :32]).expand(num_envs, 32))
        core.step(torch.from_numpy(action).expand(num_envs, 3))
    assert np.array_equal(core.h[-1].numpy(), observations[steps, 32:])


def test_observations_are_copies(toy_world_model: WorldModel) -> None:
    for obs_type in ("features", "latent", "rgb"):
        env = latent_racing(toy_world_model, obs_type=obs_type)
        untouched = rollout(env)
        observations = [env.reset(seed=0)[0].copy()]
        for action in random_actions(6):
            observation = env.step(action)[0]
            observations.append(observation.copy())
            observation[...] = 0
            action[...] = 0
        assert np.array_equal(observations, untouched)


def test_state_is_a_copy(toy_world_model: WorldModel) -> None:
    env = latent_racing(toy_world_model)
    observation, _ = env.reset(seed=0)
    z, h, c = env.latent_state
    assert np.array_equal(observation, np.concatenate([z, h]))
    assert (c == 0.0).all()
    z[...] = 1.0
    assert np.array_equal(env.latent_state.z, observation[:8])


def test_copies_and_pickles_go_on_alike(toy_world_model: WorldModel) -> None:
    env = latent_racing(toy_world_model)
    rollout(env)
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    wanted = env.step(random_actions(1)[0])[0]
    for twin in twins:
        assert np.array_equal(twin.step(random_actions(1)[0])[0], wanted)


def test_observation_wrappers_go_on_top(toy_world_model: WorldModel) -> None:
    stacked = FrameStackObservation(latent_racing(toy_world_model), 4)
    observation, _ = stacked.reset(seed=1)
    assert observation.shape == (4, 20)
    later = stacked.step(random_actions(1)[0])[0]
    assert np.array_equal(later[-2], observation[-1])


@pytest.mark.parametrize(
    ("env", "remedy"),
    [
        (lambda: gym.make("CartPole-v1"), r'Wrap gym.make\("CarRacing-v3"\)'),
        (lambda: FrameStackObservation(FakeRacing(), 4), "FrameStackObservation, around LatentObservation"),
        (lambda: GrayscaleObservation(FakeRacing()), r"got Box\(0, 255, \(96, 96\), uint8\)"),
    ],
)
def test_other_observations_are_refused(toy_world_model: WorldModel, env: Any, remedy: str) -> None:
    with pytest.raises(ObservationError, match=remedy):
        LatentObservation(env(), world_model=toy_world_model)


def test_step_before_reset(toy_world_model: WorldModel) -> None:
    env = latent_racing(toy_world_model)
    with pytest.raises(ResetNeededError, match="reset"):
        env.step(random_actions(1)[0])
    assert env.unwrapped.executed == []  # type: ignore[attr-defined]


def test_unknown_arguments(toy_world_model: WorldModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"obs_type.*'pixels'"):
        latent_racing(toy_world_model, obs_type="pixels")
    with pytest.raises(ConfigError, match=r"latent.*'mode'"):
        latent_racing(toy_world_model, latent="mode")
    with pytest.raises(BundleNotFoundError):
        LatentObservation(FakeRacing(), world_model=tmp_path)


def test_far_latents_are_cut_and_counted(broken_world_model: WorldModel) -> None:
    with torch.no_grad():
        broken_world_model.vision.mean.bias[:3] = torch.tensor([100.0, -100.0, 1e30])
    env = latent_racing(broken_world_model)
    assert env.reset(seed=1)[0][:3].tolist() == [10.0, -10.0, 10.0]
    assert env.encoder.clamped == 3
    assert env.observation_space.contains(env.step(random_actions(1)[0])[0])
    assert env.encoder.clamped == 6


def test_spec_rebuilds_the_wrapper(toy_bundle: Path) -> None:
    env = LatentObservation(gym.make("CarRacing-v3"), obs_type="latent", latent="mean", world_model=str(toy_bundle))
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, LatentObservation)
    assert np.array_equal(env.reset(seed=1)[0], again.reset(seed=1)[0])
    env.close()
    again.close()
