"""The environments' ids, actions for them, and what makes them: shared by tests whose fixtures are in conftest.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from dreamgym.dream.env import DreamCarRacingEnv

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
