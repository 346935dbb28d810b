"""Does V draw the fireballs? The gate that V must pass before M is trained."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIZES", "check_pictures", "fireball_brightness_kept"]

SIZES: Final = ((1, 3), (4, 8), (9, 20), (21, 60))
"""Ranges of bright pixels in a frame."""

_LEAST_RED, _LEAST_GREEN = 190, 150
"""A fireball is yellow to white, the brightest thing there is."""
_DARK: Final = 90.0
"""The green of the brightest wall: only what is above it belongs to a fireball."""


def fireball_brightness_kept(
    frames: NDArray[np.uint8], reconstructions: NDArray[np.uint8]
) -> dict[tuple[int, int], tuple[float, int]]:
    """The share of fireballs' brightness that reconstructions keep.

    By the number of bright pixels in a frame.

    A squared error over the whole picture hardly changes when a small fireball is left out; this share does.

    Args:
        frames: uint8 (N, 64, 64, 3).
        reconstructions: of the frames, the same shape.

    Returns:
        For each range of :data:`SIZES` the share, NaN where no frame is in it, and the number of frames.
    """
    bright = (frames[..., 0] > _LEAST_RED) & (frames[..., 1] > _LEAST_GREEN)
    count = bright.sum(axis=(1, 2))

    def above(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        excess = np.maximum(pictures[..., 1].astype(np.float64) - _DARK, 0.0)
        total: NDArray[np.float64] = (excess * bright).sum(axis=(1, 2))
        return total

    wanted, found = above(frames), above(reconstructions)
    table = {}
    for least, most in SIZES:
        chosen = (count >= least) & (count <= most)
        share = float(found[chosen].sum() / wanted[chosen].sum()) if chosen.any() else float("nan")
        table[least, most] = share, int(chosen.sum())
    return table


def check_pictures(frames: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> dict[str, float]:
    """The same for the training log: ``fireballs_kept_4_8`` and so on, sizes without frames left out."""
    table = fireball_brightness_kept(frames, reconstructions)
    return {f"fireballs_kept_{least}_{most}": share for (least, most), (share, count) in table.items() if count}
