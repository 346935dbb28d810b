"""The one way from a CarRacing observation to the picture that V sees."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ObservationError

__all__ = ["FRAME_SHAPE", "PREPROCESS_VERSION", "preprocess"]

PREPROCESS_VERSION: Final = 1
"""Recorded with episodes and weights; raised whenever a pixel that :func:`preprocess` returns would change."""

FRAME_SHAPE: Final = (64, 64, 3)
_RAW_SHAPE: Final = (96, 96, 3)
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
_COLUMN_WEIGHTS: Final = np.kron(
    np.eye(_PERIOD, dtype=np.float32), np.kron(_overlaps(2, 3).T, np.eye(3, dtype=np.float32))
)
_TOTAL_WEIGHT: Final = 21 * 3


def preprocess(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut off the dashboard and resize to 64x64 by area averaging.

    Weights are integers and every sum is below 2**24, so the result is exact: the same on every machine.

    Args:
        frame: CarRacing's observation, uint8 of shape (96, 96, 3).

    Returns:
        uint8 of shape (64, 64, 3).

    Raises:
        ObservationError: for another shape or dtype.
    """
    if frame.shape != _RAW_SHAPE or frame.dtype != np.uint8:
        raise ObservationError(
            f"expected a CarRacing frame, uint8 of shape {_RAW_SHAPE}; got {frame.dtype} of shape {frame.shape}"
        )
    cropped = frame[:_ROWS].astype(np.float32).reshape(4, 21, 96 * 3)
    rows = (_ROW_WEIGHTS @ cropped).reshape(4, -1, 9 * _PERIOD)
    total = (rows @ _COLUMN_WEIGHTS).astype(np.uint16)  # at most 255 * 63
    total += _TOTAL_WEIGHT // 2
    total //= _TOTAL_WEIGHT
    image: NDArray[np.uint8] = total.astype(np.uint8).reshape(FRAME_SHAPE)
    return image
