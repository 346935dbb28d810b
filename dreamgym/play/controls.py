"""From keys held down and analog axes to an action. Knows nothing of pygame."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.worlds.base import ActionSet

__all__ = ["Controls"]

_DEAD_ZONE: Final = 0.12


class Controls:
    """The controls of a world as a person holds them.

    Keys are switches, so each number of the action moves towards what is held at its keys' rates. A gamepad's axes say
    themselves how far, and win where they are moved.

    Args:
        actions: the world's, with its keys.
    """

    def __init__(self, actions: ActionSet) -> None:
        self._actions = actions
        self._low, self._high = np.array(actions.low, np.float32), np.array(actions.high, np.float32)
        self._held: set[int] = set()
        self._tapped: set[int] = set()
        self._axes: dict[int, float] = {}
        self._numbers = [0.0] * actions.size

    def press(self, key: int) -> None:
        """Hold a key, by its index in the world's :attr:`~dreamgym.worlds.base.ActionSet.keys`."""
        self._held.add(key)
        self._tapped.add(key)

    def release(self, key: int) -> None:
        """Let go of one."""
        self._held.discard(key)

    def release_all(self) -> None:
        """Let go of everything, as when the window loses the keyboard."""
        self._held.clear()
        self._tapped.clear()
        self._axes.clear()

    def move_axis(self, number: int, value: float) -> None:
        """Set an analog axis.

        Args:
            number: which of the action's numbers it moves.
            value: in [-1, 1]; in [0, 1] for a number that goes one way.
        """
        size = min(max(abs(value) - _DEAD_ZONE, 0.0) / (1.0 - _DEAD_ZONE), 1.0)
        if self._low[number] < 0.0:
            size *= size  # fine about the middle, where a thumb is coarse
        reach = [abs(key.value) for key in self._actions.keys if key.number == number and key.value * value > 0.0]
        bound = self._high[number] if value > 0.0 else -self._low[number]
        self._axes[number] = float(np.sign(value)) * size * max(reach, default=float(bound))

    @property
    def touched(self) -> bool:
        """Whether anything is held or moved."""
        return bool(self._held) or any(self._axes.values())

    def advance(self, seconds: float) -> NDArray[np.float32]:
        """Let time pass, and give the action.

        Args:
            seconds: since the last call.

        Returns:
            float32 (A,), in the world's range.
        """
        held = self._held | self._tapped  # a tap may begin and end between two calls
        self._tapped.clear()
        self._numbers = [self._moved(number, now, held, seconds) for number, now in enumerate(self._numbers)]
        action = [self._axes.get(number) or now for number, now in enumerate(self._numbers)]
        return np.clip(np.array(action, np.float32), self._low, self._high)

    def _moved(self, number: int, now: float, held: set[int], seconds: float) -> float:
        """One number after some time: towards the sum of what is held, at the rate of the key that moves it."""
        keys = {index: key for index, key in enumerate(self._actions.keys) if key.number == number}
        if not keys:
            return now
        wanted = sum(key.value for index, key in keys.items() if index in held)
        first = next(iter(keys.values()))
        moving = next((key for key in keys.values() if key.value * (wanted or now) > 0.0), first)
        step = (moving.on if wanted and now * wanted >= 0.0 else moving.off) * seconds
        return min(now + step, wanted) if now < wanted else max(now - step, wanted)
