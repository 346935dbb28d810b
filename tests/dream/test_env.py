"""The dream as a Gymnasium environment: its spaces, what a step takes and gives, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamgym.dream.env import DreamCarRacingEnv
from dreamgym.errors import ActionError, BundleNotFoundError, ConfigError, ResetNeededError, TemperatureError
from dreamgym.world_model import WorldModel
from tests.support.toy_envs import DREAM, GAS, DreamFactory


def test_spaces(make_dream: DreamFactory) -> None:
    env = make_dream()
    assert env.observation_space == gym.spaces.Box(
        np.array([-10] * 8 + [-1] * 12, np.float32), np.array([10] * 8 + [1] * 12, np.float32)
    )
    assert env.action_space == gym.spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))
    assert make_dream(obs_type="latent").observation_space == gym.spaces.Box(-10, 10, (8,), np.float32)
    assert make_dream(obs_type="rgb").observation_space == gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert make_dream(continuous=False).action_space == gym.spaces.Discrete(5)


def test_full_size_features_are_288_floats(full_size_bundle: Path) -> None:
    env = gym.make(DREAM, world_model=full_size_bundle)
    assert env.observation_space.shape == (288,)
    assert env.observation_space.contains(env.reset(seed=0)[0])
    assert env.observation_space.contains(env.step(GAS)[0])
    assert isinstance(env.metadata["render_fps"], int)
    env.close()


@pytest.mark.parametrize("obs_type", ["features", "latent", "rgb"])
def test_observation_types_show_the_same_dream(
    make_dream: DreamFactory, toy_world_model: WorldModel, obs_type: str
) -> None:
    env, features = make_dream(obs_type=obs_type), make_dream()
    env.reset(seed=5)
    features.reset(seed=5)
    for _ in range(3):
        (seen, *rest), (full, *expected) = env.step(GAS), features.step(GAS)
        assert rest == expected
        z = torch.from_numpy(full[:8])
        if obs_type == "rgb":
            with torch.no_grad():
                image = toy_world_model.vision.decode(z[None])[0].permute(1, 2, 0).mul(255).numpy()
            np.testing.assert_allclose(seen, image, atol=0.501)
        else:
            np.testing.assert_array_equal(seen, full[: len(seen)])


def test_returns_plain_python_types(make_dream: DreamFactory) -> None:
    env = make_dream()
    _, info = env.reset(seed=0)
    assert {key: type(value) for key, value in info.items()} == {"progress": float, "temperature": float}
    _, reward, terminated, truncated, info = env.step(GAS)
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert {key: type(value) for key, value in info.items()} == {"progress": float, "temperature": float}


@pytest.mark.parametrize("obs_type", ["features", "latent", "rgb"])
def test_observations_are_copies(make_dream: DreamFactory, obs_type: str) -> None:
    env, twin = make_dream(obs_type=obs_type), make_dream(obs_type=obs_type)
    first, _ = env.reset(seed=1)
    twin.reset(seed=1)
    kept = first.copy()
    second, *_ = env.step(GAS)
    np.testing.assert_array_equal(first, kept)
    first[:], second[:] = 0, 0
    twin.step(GAS)
    np.testing.assert_array_equal(env.step(GAS)[0], twin.step(GAS)[0])


def test_lap_finished_is_told_at_the_end(toy_world_model: WorldModel, make_world_model: Any) -> None:
    model = make_world_model(seed=8, lap_units=2.0)
    with torch.no_grad():
        model.memory.termination_head.bias.fill_(-90.0)
    env = DreamCarRacingEnv(world_model=model)
    env.reset(seed=0)
    total = 0.0
    for _ in range(100):
        _, reward, terminated, truncated, info = env.step(GAS)
        total += reward
        assert not truncated
        if terminated:
            break
        assert "lap_finished" not in info
    assert info["lap_finished"] is True
    assert info["progress"] == 1.0
    assert 900 < total <= 1000
    with torch.no_grad():
        model.memory.termination_head.bias.fill_(90.0)
    off = DreamCarRacingEnv(world_model=model)
    off.reset(seed=0)
    _, reward, terminated, _, info = off.step(GAS)
    assert (reward, terminated, info["lap_finished"]) == (-100.0, True, False)


def test_discrete_actions_are_those_of_car_racing(make_dream: DreamFactory) -> None:
    discrete, continuous = make_dream(continuous=False), make_dream()
    mapping = [[0, 0, 0], [0.6, 0, 0], [-0.6, 0, 0], [0, 0.2, 0], [0, 0, 0.8]]
    for action, meaning in enumerate(mapping):
        for env in (discrete, continuous):
            env.reset(seed=action)
        left = discrete.step(action)
        right = continuous.step(np.array(meaning, np.float32))
        np.testing.assert_array_equal(left[0], right[0])
        np.testing.assert_array_equal(discrete.step(np.int64(action))[0], continuous.step(np.float32(meaning))[0])


@pytest.mark.parametrize(
    ("continuous", "action"),
    [
        (True, [0.0, 0.0]),
        (True, 0),
        (True, np.zeros((1, 3), np.float32)),
        (True, [np.nan, 0, 0]),
        (True, [0, np.inf, 0]),
        (True, [0, 0, -1e-3]),
        (True, [0, 0, 1 + 2e-6]),
        (True, ["a", "b", "c"]),
        (True, None),
        (False, 5),
        (False, -1),
        (False, 1.0),
        (False, [1]),
        (False, None),
        (False, np.nan),
    ],
)
def test_bad_actions_change_nothing(toy_world_model: WorldModel, continuous: bool, action: Any) -> None:
    env, twin = (DreamCarRacingEnv(world_model=toy_world_model, continuous=continuous) for _ in range(2))
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ActionError, match="expected"):
        env.step(action)
    good = GAS if continuous else 3
    np.testing.assert_array_equal(env.step(good)[0], twin.step(good)[0])


def test_step_and_render_before_reset(toy_world_model: WorldModel) -> None:
    env = DreamCarRacingEnv("rgb_array", world_model=toy_world_model)
    with pytest.raises(ResetNeededError):
        env.step(GAS)
    with pytest.raises(gym.error.ResetNeeded):
        env.render()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"obs_type": "pixels"}, ConfigError, "features.*pixels"),
        ({"temperature": 0}, TemperatureError, "positive"),
        ({"temperature": 10**400}, TemperatureError, "finite"),
        ({"temperature": float("nan")}, TemperatureError, "nan"),
        ({"temperature": (2, 1)}, TemperatureError, "low"),
        ({"render_mode": "ansi"}, ConfigError, "rgb_array.*ansi"),
        ({"start": "nowhere"}, ConfigError, "nowhere"),
        ({"precision": "int8"}, ConfigError, "int8"),
    ],
)
def test_bad_arguments(
    toy_world_model: WorldModel, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DreamCarRacingEnv(world_model=toy_world_model, **options)


def test_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError):
        gym.make(DREAM, world_model=str(tmp_path))
