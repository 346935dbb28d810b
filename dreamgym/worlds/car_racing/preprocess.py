"""The one way from a CarRacing observation to the picture that V sees."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ObservationError
from dreamgym.worlds.base import FRAME_SHAPE

__all__ = ["PREPROCESS_VERSION", "RAW_SHAPE", "preprocess"]

PREPROCESS_VERSION: Final = 1
"""Recorded with episodes and weights; raised whenever a pixel that :func:`preprocess` returns would change."""

RAW_SHAPE: Final = (96, 96, 3)
_ROWS: Final = 84  # rows 84..95 are the dashboard, whose text differs between versions of Gymnasium and pygame
_PERIOD: Final = 2  # groups of three columns in one product; more would multiply more zeros, fewer too little at once


def _overlaps(made: int, source: int) -> NDArray[np.float32]:
    """Length of each source cell under each cell made, where ``source`` equal cells are made ``made`` equal ones.

    In whole numbers: a source cell is ``made`` long, so each row of (made, source) sums to ``source``.
    """
    edges, source_edges = np.arange(made + 1) * source, np.arange(source + 1) * made
    low = np.maximum(edges[:-1, None], source_edges[:-1])
    high = np.minimum(edges[1:, None], source_edges[1:])
    weights: NDArray[np.float32] = np.maximum(high - low, 0).astype(np.float32)
    return weights


_ROW_WEIGHTS: Final = _overlaps(16, 21)  # 21 source rows make 16, four times over
_TOTAL_WEIGHT: Final = 21 * 3
_COLUMN_WEIGHTS: Final = (np.kron(np.eye(_PERIOD), np.kron(_overlaps(2, 3).T, np.eye(3))) / _TOTAL_WEIGHT).astype(
    np.float32
)


def preprocess(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut off the dashboard and resize to 64x64 by area averaging.

    Exact, the same on every machine: weighted sums are whole numbers below 2**24, and a mean over 63 is at least 1/126
    away from where rounding turns, which is thousands of times what float32 is off.

    Args:
        frames: CarRacing's observation, uint8 of shape (96, 96, 3), or several, (..., 96, 96, 3).

    Returns:
        uint8 of shape (..., 64, 64, 3).

    Raises:
        ObservationError: for another shape or dtype.
    """
    if frames.shape[-3:] != RAW_SHAPE or frames.dtype != np.uint8:
        raise ObservationError(
            f"expected one or more CarRacing frames, uint8 of shape {RAW_SHAPE}; got {frames.dtype} of shape "
            f"{frames.shape}"
        )
    batch = frames.shape[:-3]
    cropped = frames[..., :_ROWS, :, :].astype(np.float32).reshape(-1, 21, 96 * 3)
    rows = (_ROW_WEIGHTS @ cropped).reshape(-1, 64 * 32 // _PERIOD, 9 * _PERIOD)
    means = rows @ _COLUMN_WEIGHTS  # a product a frame: for one of many, BLAS would start threads of its own
    means += 0.5  # to the nearest
    image: NDArray[np.uint8] = means.astype(np.uint8).reshape(*batch, *FRAME_SHAPE)
    return image
