"""Pictures of any size as V takes them."""

from __future__ import annotations

import numpy as np
import pytest

from dreamgym.worlds.resize import Resize


@pytest.mark.parametrize("crop", [None, (1, 7, 2, 12)])
@pytest.mark.parametrize("shape", [(10, 12), (33, 20, 3)])
def test_pictures_are_area_averages(shape: tuple[int, ...], crop: tuple[int, int, int, int] | None) -> None:
    frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    top, bottom, left, right = crop or (0, shape[0], 0, shape[1])
    fine = frame.reshape(*shape[:2], -1)[top:bottom, left:right].astype(np.int64)
    fine = np.repeat(np.repeat(fine, 64, axis=0), 64, axis=1)
    height, width = bottom - top, right - left
    means = fine.reshape(64, height, 64, width, -1).mean(axis=(1, 3))
    expected = np.broadcast_to(np.floor(means + 0.5), (64, 64, 3))
    assert np.array_equal(Resize(shape, crop or (0, shape[0], 0, shape[1]))(frame), expected)
    batch = Resize(shape, (top, bottom, left, right))(np.stack([frame, frame])[:, None])
    assert batch.shape == (2, 1, 64, 64, 3) and np.array_equal(batch[1, 0], expected)


def test_grey_is_brightness_in_all_channels() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[..., 1] = 100
    assert (Resize((64, 64, 3), (0, 64, 0, 64), grey=True)(frame) == 59).all()
