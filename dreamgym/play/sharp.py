"""CarRacing whose road can be shown as sharp as it was drawn, before it is shrunk to the 96 by 96 observation."""

from __future__ import annotations

from typing import Final

import pygame
from gymnasium.envs.box2d import car_racing

from dreamgym.real.drawing import ExactCarRacing

__all__ = ["SHARP_SIZE", "SharpCarRacing"]

SHARP_SIZE: Final = (car_racing.WINDOW_W, car_racing.WINDOW_H * 7 // 8)
"""What is left above the dashboard, and what V sees: the upper 84 of 96 rows."""


class SharpCarRacing(ExactCarRacing):
    """The exact, fast CarRacing; a picture costs nothing that the observation did not cost already."""

    def sharp_picture(self) -> pygame.Surface:
        """The road and the car as they were last drawn for an observation, a surface of (1000, 700)."""
        width, height = SHARP_SIZE
        if self._canvas is None:  # Gymnasium's own drawing, which keeps the finished picture
            return pygame.Surface(SHARP_SIZE) if self.surf is None else self.surf.subsurface((0, 0, width, height))
        upside_down = self._canvas.road.subsurface((0, car_racing.WINDOW_H - height, width, height))
        return pygame.transform.flip(upside_down, False, True)
