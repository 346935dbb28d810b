"""What the game says while episodes are recorded, and never in use: health, place and fireballs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.worlds.doom_take_cover.engine import Thing

__all__ = ["DANGER_SIZE", "LABEL_SIZE", "GameLabels", "danger"]

_FIREBALLS: Final = 3
LABEL_SIZE: Final = 2 + 3 * _FIREBALLS
"""Numbers of the label ``game``."""

_OFFSETS: Final = np.linspace(-160.0, 160.0, 9)
_ARRIVALS: Final = np.array([4.0, 14.0, 26.0, 40.0])
_WIDTHS: Final = np.array([8.0, 11.0, 13.0, 15.0])
DANGER_SIZE: Final = len(_OFFSETS) * len(_ARRIVALS)
"""Numbers of the label ``danger``."""


def danger(fireballs: Iterable[Thing], place: float) -> NDArray[np.float32]:
    """Where and when fireballs will cross the player's wall, (36,).

    One number for each place beside the player and each time.

    A linear controller cannot multiply, so it cannot tell from a fireball's place and speed where to stand; of this it
    can. A fireball counts 1 in the cell at whose place (160 units to the right to 160 to the left, 40 apart) and time
    (4, 14, 26 or 40 tics) it crosses, and less in the cells beside that.

    Args:
        fireballs: those in the air.
        place: the player's, along the wall.
    """
    cells = np.zeros((len(_ARRIVALS), len(_OFFSETS)))
    for ball in fireballs:
        if ball.speed <= 0.0 or ball.distance < 0.0:
            continue
        arrival = ball.distance / ball.speed
        offset = ball.x + ball.speed_x * arrival - place
        near = np.maximum(1.0 - np.abs(_OFFSETS - offset) / 40.0, 0.0)
        soon = np.maximum(1.0 - np.abs(_ARRIVALS - arrival) / _WIDTHS, 0.0)
        cells += soon[:, None] * near
    return cells.ravel().astype(np.float32)


class GameLabels:
    """One episode's labels: a :class:`~dreamgym.worlds.base.LabelRecorder`.

    The label ``game`` has, for each frame, the health in 100, the place along the wall in 384 units from its middle,
    and for each of the three nearest fireballs its place relative to the player (in 200 units), its distance (in 480
    units) and its speed along the wall (in 10 units a tic). NaN stands for a fireball that is not there. The label
    ``danger`` is of :func:`danger`.

    Args:
        env: Take Cover, reset.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._game: Any = env.unwrapped
        self._seen = [self._look()]
        self._dangers = [self._danger()]

    def step(self) -> None:
        """See the game after a step."""
        self._seen.append(self._look())
        self._dangers.append(self._danger())

    def labels(self) -> dict[str, NDArray[np.float32]]:
        """``game``, (T + 1, 11), and ``danger``, (T + 1, 36)."""
        return {"game": np.stack(self._seen), "danger": np.stack(self._dangers)}

    def _danger(self) -> NDArray[np.float32]:
        if self._game.health <= 0.0:
            return np.full(DANGER_SIZE, np.nan, np.float32)
        return danger(self._game.fireballs(), self._game.position)

    def _look(self) -> NDArray[np.float32]:
        found = np.full(LABEL_SIZE, np.nan, np.float32)
        found[0] = self._game.health / 100.0
        if found[0] <= 0.0:  # the dead have no place
            return found
        place = self._game.position
        found[1] = (place - 384.0) / 384.0
        for index, ball in enumerate(self._game.fireballs()[:_FIREBALLS]):
            numbers = (ball.x - place) / 200.0, ball.distance / 480.0, ball.speed_x / 10.0
            found[2 + 3 * index : 5 + 3 * index] = numbers
        return found
