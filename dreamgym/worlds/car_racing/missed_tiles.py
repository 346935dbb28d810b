"""Which tiles an episode leaves behind untouched.

CarRacing's lap ends when every tile was touched. A bend cut so that no wheel touches three of its tiles costs little by
itself, and the end of the lap: some 25 points. Neither the rewards nor the pictures of a recorded episode name it.
"""

from __future__ import annotations

from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

__all__ = ["TileWatch"]

_LATE: Final = 10
"""Frames for which a tile may still be touched by a wheel that comes after."""
_BESIDE: Final = 5.5
"""Units from the road's middle, of whose width 6.7 lie on either side, from which all wheels may be off the road."""
_JUMP: Final = 12
"""Tiles in one frame: the car has come to another part of the track, and which tiles it passed is not known."""


class TileWatch:
    """Watches one episode, from its reset on.

    Args:
        env: CarRacing-v3, reset.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        world: Any = env.unwrapped
        self._world = world
        track = np.array([corner[1:] for corner in world.track])  # heading, x, y
        self._across = np.stack([np.cos(track[:, 0]), np.sin(track[:, 0])], axis=1)
        self._middle = track[:, 1:]
        self._tiles = sorted((tile for tile in world.road if hasattr(tile, "idx")), key=lambda tile: tile.idx)
        self._touched = np.full(len(track), -1)
        self._touched_count = -1
        self._nearest: list[int] = []
        self._offset: list[float] = []
        self.look()

    def look(self) -> None:
        """See where the car is; after each step."""
        position = np.array(self._world.car.hull.position)
        nearest = int(np.square(self._middle - position).sum(axis=1).argmin())
        if self._world.tile_visited_count != self._touched_count:
            self._touched_count = self._world.tile_visited_count
            visited = np.array([tile.road_visited for tile in self._tiles])
            self._touched[visited & (self._touched < 0)] = len(self._nearest)
        self._nearest.append(nearest)
        self._offset.append(abs(float((position - self._middle[nearest]) @ self._across[nearest])))

    def missed(self) -> NDArray[np.float32]:
        """How many tiles each step left behind untouched, (T,); NaN where that is not known.

        A tile is left behind in the step that takes the car past it. Not known: after a jump to another part of the
        track, on a second lap, and where the car seems to be on the road.
        """
        nearest, count = np.array(self._nearest), len(self._middle)
        moved = (np.diff(nearest) + count // 2) % count - count // 2
        place = nearest[0] + np.concatenate([[0], np.cumsum(moved)])
        place = place - count if place[0] > count // 2 else place  # a car at the start may be nearest to the last tile
        passed = np.searchsorted(np.maximum.accumulate(place), np.arange(1, count) + 1)  # the frame, for tiles from 1
        touched = self._touched[1:]
        left = (passed > 0) & (passed < len(place)) & ((touched < 0) | (touched > passed + _LATE))
        missed = np.bincount(passed[left] - 1, minlength=len(moved)).astype(np.float32)
        jumps = np.flatnonzero(np.abs(moved) > _JUMP)
        missed[jumps[0] if len(jumps) else len(moved) :] = np.nan
        missed[place[1:] >= count] = np.nan
        missed[(missed > 0) & (np.array(self._offset[1:]) < _BESIDE)] = np.nan
        return missed
