"""A frame of the demo's film: reality, what V makes of it, and a dream, side by side."""

from __future__ import annotations

from typing import Final

import numpy as np
import pygame
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dreamgym.play import theme

__all__ = ["GIF_SIZE", "SIZE", "Panel", "Scene"]

Picture = NDArray[np.uint8]
_PANEL: Final = (400, 280)  # the view's true proportions, 10 to 7
_GAP: Final = 16
_HEAD: Final = 52
_FOOT: Final = 44
SIZE: Final = (3 * _PANEL[0] + 4 * _GAP, _HEAD + _PANEL[1] + _FOOT)
"""Width and height of a frame."""

GIF_SIZE: Final = (SIZE[0] // 2, SIZE[1] // 2)
"""The GIF's."""

_VIEW_ROWS: Final = 84 / 96  # the rest is the dashboard, which V does not see


class Panel:
    """One of the three pictures and the words around it.

    Args:
        title: above it.
        about: beside the title, smaller.
    """

    def __init__(self, title: str, about: str) -> None:
        self.title = title
        self.about = about
        self.picture: Picture | None = None
        """uint8 (height, width, 3), of any size."""
        self.below = ""
        """The line below the picture."""
        self.ended = ""
        """What is written over the picture once the drive is over."""


class Scene:
    """Draws panels side by side; needs no display."""

    def __init__(self) -> None:
        self._title = theme.font(21, True)
        self._small = theme.font(17, False)
        self._large = theme.font(34, True)

    def draw(self, panels: list[Panel]) -> pygame.Surface:
        """A frame of :data:`SIZE`."""
        surface = pygame.Surface(SIZE)
        surface.fill(theme.BACKGROUND)
        for index, panel in enumerate(panels):
            left = _GAP + index * (_PANEL[0] + _GAP)
            title = self._title.render(panel.title, True, theme.TEXT)
            surface.blit(title, (left, 40 - self._title.get_ascent()))  # on one line with what is beside it
            about = self._small.render(panel.about, True, theme.MUTED)
            surface.blit(about, (left + title.get_width() + 12, 40 - self._small.get_ascent()))
            if panel.picture is not None:
                surface.blit(_fitted(panel.picture), (left, _HEAD))
            surface.blit(self._small.render(panel.below, True, theme.MUTED), (left, _HEAD + _PANEL[1] + 11))
            if panel.ended:
                self._write_end(surface, panel.ended, left)
        return surface

    def _write_end(self, surface: pygame.Surface, words: str, left: int) -> None:
        shade = pygame.Surface(_PANEL, pygame.SRCALPHA)
        shade.fill((*theme.BACKGROUND, 150))
        surface.blit(shade, (left, _HEAD))
        text = self._large.render(words, True, theme.TEXT)
        middle = (left + _PANEL[0] // 2, _HEAD + _PANEL[1] // 2)
        surface.blit(text, text.get_rect(center=middle))


def _fitted(picture: Picture) -> pygame.Surface:
    """A picture at a panel's size, smoothly."""
    image = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    width, height = _PANEL
    larger = picture.shape[0] <= height
    mode = "bicubic" if larger else "area"
    ends = {"align_corners": False} if larger else {}
    fitted = F.interpolate(image, (height, width), mode=mode, **ends)[0].clamp_(0.0, 255.0)
    return pygame.surfarray.make_surface(fitted.permute(2, 1, 0).round().byte().numpy())


def view(picture: Picture) -> Picture:
    """The part of a rendered picture of reality that V sees: without the dashboard."""
    return picture[: round(_VIEW_ROWS * len(picture))]
