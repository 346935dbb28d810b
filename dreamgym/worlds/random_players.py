"""Players that know nothing of the world: who records data where a description names nobody better."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamgym.worlds.base import ActionSet
from dreamgym.worlds.random_walk import OrnsteinUhlenbeck

__all__ = ["DriftingPlayer", "RandomPlayer"]

Action = NDArray[np.float32]


class RandomPlayer:
    """Random actions, each held for a random number of steps.

    Args:
        actions: what can be done.
        longest: the most steps that an action is held; 1 draws a new one in every step.
    """

    def __init__(self, actions: ActionSet, longest: int = 1) -> None:
        self._actions, self._longest = actions, longest

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        self._rng, self._left = rng, 0

    def act(self, frame: NDArray[np.uint8]) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        if self._left == 0:
            self._left = int(self._rng.integers(1, self._longest + 1))
            self._action = self._draw()
        self._left -= 1
        return self._action.copy()

    def _draw(self) -> Action:
        actions = self._actions
        if actions.discrete:
            return np.array(actions.discrete[self._rng.integers(len(actions.discrete))], np.float32)
        drawn = self._rng.uniform(actions.low, actions.high).astype(np.float32)
        return actions.executed(drawn)


class DriftingPlayer:
    """Actions that drift.

    Ornstein-Uhlenbeck noise as wide as the range, forgotten in 1 to 50 steps.

    Args:
        actions: what can be done, as vectors.
    """

    def __init__(self, actions: ActionSet) -> None:
        self._low, self._high = np.array(actions.low), np.array(actions.high)

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        rate = np.full(len(self._low), 50.0 ** -rng.random())
        self._noise = OrnsteinUhlenbeck(rng, rate, (self._high - self._low) / 2)

    def act(self, frame: NDArray[np.uint8]) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        drifted = (self._low + self._high) / 2 + self._noise.step()
        action: Action = np.clip(drifted, self._low, self._high).astype(np.float32)
        return action
