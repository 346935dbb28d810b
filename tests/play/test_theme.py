"""Pictures and text on a screen of any size."""

from __future__ import annotations

import pygame
import pytest

from dreamgym.play.theme import Painter, font


@pytest.mark.parametrize("size", [(1280, 720), (2560, 1440), (1000, 900), (1600, 700), (641, 359)])
def test_pictures_keep_their_shape_at_every_size(size: tuple[int, int]) -> None:
    painter = Painter(pygame.Surface(size))
    box = painter.pixels((24.0, 100.0, 500.0, 350.0))
    assert box.width / box.height == pytest.approx(10 / 7, abs=0.02)
    whole = painter.pixels((0.0, 0.0, 1280.0, 720.0))
    assert pygame.Rect((0, 0), size).inflate(2, 2).contains(whole)
    assert whole.width in (size[0], round(size[1] * 16 / 9)) or whole.height == size[1]
    margins = (size[0] - whole.width, size[1] - whole.height)
    assert min(margins) <= 1
    assert abs(2 * whole.x - margins[0]) <= 1


def test_text_is_drawn_after_pygame_was_quit() -> None:
    before = font(20, True).size("dream")
    pygame.quit()
    pygame.font.init()
    assert font(20, True).size("dream") == before
