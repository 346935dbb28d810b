"""The window itself: opening it at a readable size, and full screen."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Final

import pygame

from dreamgym.errors import ConfigError
from dreamgym.play import theme

__all__ = ["Window"]

_NOWHERE: Final = ("dummy", "offscreen")
"""What SDL draws on, unasked, where there is no display."""


_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER")
"""Where none of these is set on Linux, there is no display, and asking for one makes Wayland's library complain."""


class Window:
    """A resizable window.

    Args:
        size: pixels; None for as large as the screen allows with some room to spare, so that text is as legible on
            one of high density.

    Raises:
        ConfigError: there is no display.
    """

    def __init__(self, size: tuple[int, int] | None) -> None:
        if sys.platform == "linux" and not any(os.environ.get(name) for name in _DISPLAYS):
            raise _no_display("neither DISPLAY nor WAYLAND_DISPLAY is set")
        try:
            pygame.display.init()
        except pygame.error as error:
            raise _no_display(str(error)) from error
        driver = pygame.display.get_driver()
        if driver in _NOWHERE and os.environ.get("SDL_VIDEODRIVER") != driver:
            pygame.display.quit()
            raise _no_display("DISPLAY and WAYLAND_DISPLAY lead nowhere")
        if driver == "x11":
            # Shared memory, not OpenGL: as quick with graphics hardware, and without it 0.2 ms a picture instead of 8.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        pygame.display.set_caption("dreamgym")
        pygame.display.set_icon(_icon())
        self._size = size or _fitting()
        self._full = False
        _open(self._size)

    @property
    def surface(self) -> pygame.Surface:
        """What is shown at the next flip, of the window's present size."""
        surface = pygame.display.get_surface()
        assert surface is not None
        return surface

    def toggle_full_screen(self) -> None:
        """Fill the screen, or go back to the size before."""
        if not self._full:
            self._size = self.surface.get_size()
        self._full = not self._full
        if self._full:
            pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        else:
            _open(self._size)

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()


def _open(size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        # A tiling window manager gives another size, as it may.
        warnings.filterwarnings("ignore", "Requested window was forcibly resized", RuntimeWarning)
        pygame.display.set_mode(size, pygame.RESIZABLE)


def _no_display(reason: str) -> ConfigError:
    return ConfigError(
        f"there is no display to open a window on ({reason}); to record a drive without one, run "
        "dreamgym play --record drive.mp4 --driver controller"
    )


def _fitting() -> tuple[int, int]:
    """The layout's size, enlarged by quarters as far as nine tenths of the screen allow."""
    width, height = pygame.display.get_desktop_sizes()[0]
    scale = min(0.9 * width / theme.WIDTH, 0.9 * height / theme.HEIGHT)
    scale = min(int(scale * 4) / 4, 3.0) if scale >= 1.0 else max(scale, 0.25)
    return round(theme.WIDTH * scale), round(theme.HEIGHT * scale)


def _icon() -> pygame.Surface:
    """Reality and dream, side by side."""
    icon = pygame.Surface((64, 64), pygame.SRCALPHA)
    for left, color in ((20, theme.REALITY), (44, theme.DREAM)):
        pygame.draw.circle(icon, color, (left, 32), 18)
    return icon
