"""From V's 64 by 64 pictures to something worth looking at."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray

from dreamgym.real.preprocess import FRAME_SHAPE

__all__ = ["smooth_surface"]

_SIZE: Final = (240, 168)
"""Width and height after the careful enlargement, in the picture's true proportions of 10 to 7."""


@lru_cache(maxsize=4)
def _cubic(target: int, source: int) -> NDArray[np.float32]:
    """Catmull-Rom interpolation from ``source`` to ``target`` samples as a matrix, (target, source)."""
    centers = (np.arange(target) + 0.5) * source / target - 0.5
    distance = np.abs(centers[:, None] - np.arange(source))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    weights = np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


def smooth_surface(picture: NDArray[np.uint8]) -> pygame.Surface:
    """A picture of V's, enlarged by cubic interpolation, which leaves none of the diamonds that linear one draws.

    Args:
        picture: uint8 of shape (64, 64, 3).

    Returns:
        A surface of (240, 168), to be brought to its final size linearly.
    """
    width, height = _SIZE
    rows, columns = _cubic(height, FRAME_SHAPE[0]), _cubic(width, FRAME_SHAPE[1])
    tall = rows @ picture.reshape(FRAME_SHAPE[0], -1).astype(np.float32)  # (height, 64 * 3)
    # A product over the columns, colours side by side: (64, height * 3) -> (width, height * 3)
    wide = columns @ tall.reshape(height, FRAME_SHAPE[1], 3).transpose(1, 0, 2).reshape(FRAME_SHAPE[1], -1)
    pixels = np.clip(wide + 0.5, 0.0, 255.0).astype(np.uint8).reshape(width, height, 3)
    return pygame.surfarray.make_surface(pixels)
