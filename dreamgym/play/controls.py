"""From keys held down and analog axes to the car's controls. Knows nothing of pygame."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Controls"]

# Per second: full lock takes a quarter of one, and letting go is quicker than turning in.
_STEER_IN: Final = 4.0
_STEER_BACK: Final = 8.0
_GAS_ON: Final = 3.0
_GAS_OFF: Final = 10.0
_BRAKE_ON: Final = 5.0
_BRAKE_OFF: Final = 10.0
_FULL_BRAKE: Final = 0.8  # from 0.9 up CarRacing's wheels lock, and the car slides straight on
_DEAD_ZONE: Final = 0.12


class Controls:
    """The controls as a person holds them.

    Keys are switches, so steering, gas and brake move towards what is held at a rate; a gamepad's axes say themselves
    how far, and win where they are moved.
    """

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._tapped: set[str] = set()
        self._axes = {"steer": 0.0, "gas": 0.0, "brake": 0.0}
        self._steer = self._gas = self._brake = 0.0

    def press(self, name: str) -> None:
        """Hold "left", "right", "gas" or "brake"."""
        self._held.add(name)
        self._tapped.add(name)

    def release(self, name: str) -> None:
        """Let go of one."""
        self._held.discard(name)

    def release_all(self) -> None:
        """Let go of everything, as when the window loses the keyboard."""
        self._held.clear()
        self._tapped.clear()
        self._axes = dict.fromkeys(self._axes, 0.0)

    def move_axis(self, name: str, value: float) -> None:
        """Set an analog axis: "steer" in [-1, 1], "gas" or "brake" in [0, 1]."""
        size = max(abs(value) - _DEAD_ZONE, 0.0) / (1.0 - _DEAD_ZONE)
        # squared: fine about the middle, where a thumb is coarse
        self._axes[name] = float(np.sign(value)) * min(size, 1.0) ** (2 if name == "steer" else 1)

    @property
    def touched(self) -> bool:
        """Whether anything is held or moved."""
        return bool(self._held) or any(self._axes.values())

    def advance(self, seconds: float) -> NDArray[np.float32]:
        """Let time pass, and give the action.

        Args:
            seconds: since the last call.

        Returns:
            float32 (steer, gas, brake), in CarRacing's range.
        """
        held = self._held | self._tapped  # a tap may begin and end between two calls
        self._tapped.clear()
        wanted = float("right" in held) - float("left" in held)
        turning_in = wanted != 0.0 and self._steer * wanted >= 0.0
        self._steer = _towards(self._steer, wanted, (_STEER_IN if turning_in else _STEER_BACK) * seconds)
        self._gas = _ramp(self._gas, "gas" in held, _GAS_ON, _GAS_OFF, seconds)
        self._brake = _ramp(self._brake, "brake" in held, _BRAKE_ON, _BRAKE_OFF, seconds)
        steer = self._axes["steer"] or self._steer
        gas = max(self._axes["gas"], self._gas)
        brake = _FULL_BRAKE * max(self._axes["brake"], self._brake)
        return np.array([steer, gas, brake], np.float32)


def _ramp(value: float, held: bool, on: float, off: float, seconds: float) -> float:
    return _towards(value, float(held), (on if held else off) * seconds)


def _towards(value: float, target: float, step: float) -> float:
    return min(value + step, target) if value < target else max(value - step, target)
