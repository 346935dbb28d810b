"""The clock of the worlds against the player's: full speed, slow motion, pause and single steps."""

from __future__ import annotations

from typing import Final

__all__ = ["SPEEDS", "Clock"]

SPEEDS: Final = (1.0, 0.5, 0.25, 0.1)
"""Steps of the worlds in a fiftieth of a second; one key goes through them."""


class Clock:
    """Says in which of the player's ticks the worlds advance."""

    def __init__(self) -> None:
        self.paused = False
        self.speed = SPEEDS[0]
        self._due = 0.0
        self._single = False

    def tick(self) -> bool:
        """Whether the worlds advance in this tick."""
        if self._single:
            self._single = False
            return True
        if self.paused:
            return False
        self._due += self.speed
        if self._due < 1.0 - 1e-9:
            return False
        self._due = 0.0
        return True

    def single_step(self) -> None:
        """Stand still but for one step, in the next tick."""
        self.paused = self._single = True

    def slower(self) -> None:
        """The next lower speed; after the lowest, full speed."""
        self.speed = SPEEDS[(SPEEDS.index(self.speed) + 1) % len(SPEEDS)]
