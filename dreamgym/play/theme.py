"""How the window looks: the palette, the typeface, and a painter that places everything on one grid.

Everything is laid out for a screen of 1280 by 720 units; the painter maps units to the pixels of whatever surface
there is, in proportion, so that text stays sharp at every size and the pictures keep their shape.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import pygame

__all__ = ["Painter", "Rect", "font", "mix"]

Color = tuple[int, int, int]
Rect = tuple[float, float, float, float]
"""Left, top, width and height in units."""
Align = Literal["left", "center", "right"]

WIDTH: Final = 1280
HEIGHT: Final = 720
MARGIN: Final = 24

BACKGROUND: Final[Color] = (17, 19, 23)
PANEL: Final[Color] = (25, 28, 33)
LINE: Final[Color] = (46, 50, 58)
FAINT: Final[Color] = (116, 122, 133)
MUTED: Final[Color] = (147, 154, 165)
TEXT: Final[Color] = (232, 235, 239)
REALITY: Final[Color] = (240, 182, 92)
DREAM: Final[Color] = (158, 152, 255)
ALERT: Final[Color] = (255, 112, 98)

SMALL: Final = 13
BODY: Final = 15
TITLE: Final = 19
NUMBER: Final = 28
LARGE: Final = 46

_FONTS: Final = Path(__file__).parents[1] / "assets" / "fonts"


def mix(color: Color, other: Color, share: float) -> Color:
    """A colour between two: ``share`` of the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, other, strict=True))
    return red, green, blue


def font(size: int, bold: bool) -> pygame.font.Font:
    """The one typeface.

    Args:
        size: pixels.
        bold: the semi-bold weight.
    """
    pygame.font.init()
    found = _font(size, bold)
    try:
        found.get_height()
    except pygame.error:  # somebody, such as Gymnasium's player, has quit pygame since, which ends its fonts
        _font.cache_clear()
        found = _font(size, bold)
    return found


@lru_cache(maxsize=64)
def _font(size: int, bold: bool) -> pygame.font.Font:
    return pygame.font.Font(_FONTS / f"DreamgymSans-{'SemiBold' if bold else 'Regular'}.otf", size)


@lru_cache(maxsize=1024)
def _text(text: str, size: int, bold: bool, color: Color) -> pygame.Surface:
    return font(size, bold).render(text, True, color)


@lru_cache(maxsize=128)
def _rounded(width: int, height: int, radius: int, color: Color, border: Color | None) -> pygame.Surface:
    """A smooth rounded rectangle: drawn four times as large, and shrunk."""
    large = pygame.Surface((4 * width, 4 * height), pygame.SRCALPHA)
    large.fill((*(border or color), 0))
    pygame.draw.rect(large, border or color, large.get_rect(), border_radius=4 * radius)
    if border is not None:
        inside = large.get_rect().inflate(-8, -8)
        pygame.draw.rect(large, color, inside, border_radius=4 * radius - 4)
    return pygame.transform.smoothscale(large, (width, height))


class Painter:
    """Draws in units onto a surface of any size.

    Args:
        surface: to draw on.
    """

    def __init__(self, surface: pygame.Surface) -> None:
        self.surface = surface
        width, height = surface.get_size()
        self.scale = min(width / WIDTH, height / HEIGHT)
        self._left = (width - WIDTH * self.scale) / 2
        self._top = (height - HEIGHT * self.scale) / 2

    def pixels(self, rect: Rect) -> pygame.Rect:
        """A rectangle of units in whole pixels."""
        left, top, width, height = rect
        x, y = round(self._left + left * self.scale), round(self._top + top * self.scale)
        right, bottom = self._left + (left + width) * self.scale, self._top + (top + height) * self.scale
        return pygame.Rect(x, y, max(round(right) - x, 1), max(round(bottom) - y, 1))

    def fill(self, rect: Rect, color: Color) -> None:
        """A filled rectangle."""
        self.surface.fill(color, self.pixels(rect))

    def shade(self, rect: Rect, color: Color, opacity: float) -> None:
        """A veil over a rectangle."""
        box = self.pixels(rect)
        veil = pygame.Surface(box.size)
        veil.fill(color)
        veil.set_alpha(round(255 * opacity))
        self.surface.blit(veil, box)

    def rounded(self, rect: Rect, color: Color, border: Color | None = None, radius: float = 6) -> None:
        """A filled rectangle with round corners."""
        box = self.pixels(rect)
        self.surface.blit(_rounded(*box.size, max(round(radius * self.scale), 1), color, border), box)

    def text(
        self,
        text: str,
        left: float,
        top: float,
        size: int = BODY,
        color: Color = TEXT,
        *,
        bold: bool = False,
        align: Align = "left",
    ) -> float:
        """A line of text.

        The tops of its capitals are at ``top``; its left end, middle or right end is at ``left``.

        Returns:
            Its width in units.
        """
        pixels = max(round(size * self.scale), 6)
        drawn = _text(text, pixels, bold, color)
        share = {"left": 0.0, "center": 0.5, "right": 1.0}[align]
        chosen = font(pixels, bold)
        # Lines are set by their capitals, 0.727 of the size in this typeface, so that sizes align with each other.
        above = chosen.get_ascent() - 0.727 * pixels
        x = self._left + left * self.scale - share * drawn.get_width()
        self.surface.blit(drawn, (round(x), round(self._top + top * self.scale - above)))
        return drawn.get_width() / self.scale

    def width_of(self, text: str, size: int = BODY, *, bold: bool = False) -> float:
        """A line's width in units."""
        return font(max(round(size * self.scale), 6), bold).size(text)[0] / self.scale

    def keycap_width(self, cap: str) -> float:
        """Of a key with its name."""
        return max(self.width_of(cap, SMALL, bold=True) + 14, 24.0)

    def keycap(self, cap: str, left: float, top: float, color: Color = TEXT) -> float:
        """A key with its name, 22 units high; returns its width."""
        width = self.keycap_width(cap)
        self.rounded((left, top, width, 22), PANEL, LINE, 5)
        self.text(cap, left + width / 2, top + 6.5, SMALL, color, bold=True, align="center")
        return width
