"""Who plays while data are recorded, and the references that results are read against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Constant", "Held", "InTurn"]

Action = NDArray[np.float32]
Frame = NDArray[np.uint8]


class Held:
    """Random moves, each held for a random number of steps.

    Args:
        longest: the most steps that a move is held; 1 draws a new one in every step, 10 is the paper's collector.
    """

    def __init__(self, longest: int = 10) -> None:
        self._longest = longest

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        self._rng, self._left, self._move = rng, 0, 0.0

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        if self._left == 0:
            self._left = int(self._rng.integers(1, self._longest + 1))
            self._move = float(self._rng.integers(-1, 2))
        self._left -= 1
        return np.array([self._move], np.float32)


class InTurn:
    """Left and right in turn, blind to what is seen.

    Each for a number of steps that is drawn for the episode.

    Args:
        shortest: the fewest steps each way.
        longest: the most.
        disturbed: the most of the steps in which the move is random instead, as a share; drawn for the episode.
    """

    def __init__(self, shortest: int = 40, longest: int = 160, disturbed: float = 0.0) -> None:
        self._shortest, self._longest, self._disturbed = shortest, longest, disturbed

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        self._rng, self._step = rng, 0
        self._period = int(rng.integers(self._shortest, self._longest + 1))
        self._share = rng.uniform(0.0, self._disturbed)

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        move = -1.0 if self._step // self._period % 2 == 0 else 1.0
        self._step += 1
        if self._share and self._rng.random() < self._share:
            move = float(self._rng.integers(-1, 2))
        return np.array([move], np.float32)


class Constant:
    """The same move for ever.

    Args:
        move: -1 left, 0 none, 1 right.
    """

    def __init__(self, move: float) -> None:
        self._move = move

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        return np.array([self._move], np.float32)
