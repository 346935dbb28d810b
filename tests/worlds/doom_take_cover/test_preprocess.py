"""What V sees of Take Cover."""

from __future__ import annotations

import numpy as np
import pytest

from dreamgym.errors import ObservationError
from dreamgym.worlds.registry import find

WORLD = find("doom-take-cover")


def test_preprocessing_is_the_mean_of_areas() -> None:
    raw = np.random.default_rng(0).integers(256, size=(2, 240, 320, 3), dtype=np.uint8)
    means = raw[:, 56:184].reshape(2, 64, 2, 64, 5, 3).astype(np.float64).mean(axis=(2, 4))
    made = WORLD.preprocess(raw)
    assert made.dtype == np.uint8 and made.shape == (2, 64, 64, 3)
    assert np.abs(made - means).max() <= 0.5
    assert np.array_equal(WORLD.preprocess(raw[0]), made[0])


def test_people_see_the_same_part_of_the_frame_as_v() -> None:
    raw = np.random.default_rng(0).integers(256, size=(240, 320, 3), dtype=np.uint8)
    assert WORLD.picture is not None
    seen = WORLD.picture(None, raw)  # type: ignore[arg-type]
    assert seen.shape[1] / seen.shape[0] == WORLD.aspect
    outside = raw.copy()
    outside[:56] = outside[184:] = 0
    assert np.array_equal(WORLD.picture(None, outside), seen)  # type: ignore[arg-type]
    assert np.array_equal(WORLD.preprocess(outside), WORLD.preprocess(raw))


def test_other_frames_are_refused() -> None:
    with pytest.raises(ObservationError, match="240, 320, 3"):
        WORLD.preprocess(np.zeros((96, 96, 3), np.uint8))
