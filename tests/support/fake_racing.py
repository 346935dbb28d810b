"""A stand-in for CarRacing-v3, of its spaces and with frames of noise, at no cost; actions and frames for it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import FRAME_SHAPE
from dreamgym.worlds.car_racing.world import CAR_RACING
from dreamgym.wrappers import LatentObservation


class FakeRacing(gym.Env[NDArray[np.uint8], Any]):
    """Ends by terminating after ``length`` steps, or a number of them drawn from the seed where it is None."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012
    observation_space = Box(0, 255, (96, 96, 3), np.uint8)

    def __init__(self, length: int | None = None, continuous: bool = True, render_mode: str | None = None) -> None:
        low = np.array([-1, 0, 0], np.float32)
        self.action_space = Box(low, np.ones(3, np.float32)) if continuous else Discrete(5)
        self.render_mode = render_mode
        self._length = length
        self.executed: list[Any] = []

    def _frame(self) -> NDArray[np.uint8]:
        return self.np_random.integers(0, 256, (96, 96, 3), dtype=np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(3, 9)) if self._length is None else self._length
        self.executed = []
        return self._frame(), {"left": self._left}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self.executed.append(action)
        self._left -= 1
        return self._frame(), -0.1, self._left == 0, False, {"left": self._left}

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        return np.zeros((40, 60, 3), np.uint8)


def latent_racing(world_model: WorldModel, *, continuous: bool = True, **kwargs: Any) -> LatentObservation:
    """An endless stand-in, seen through a world model."""
    return LatentObservation(FakeRacing(length=-1, continuous=continuous), world_model=world_model, **kwargs)


def random_actions(*shape: int) -> NDArray[np.float32]:
    """Continuous actions, always the same ones, float32 of shape (*shape, 3)."""
    low, high = CAR_RACING.actions.low, CAR_RACING.actions.high
    return np.random.default_rng(0).uniform(low, high, (*shape, 3)).astype(np.float32)


def random_frames(*shape: int) -> NDArray[np.uint8]:
    """Preprocessed frames, always the same ones, uint8 of shape (*shape, 64, 64, 3)."""
    return np.random.default_rng(0).integers(0, 256, (*shape, *FRAME_SHAPE), dtype=np.uint8)
