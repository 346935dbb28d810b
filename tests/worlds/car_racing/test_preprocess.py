from __future__ import annotations

import numpy as np
import pytest

from dreamgym.errors import ObservationError
from dreamgym.worlds.car_racing.preprocess import preprocess


def area_average(frame: np.ndarray) -> np.ndarray:
    """The definition, in float64: each output pixel is the mean of the area that it covers."""

    def overlaps(out: int, source: int) -> np.ndarray:
        edges = np.arange(out + 1) * source / out
        low = np.maximum(edges[:-1, None], np.arange(source))
        high = np.minimum(edges[1:, None], np.arange(source) + 1)
        weights = np.clip(high - low, 0, None)
        return weights / weights.sum(axis=1, keepdims=True)

    return np.einsum("ij,jkc,lk->ilc", overlaps(64, 84), frame[:84].astype(float), overlaps(64, 96), optimize=True)


def test_is_the_area_average_of_the_rows_above_the_dashboard():
    frame = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    small = preprocess(frame)
    assert small.dtype == np.uint8 and small.shape == (64, 64, 3)
    assert np.abs(small - area_average(frame)).max() <= 0.5


def test_several_frames_are_each_alone():
    frames = np.random.default_rng(2).integers(0, 256, (2, 5, 96, 96, 3), dtype=np.uint8)
    small = preprocess(frames)
    assert small.shape == (2, 5, 64, 64, 3)
    for index in np.ndindex(2, 5):
        assert np.array_equal(small[index], preprocess(frames[index]))


def test_every_mean_is_rounded_to_the_nearest():
    levels = np.arange(256, dtype=np.uint8)  # beside black, every weighted sum that a pixel's area can have
    frames = np.zeros((256, 96, 96, 3), np.uint8)
    frames[:, ::2] = levels[:, None, None, None]
    means = np.stack([area_average(frame) for frame in frames])
    assert np.array_equal(preprocess(frames), np.floor(means + 0.5 + 1e-9))


def test_the_dashboard_makes_no_difference():
    frame = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    other = frame.copy()
    other[84:] = 0
    assert np.array_equal(preprocess(frame), preprocess(other))


@pytest.mark.parametrize(
    "frame", [np.zeros((64, 64, 3), np.uint8), np.zeros((96, 96, 3), np.float32), np.zeros((96, 96), np.uint8)]
)
def test_another_shape_or_dtype_is_refused_by_name(frame):
    with pytest.raises(ObservationError, match=r"expected .*\(96, 96, 3\)"):
        preprocess(frame)
