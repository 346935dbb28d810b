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


def _row_weights() -> NDArray[np.float32]:
    """Area of each source row under each output row, in sixteenths of a row: (64, 84), each row sums to 21."""
    edges = np.arange(65) * 21  # output row i covers source rows [i * 21/16, (i + 1) * 21/16)
    source = np.arange(_ROWS) * 16
    low = np.maximum(edges[:-1, None], source)
    high = np.minimum(edges[1:, None], source + 16)
    weights: NDArray[np.float32] = np.maximum(high - low, 0).astype(np.float32)
    return weights


_ROW_WEIGHTS: Final = _row_weights()
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
    cropped = frame[:_ROWS].astype(np.float32).reshape(_ROWS, -1)
    rows = (_ROW_WEIGHTS @ cropped).reshape(64, 96, 3)
    left, middle, right = rows[:, 0::3], rows[:, 1::3], rows[:, 2::3]  # three source columns make two
    total = np.empty(FRAME_SHAPE, np.float32)
    total[:, 0::2] = 2 * left + middle
    total[:, 1::2] = middle + 2 * right
    return ((total.astype(np.int32) + _TOTAL_WEIGHT // 2) // _TOTAL_WEIGHT).astype(np.uint8)
