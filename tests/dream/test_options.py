"""What constructors and resets refuse by name, alike for single and vector environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from dreamgym.dream.options import parse_seeds
from dreamgym.errors import BundleVersionError, ConfigError
from dreamgym.world_model import WorldModel
from tests.support.toy_envs import DREAM, make_dreams


@pytest.mark.parametrize(
    "seed", ["34", [1.9, 2.9], [1], [1, -1], -1, 3.0, True, [True, 2], np.array([1.0, 2.0]), {1: 2, 3: 4}, b"ab"]
)
def test_seeds_are_whole_numbers_or_nothing(toy_world_model: WorldModel, seed: Any) -> None:
    envs = make_dreams(toy_world_model, num_envs=2)
    observations, _ = envs.reset(seed=1)
    with pytest.raises(ConfigError, match="seeds, whole numbers of at least 0"):
        envs.reset(seed=seed)
    assert np.array_equal(envs._observe(), observations)


@pytest.mark.parametrize("seed", [4, np.int64(4), [4, 5], (4, 5), np.array([4, 5])])
def test_seeds_of_any_whole_kind_are_the_same(seed: Any) -> None:
    assert parse_seeds(seed, 2) == [4, 5]
    assert all(type(each) is int for each in parse_seeds(seed, 2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_envs", 2.0),
        ("num_envs", 0),
        ("num_envs", True),
        ("max_episode_steps", 2.5),
        ("max_episode_steps", 0),
        ("max_episode_steps", "7"),
        ("continuous", "no"),
        ("continuous", 1),
        ("fast", "no"),
        ("fast", 0),
        ("device", "cuda:99"),
        ("device", "gpu"),
        ("device", 1.5),
        ("world_model", 5),
    ],
)
def test_arguments_are_refused_by_name(toy_world_model: WorldModel, name: str, value: Any) -> None:
    arguments = {"num_envs": 2, "world_model": toy_world_model} | {name: value}
    with pytest.raises(ConfigError, match=f"^{name}"):
        gym.make_vec(DREAM, **arguments)
    if name not in ("num_envs", "max_episode_steps"):
        del arguments["num_envs"]
        with pytest.raises(ConfigError, match=f"^{name}"):
            gym.make(DREAM, **arguments)


@pytest.mark.parametrize("options", [5, "start", [("start", 0)]])
def test_options_that_are_no_dict_are_refused(toy_world_model: WorldModel, options: Any) -> None:
    env, envs = gym.make(DREAM, world_model=toy_world_model), make_dreams(toy_world_model)
    for each in (env.unwrapped, envs):
        with pytest.raises(ConfigError, match="options as a dict"):
            each.reset(options=options)


def test_a_world_model_of_another_world_is_refused(toy_world_model: WorldModel) -> None:
    with pytest.raises(BundleVersionError, match="expected one of 'DoomTakeCover', got one of 'CarRacing'"):
        gym.make("dreamgym:DreamDoomTakeCover-v0", world_model=toy_world_model)
