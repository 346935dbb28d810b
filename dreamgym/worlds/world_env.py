"""A Gymnasium environment with pictures as observations, and a world's actions."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ObservationError, RewardError
from dreamgym.worlds.found_actions import found_actions, own_action

__all__ = ["WorldEnv", "is_picture"]


class WorldEnv(gym.Env[NDArray[np.uint8], Any]):
    """An environment with pictures as observations, and the world's actions.

    Both are checked in every step.

    It is no wrapper, since nothing beneath it has the world's actions and frames.

    Args:
        env: the environment.
        rendered: whether pictures are what ``render()`` gives.
        skip: steps in which an action is repeated; kept as ``skip``.

    ``steps`` counts the steps of this environment since the last reset.
    """

    def __init__(self, env: gym.Env[Any, Any], rendered: bool, skip: int = 1) -> None:
        self.env = env
        self.actions = found_actions(env)
        self.metadata, self.render_mode = env.metadata, env.render_mode
        self.action_space = self.actions.space()
        self.skip, self.steps = skip, 0
        self._rendered = rendered
        self._shape: tuple[int, ...] | None = None
        shape = env.observation_space.shape
        if rendered:
            env.reset()  # without a seed: with one, all environments would play the same unseeded episodes
            shape = self._frame(None).shape
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)

    @property
    def simulator(self) -> gym.Env[Any, Any]:
        """The environment itself, for players that look at it."""
        return self.env.unwrapped

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.steps = 0
        return self._frame(observation), info

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Repeat an action.

        Raises:
            ObservationError: a frame of another size than before, or none.
            RewardError: a reward that is no finite number.
        """
        total, own = 0.0, own_action(self.env.action_space, action)
        self.steps += 1
        for _ in range(self.skip):
            observation, reward, terminated, truncated, info = self.env.step(own)
            total += self._number(reward)
            if terminated or truncated:
                break
        if not math.isfinite(total):
            raise RewardError(f"{self.simulator}: expected finite rewards, got {total}; correct the environment")
        return self._frame(observation), total, bool(terminated), bool(truncated), info

    def _number(self, reward: Any) -> float:
        try:
            return float(reward)
        except (TypeError, ValueError) as error:
            raise RewardError(f"{self.simulator}: expected a number as reward, got {reward!r}; wrap it") from error

    def render(self) -> Any:
        """What the environment draws."""
        return self.env.render()

    def close(self) -> None:
        """End the environment."""
        self.env.close()

    def _frame(self, observation: Any) -> NDArray[np.uint8]:
        frame: Any = self.env.render() if self._rendered else observation
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or not is_picture(frame.shape):
            came = f"{frame.dtype} of shape {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise ObservationError(
                "expected pictures, uint8 of shape (H, W), (H, W, 1) or (H, W, 3), from "
                f"{'render()' if self._rendered else 'the observation'}; got {came}. Give a function that makes the "
                "environment in a wrapper that gives such pictures"
            )
        if frame.shape != (self._shape or frame.shape):
            raise ObservationError(
                f"expected every frame to have the shape of the first, {self._shape}; got {frame.shape}. Fix the size "
                "that the environment draws in, for instance by an argument of gym.make"
            )
        self._shape = frame.shape
        return frame


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape is one picture, grey or coloured."""
    return len(shape) in (2, 3) and min(shape[:2]) >= 4 and shape[2:] in ((), (1,), (3,))
