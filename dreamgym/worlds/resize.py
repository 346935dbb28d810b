"""A raw frame of any size to what V sees."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ConfigError
from dreamgym.worlds.base import FRAME_SHAPE

__all__ = ["Crop", "Resize"]

Crop = tuple[int, int, int, int]


@dataclass(frozen=True)
class Resize:
    """Frames of one size to what V sees, by exact area averages.

    The same on every machine.
    """

    shape: tuple[int, ...]
    """Of a raw frame: (H, W), (H, W, 1) or (H, W, 3)."""
    crop: Crop
    """Top, bottom, left and right, pixels."""
    grey: bool = False

    def __post_init__(self) -> None:
        top, bottom, left, right = self.crop
        if not (0 <= top < bottom <= self.shape[0] and 0 <= left < right <= self.shape[1]):
            raise ConfigError(
                f"crop: expected top < bottom and left < right within a frame of {self.shape[0]} x {self.shape[1]} "
                f"pixels, got {self.crop}"
            )

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures, uint8 (..., 64, 64, 3), of raw frames, uint8 (..., *shape)."""
        top, bottom, left, right = self.crop
        height, width = bottom - top, right - left
        batch = frames.shape[: frames.ndim - len(self.shape)]
        pictures = frames.reshape(-1, *self.shape[:2], math.prod(self.shape[2:]))[:, top:bottom, left:right]
        if self.grey and pictures.shape[-1] == 3:
            pictures = (pictures @ np.array([299, 587, 114]) + 500)[..., None] // 1000
        columns = pictures.reshape(len(pictures), height, -1).astype(np.float32)
        rows = (_overlaps(height) @ columns).reshape(len(pictures), FRAME_SHAPE[0], width, -1)
        sums = _overlaps(width).astype(np.float64) @ rows  # whole numbers, which both types hold exactly
        means = np.floor(sums / (height * width) + 0.5).astype(np.uint8)
        coloured = means if means.shape[-1] == 3 else np.repeat(means, 3, axis=-1)
        return coloured.reshape(*batch, *FRAME_SHAPE)


@functools.lru_cache
def _overlaps(source: int) -> NDArray[np.float32]:
    """Length of each source cell under each of 64 cells, in units in which a source cell is 64 long; (64, source)."""
    edges, source_edges = np.arange(FRAME_SHAPE[0] + 1) * source, np.arange(source + 1) * FRAME_SHAPE[0]
    low = np.maximum(edges[:-1, None], source_edges[:-1])
    high = np.minimum(edges[1:, None], source_edges[1:])
    weights: NDArray[np.float32] = np.maximum(high - low, 0).astype(np.float32)
    return weights
