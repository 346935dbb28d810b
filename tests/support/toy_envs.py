"""The environments' ids, actions for them, and what makes them: shared by tests whose fixtures are in conftest.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from dreamgym.dream.env import DreamCarRacingEnv
from dreamgym.dream.vector_env import DreamVectorEnv
from dreamgym.world_model import WorldModel

if TYPE_CHECKING:
    from dreamgym.wrappers import SB3VecEnv

DREAM, REAL = "dreamgym:DreamCarRacing-v0", "dreamgym:LatentCarRacing-v0"

COUNT = 3
"""Dreams in a VecEnv of the fixture ``dream_venv``."""

GAS = np.array([0.1, 0.7, 0.0], np.float32)
"""A gentle bend at speed."""

GAS_FOR_ALL = np.tile(GAS, (COUNT, 1))

DreamFactory = Callable[..., gym.Env[Any, Any]]
VecEnvFactory = Callable[..., "SB3VecEnv"]


def unwrapped(env: gym.Env[Any, Any]) -> DreamCarRacingEnv:
    assert isinstance(env.unwrapped, DreamCarRacingEnv)
    return env.unwrapped


def make_dreams(model: WorldModel, num_envs: int = 5, **options: Any) -> DreamVectorEnv:
    envs = gym.make_vec(DREAM, num_envs=num_envs, world_model=model, **options)
    assert isinstance(envs, DreamVectorEnv)
    return envs


def assert_same(left: Any, right: Any) -> None:
    """Equal in structure, type, dtype and every bit."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, tuple):
        assert len(left) == len(right)
        for ours, theirs in zip(left, right, strict=True):
            assert_same(ours, theirs)
    elif isinstance(left, np.ndarray) and left.dtype == object:
        assert_same(tuple(left), tuple(right))
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    else:
        assert left == right


def rollout(env: gym.Env[Any, Any], seed: int = 1, steps: int = 4) -> np.ndarray:
    observations = np.stack([env.reset(seed=seed)[0], *(env.step(GAS)[0] for _ in range(steps))])
    env.close()
    return observations
