"""The demo's pictures side by side."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamgym.demo.scene import Panel, Scene
from dreamgym.worlds.registry import find
from tests.support.surfaces import pixels

RACING = find("CarRacing")
SCENE = Scene(RACING.aspect)
SIZE = SCENE.size


@pytest.fixture
def frame() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_panels_stand_side_by_side() -> None:
    panels = [Panel("one", "first"), Panel("two", ""), Panel("three", "")]
    for panel, colour in zip(panels, ((200, 0, 0), (0, 200, 0), (0, 0, 200)), strict=True):
        panel.picture = np.full((64, 64, 3), colour, np.uint8)
    panels[1].picture = np.full((350, 600, 3), (0, 200, 0), np.uint8)  # one to be made smaller
    image = pixels(SCENE.draw(panels))
    assert image.shape == (SIZE[1], SIZE[0], 3)
    assert SIZE[0] % 2 == SIZE[1] % 2 == 0  # H.264 takes no others
    middle = image[SIZE[1] // 2]
    for channel in range(3):
        assert (middle[:, channel] == 200).sum() == 400
    assert (middle[:16] == image[0, 0]).all()
    plain = pixels(SCENE.draw([Panel("", ""), *panels[1:]]))
    assert not np.array_equal(plain[:52, :416], image[:52, :416])  # the words are there
    np.testing.assert_array_equal(plain[:, 430:], image[:, 430:])


def test_picture_is_the_right_way_up() -> None:
    panel = Panel("", "")
    panel.picture = np.zeros((64, 64, 3), np.uint8)
    panel.picture[:32, 32:] = 255  # above, to the right
    image = pixels(SCENE.draw([panel]))
    assert (image[60:180, 230:410] > 200).all()
    assert (image[210:320, 20:200] < 50).all()
    assert (image[60:180, 20:200] < 50).all()


def test_ending_is_written_over_the_picture(frame: NDArray[np.uint8]) -> None:
    panel = Panel("", "")
    panel.picture = frame
    before = pixels(SCENE.draw([panel]))
    panel.ended = "lap finished"
    after = pixels(SCENE.draw([panel]))
    assert not np.array_equal(before[52:332, 16:416], after[52:332, 16:416])
    np.testing.assert_array_equal(before[:, 420:], after[:, 420:])


def test_pictures_of_another_shape_keep_it() -> None:
    scene = Scene(2.5)
    panel = Panel("", "", picture=np.full((64, 64, 3), 200, np.uint8))
    image = pixels(scene.draw([panel]))
    assert image.shape == (52 + 160 + 44, SIZE[0], 3)
    assert (image[52:212, 16:416] == 200).all()


def test_a_long_line_below_stays_under_its_own_picture(frame: NDArray[np.uint8]) -> None:
    panels = [Panel("", "", frame) for _ in range(3)]
    without = pixels(SCENE.draw(panels))
    for words in ("   ".join(f"action {i} 0.00" for i in range(6)), "x" * 400):
        panels[0].below = words
        image = pixels(SCENE.draw(panels))
        assert not np.array_equal(image[:, :416], without[:, :416])
        np.testing.assert_array_equal(image[:, 416:], without[:, 416:])
