"""The real environment as the dream shows itself: z, h, their reproducibility, and what is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from fake_racing import FakeRacing
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.wrappers import (
    ClipAction,
    FrameStackObservation,
    GrayscaleObservation,
    RepeatAction,
    RescaleAction,
    StickyAction,
    TimeLimit,
)

from dreamgym import DreamCore
from dreamgym.dream.rendering import decode_frames
from dreamgym.encoder import LatentEncoder
from dreamgym.errors import (
    ActionError,
    BundleNotFoundError,
    ConfigError,
    DivergedError,
    ObservationError,
    ResetNeededError,
)
from dreamgym.real.preprocess import preprocess
from dreamgym.vision.vae import VAE
from dreamgym.world_model import WorldModel
from dreamgym.wrappers import LatentObservation

Drive = tuple[list[np.ndarray], list[np.ndarray]]


def wrapped(world_model: WorldModel, *, continuous: bool = True, **kwargs: Any) -> LatentObservation:
    return LatentObservation(FakeRacing(length=-1, continuous=continuous), world_model=world_model, **kwargs)


def some_actions(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([-1, 0, 0], [1, 1, 1], (count, 3)).astype(np.float32)


def rollout(env: gym.Env[Any, Any], seed: int | None = 0, steps: int = 6) -> np.ndarray:
    """Observations of reset and steps, (steps + 1, ...)."""
    return np.stack([env.reset(seed=seed)[0], *(env.step(action)[0] for action in some_actions(steps))])


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
    env = wrapped(toy_world_model, obs_type=obs_type)
    dream = gym.make("dreamgym:DreamCarRacing-v0", obs_type=obs_type, world_model=toy_world_model)
    assert env.observation_space == dream.observation_space
    assert env.action_space == dream.action_space
    for observation in rollout(env):
        assert observation.shape == shape
        assert observation.dtype == np.dtype(dtype)
        assert env.observation_space.contains(observation)


def test_obs_types_show_parts_of_the_same(toy_world_model: WorldModel) -> None:
    features, latent, rgb = (rollout(wrapped(toy_world_model, obs_type=kind)) for kind in ("features", "latent", "rgb"))
    assert np.array_equal(features[:, :8], latent)
    assert np.array_equal(rgb, decode_frames(toy_world_model.vision, torch.from_numpy(latent)).numpy())
    assert (features[0, 8:] == 0.0).all()
    assert (features[1:, 8:] != 0.0).all()


def test_same_seed_same_observations_to_the_bit(toy_world_model: WorldModel) -> None:
    env = wrapped(toy_world_model)
    first, other, again = rollout(env, 1), rollout(env, 2), rollout(env, 1)
    assert np.array_equal(first, again)
    assert not np.isclose(first[:, :8], other[:, :8]).any()
    assert not np.isclose(rollout(env, None)[:, :8], rollout(env, None)[:, :8]).any()


def test_unseeded_environments_differ(toy_world_model: WorldModel) -> None:
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    encoders = [LatentEncoder(toy_world_model) for _ in range(2)]
    for encoder in encoders:
        encoder.reset(frame)
    assert not np.isclose(encoders[0].latents(), encoders[1].latents()).any()


def test_noise_leaves_the_track_alone(toy_world_model: WorldModel) -> None:
    env = wrapped(toy_world_model)
    env.reset(seed=3)
    frames = [env.env.step(action)[0] for action in some_actions(3)]
    assert np.array_equal(frames, rollout(FakeRacing(length=-1), 3, 3)[1:])


def test_mean_is_the_posteriors(toy_world_model: WorldModel) -> None:
    z = rollout(wrapped(toy_world_model, obs_type="latent", latent="mean"), 4)
    images = torch.from_numpy(frames_of(4, 6)).permute(0, 3, 1, 2).float() / 255
    mean, _ = toy_world_model.vision.encode(images)
    assert np.allclose(z, mean.numpy(), atol=1e-6)


def test_samples_have_the_posteriors_moments(toy_world_model: WorldModel) -> None:
    count = 1200
    frame = frames_of(5, 0)
    encoder = LatentEncoder(toy_world_model)
    encoder.reset(frame, seeds=[5])
    draws = []
    for _ in range(count):
        encoder.reset(frame)
        draws.append(encoder.latents()[0])
    mean, log_variance = toy_world_model.vision.encode(torch.from_numpy(frame).permute(0, 3, 1, 2).float() / 255)
    sigma = toy_world_model.latent_noise * torch.exp(0.5 * log_variance[0]).numpy()
    standardized = (np.stack(draws) - mean[0].numpy()) / sigma
    assert np.abs(standardized.mean(axis=0)).max() < 5 / np.sqrt(count)
    assert np.abs(standardized.std(axis=0) - 1).max() < 5 / np.sqrt(2 * count)


def test_h_is_memory_run_over_z_and_the_actions(toy_world_model: WorldModel) -> None:
    observations, actions = rollout(wrapped(toy_world_model), 6), some_actions(6)
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
    observations = rollout(wrapped(full_size_world_model), 7, steps)
    core = DreamCore(full_size_world_model, num_envs)
    core.reset(seeds=torch.arange(num_envs), state=(torch.zeros(256), torch.zeros(256)))
    for t, action in enumerate(some_actions(steps)):
        assert np.array_equal(core.h[-1].numpy(), observations[t, 32:])
        core.z.copy_(torch.from_numpy(observations[t, :32]).expand(num_envs, 32))
        core.step(torch.from_numpy(action).expand(num_envs, 3))
    assert np.array_equal(core.h[-1].numpy(), observations[steps, 32:])


@pytest.mark.parametrize("num_threads", [1, 2])
def test_rows_do_not_depend_on_the_batch(
    full_size_world_model: WorldModel, threads: Callable[[int], None], num_threads: int
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 33, 64, 64, 3), dtype=np.uint8)
    actions = some_actions(66).reshape(2, 33, 3)
    threads(num_threads)

    def run(rows: slice) -> tuple[np.ndarray, ...]:
        encoder = LatentEncoder(full_size_world_model, len(frames[0][rows]))
        encoder.reset(frames[0][rows], seeds=list(range(33))[rows])
        for frame, action in zip(frames[1:], actions, strict=True):
            encoder.step(frame[rows], np.ascontiguousarray(action[rows]))
        return encoder.state

    whole = run(slice(None))
    for rows in (slice(32, 33), slice(3, 5), slice(7, 10), slice(0, 17)):
        for part, alone in zip(whole, run(rows), strict=True):
            assert np.array_equal(part[rows], alone)
    assert torch.get_num_threads() == num_threads


def test_encoder_is_v_to_the_bit(full_size_world_model: WorldModel, threads: Callable[[int], None]) -> None:
    threads(1)
    vision: VAE = full_size_world_model.vision
    images = torch.rand(3, 3, 64, 64)
    encoder = LatentEncoder(full_size_world_model)
    assert torch.equal(encoder._convolutions(images), vision.encoder(images))


def test_observations_are_copies(toy_world_model: WorldModel) -> None:
    for obs_type in ("features", "latent", "rgb"):
        env = wrapped(toy_world_model, obs_type=obs_type)
        untouched = rollout(env)
        observations = [env.reset(seed=0)[0].copy()]
        for action in some_actions(6):
            observation = env.step(action)[0]
            observations.append(observation.copy())
            observation[...] = 0
            action[...] = 0
        assert np.array_equal(observations, untouched)


def test_state_is_a_copy(toy_world_model: WorldModel) -> None:
    env = wrapped(toy_world_model)
    observation, _ = env.reset(seed=0)
    z, h, c = env.latent_state
    assert np.array_equal(observation, np.concatenate([z, h]))
    assert (c == 0.0).all()
    z[...] = 1.0
    assert np.array_equal(env.latent_state.z, observation[:8])


def test_copies_and_pickles_go_on_alike(toy_world_model: WorldModel) -> None:
    env = wrapped(toy_world_model)
    rollout(env)
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    wanted = env.step(some_actions(1)[0])[0]
    for twin in twins:
        assert np.array_equal(twin.step(some_actions(1)[0])[0], wanted)


def test_discrete_actions_advance_h_as_the_continuous_ones_they_stand_for(toy_world_model: WorldModel) -> None:
    continuous, discrete = wrapped(toy_world_model), wrapped(toy_world_model, continuous=False)
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


def test_rescaled_and_clipped_actions_count_as_executed(toy_world_model: WorldModel) -> None:
    plain = wrapped(toy_world_model)
    above = RescaleAction(wrapped(toy_world_model), np.float32(-1), np.float32(1))
    beneath = LatentObservation(
        TimeLimit(RescaleAction(FakeRacing(length=-1), np.float32(-1), np.float32(1)), 100), world_model=toy_world_model
    )
    clipped = LatentObservation(ClipAction(FakeRacing(length=-1)), world_model=toy_world_model)
    assert beneath.action_space == Box(-1.0, 1.0, (3,), np.float32)
    for env in (plain, above, beneath, clipped):
        env.reset(seed=1)
    for action in some_actions(4):
        wanted = plain.step(action)[0]
        symmetric = action * np.array([1, 2, 2], np.float32) - np.array([0, 1, 1], np.float32)
        assert np.allclose(above.step(symmetric)[0], wanted, atol=1e-5)
        assert np.allclose(beneath.step(symmetric)[0], wanted, atol=1e-5)
        assert np.allclose(clipped.step(np.where(action == action.max(), 7.0, action))[0][:8], wanted[:8])
    clipped.reset(seed=1)
    plain.reset(seed=1)
    full = clipped.step(np.array([-9.0, 9.0, 0.0], np.float32))[0]
    assert np.array_equal(full, plain.step(np.array([-1.0, 1.0, 0.0], np.float32))[0])
    with pytest.raises(ActionError):
        clipped.step(np.full(3, np.nan, np.float32))
    with pytest.raises(ActionError, match="shape"):
        beneath.step(np.zeros(1, np.float32))


def test_observation_wrappers_go_on_top(toy_world_model: WorldModel) -> None:
    stacked = FrameStackObservation(wrapped(toy_world_model), 4)
    observation, _ = stacked.reset(seed=1)
    assert observation.shape == (4, 20)
    later = stacked.step(some_actions(1)[0])[0]
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


class Reversed(gym.ActionWrapper):  # type: ignore[type-arg]
    def action(self, action: Any) -> Any:
        return action * np.array([-1, 1, 1], np.float32)


@pytest.mark.parametrize("wrapper", [Reversed, lambda env: StickyAction(env, 0.5), lambda env: RepeatAction(env, 2)])
def test_wrappers_that_hide_the_executed_action_are_refused(toy_world_model: WorldModel, wrapper: Any) -> None:
    with pytest.raises(ActionError, match=r"expected (\w+)\(LatentObservation\(env\)\), got LatentObservation\(\1\("):
        LatentObservation(wrapper(FakeRacing()), world_model=toy_world_model)
    wrapper(wrapped(toy_world_model)).reset(seed=1)


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
    env = wrapped(toy_world_model)
    env.reset(seed=1)
    before = env.latent_state
    with pytest.raises(ActionError):
        env.step(action)
    assert env.unwrapped.executed == []  # type: ignore[attr-defined]
    for part, now in zip(before, env.latent_state, strict=True):
        assert np.array_equal(part, now)
    wanted = wrapped(toy_world_model)
    wanted.reset(seed=1)
    good = np.array([0.1, 0.2, 0.0], np.float32)
    assert np.array_equal(env.step(good)[0], wanted.step(good)[0])


@pytest.mark.parametrize("action", [5, -1, 1.0, None, np.zeros(3, np.float32), np.array([1])])
def test_bad_discrete_actions_are_refused(toy_world_model: WorldModel, action: Any) -> None:
    env = wrapped(toy_world_model, continuous=False)
    env.reset(seed=1)
    with pytest.raises(ActionError):
        env.step(action)
    assert env.unwrapped.executed == []  # type: ignore[attr-defined]


def test_rounding_outside_the_space_is_cut(toy_world_model: WorldModel) -> None:
    env = wrapped(toy_world_model)
    env.reset(seed=1)
    env.step(np.array([1 + 5e-7, -5e-7, 0.0]))
    assert env.unwrapped.executed[0].tolist() == [1.0, 0.0, 0.0]  # type: ignore[attr-defined]


def test_step_before_reset(toy_world_model: WorldModel) -> None:
    env = wrapped(toy_world_model)
    with pytest.raises(ResetNeededError, match="reset"):
        env.step(some_actions(1)[0])
    assert env.unwrapped.executed == []  # type: ignore[attr-defined]


def test_unknown_arguments(toy_world_model: WorldModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"obs_type.*'pixels'"):
        wrapped(toy_world_model, obs_type="pixels")
    with pytest.raises(ConfigError, match=r"latent.*'mode'"):
        wrapped(toy_world_model, latent="mode")
    with pytest.raises(BundleNotFoundError):
        LatentObservation(FakeRacing(), world_model=tmp_path)


def test_far_latents_are_cut_and_counted(broken_world_model: WorldModel) -> None:
    with torch.no_grad():
        broken_world_model.vision.mean.bias[:3] = torch.tensor([100.0, -100.0, 1e30])
    env = wrapped(broken_world_model)
    assert env.reset(seed=1)[0][:3].tolist() == [10.0, -10.0, 10.0]
    assert env.encoder.clamped == 3
    assert env.observation_space.contains(env.step(some_actions(1)[0])[0])
    assert env.encoder.clamped == 6


def test_weights_that_are_not_finite_are_named(broken_world_model: WorldModel) -> None:
    with torch.no_grad():
        broken_world_model.vision.encoder[0].bias[0] = torch.nan
    with pytest.raises(DivergedError, match=r"V's encoder\.0\.bias"):
        LatentEncoder(broken_world_model)


def test_environments_whose_latents_are_not_finite_are_named(broken_world_model: WorldModel) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        broken_world_model.vision.encoder[6].weight.mul_(1e4)
        broken_world_model.vision.mean.weight.sign_().mul_(3e38)  # infinities of both signs in one sum
    encoder = LatentEncoder(broken_world_model, 2)
    with pytest.raises(DivergedError, match=r"environments \[1\].*weights"):
        encoder.reset(frames, mask=np.array([False, True]))
    healthy = LatentEncoder(WorldModel(VAE(8), broken_world_model.memory, broken_world_model.starts), 2)
    healthy.reset(frames)
    before = healthy.state
    healthy._convolutions, healthy._head_weight = encoder._convolutions, encoder._head_weight
    with pytest.raises(DivergedError, match=r"environments \[0, 1\]"):
        healthy.step(frames, np.zeros((2, 3), np.float32))
    for part, now in zip(before, healthy.state, strict=True):
        assert np.array_equal(part, now)


def test_frames_of_another_shape(toy_world_model: WorldModel) -> None:
    encoder = LatentEncoder(toy_world_model, 2)
    for frames in (np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 64, 64, 3)), np.zeros((1, 64, 64, 3), np.uint8)):
        with pytest.raises(ObservationError, match="expected"):
            encoder.reset(frames)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="num_envs"):
        LatentEncoder(toy_world_model, 0)


def test_spec_rebuilds_the_wrapper(toy_bundle: Path) -> None:
    env = LatentObservation(gym.make("CarRacing-v3"), obs_type="latent", latent="mean", world_model=str(toy_bundle))
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, LatentObservation)
    assert np.array_equal(env.reset(seed=1)[0], again.reset(seed=1)[0])
    env.close()
    again.close()
