"""Where a CarRacing picture is put together: surfaces reused from frame to frame, shrunk as Gymnasium shrinks them."""

from __future__ import annotations

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing
from numpy.typing import NDArray

from dreamgym.worlds.car_racing.fast_rendering.dashboard import BOARD, BOARD_HEIGHT, BOARD_TOP
from dreamgym.worlds.car_racing.fast_rendering.track_polygons import SEEN

__all__ = ["Canvas"]

_WINDOW = (car_racing.WINDOW_W, car_racing.WINDOW_H)


class _Narrow:
    """Surfaces of full height narrowed to ``width`` pixels."""

    def __init__(self, width: int, like: pygame.Surface) -> None:
        self.whole = pygame.Surface((width, car_racing.WINDOW_H), 0, like)
        self.road = pygame.Surface((width, BOARD_TOP), 0, like)
        self.board = self.whole.subsurface((0, BOARD_TOP, width, BOARD_HEIGHT))


class Canvas:
    """Surfaces of the road and the dashboard, and their picture.

    The road has y upwards, the dashboard y downwards.

    Gymnasium draws the road, turns the whole window upside down, draws the dashboard, and calls ``smoothscale``, which
    first narrows each row by itself and then shrinks columns. Turning what is already narrowed is the same, and cheap.

    Attributes:
        road: (1000, 800) surface; rows 100 to 799 end up in the picture.
        board: (1000, 800) surface; rows 700 to 799 end up in the picture.
    """

    def __init__(self) -> None:
        self.road = pygame.Surface(_WINDOW)
        self.board = pygame.Surface(_WINDOW)
        self._road_part = self.road.subsurface(SEEN)
        self._board_part = self.board.subsurface(BOARD)
        self._narrow: dict[int, _Narrow] = {}

    def fits(self) -> bool:
        """Whether a new surface would still have this format.

        Opening or closing a display may change it.
        """
        new = pygame.Surface((1, 1))
        return new.get_masks() == self.road.get_masks() and new.get_bitsize() == self.road.get_bitsize()

    def picture(self, width: int, height: int) -> NDArray[np.uint8]:
        """Road and dashboard in one picture, uint8 of shape (height, width, 3)."""
        if width not in self._narrow:
            self._narrow[width] = _Narrow(width, self.road)
        narrow = self._narrow[width]
        pygame.transform.smoothscale(self._road_part, narrow.road.get_size(), narrow.road)
        pygame.transform.smoothscale(self._board_part, narrow.board.get_size(), narrow.board)
        narrow.whole.blit(pygame.transform.flip(narrow.road, False, True), (0, 0))
        small = pygame.transform.smoothscale(narrow.whole, (width, height))
        pixels = pygame.surfarray.pixels3d(small).transpose(1, 0, 2)
        picture = np.empty((height, width, 3), np.uint8)
        for channel in range(3):  # one by one is faster, the surface having them in another order
            picture[..., channel] = pixels[..., channel]
        return picture
