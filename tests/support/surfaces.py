"""Pygame's surfaces as arrays."""

from __future__ import annotations

import numpy as np
import pygame
from numpy.typing import NDArray


def pixels(surface: pygame.Surface) -> NDArray[np.uint8]:
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)
