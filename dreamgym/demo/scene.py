"""A frame of the demo's film: reality, what V makes of it, and a dream, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray

from dreamgym.dream.rendering import resize
from dreamgym.play import theme

__all__ = ["Panel", "Scene"]

_WIDTH: Final = 400
_GAP: Final = 16
_HEAD: Final = 52
_FOOT: Final = 44


@dataclass
class Panel:
    """One of the three pictures and the words around it."""

    title: str
    """Above it."""
    about: str
    """Beside the title, smaller."""
    picture: NDArray[np.uint8] | None = None
    """uint8 (height, width, 3), of any size."""
    below: str = ""
    """The line below the picture."""
    ended: str = ""
    """What is written over the picture once the episode is over."""


class Scene:
    """Draws panels side by side; needs no display.

    Args:
        aspect: width over height of the pictures.
    """

    def __init__(self, aspect: float) -> None:
        self._panel = (_WIDTH, round(_WIDTH / aspect / 2) * 2)
        self.size = (3 * _WIDTH + 4 * _GAP, _HEAD + self._panel[1] + _FOOT)
        """Width and height of a frame, even."""

    def draw(self, panels: list[Panel]) -> pygame.Surface:
        """A frame."""
        surface = pygame.Surface(self.size)
        surface.fill(theme.BACKGROUND)
        title_font, small_font = theme.font(21, True), theme.font(17, False)
        width, height = self._panel
        for index, panel in enumerate(panels):
            left = _GAP + index * (width + _GAP)
            title = title_font.render(panel.title, True, theme.TEXT)
            surface.blit(title, (left, 40 - title_font.get_ascent()))  # on one line with what is beside it
            about = small_font.render(panel.about, True, theme.MUTED)
            surface.blit(about, (left + title.get_width() + 12, 40 - small_font.get_ascent()))
            if panel.picture is not None:
                pixels = resize(panel.picture[None], (height, width))[0]
                surface.blit(pygame.image.frombuffer(pixels, self._panel, "RGB"), (left, _HEAD))
            surface.blit(_fitting(panel.below, width), (left, _HEAD + height + 11), (0, 0, width, _FOOT))
            if panel.ended:
                self._write_end(surface, panel.ended, pygame.Rect(left, _HEAD, width, height))
        return surface

    def _write_end(self, surface: pygame.Surface, words: str, box: pygame.Rect) -> None:
        shade = pygame.Surface(box.size, pygame.SRCALPHA)
        shade.fill((*theme.BACKGROUND, 150))
        surface.blit(shade, box)
        text = theme.font(24, True).render(words, True, theme.TEXT)
        surface.blit(text, text.get_rect(center=box.center))


def _fitting(words: str, width: int) -> pygame.Surface:
    """A line of text, smaller where it would be wider than that: a world may have many actions."""
    sizes = iter(range(17, 8, -1))
    text = theme.font(next(sizes), False).render(words, True, theme.MUTED)
    for size in sizes:
        if text.get_width() <= width:
            break
        text = theme.font(size, False).render(words, True, theme.MUTED)
    return text
