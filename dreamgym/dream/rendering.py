"""Pictures of the dream: V's decoding of the latents, enlarged for people, and a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dreamgym._compat import require_pygame
from dreamgym.threads import for_each_tile, single_thread
from dreamgym.vision.fast_inference import PackedDecoder
from dreamgym.vision.vae import VAE
from dreamgym.worlds.base import FRAME_SHAPE

if TYPE_CHECKING:
    import pygame

__all__ = ["Window", "decode_frames", "render_size", "resize"]

_LONGER_SIDE: Final = 640

_TILE: Final = 8  # pictures at once: above this their patches leave the cache
_decoders: WeakKeyDictionary[VAE, tuple[list[tuple[int, int]], PackedDecoder]] = WeakKeyDictionary()


def _decoder(vision: VAE) -> PackedDecoder:
    """V's decoder laid out for products, once for as long as its weights stay as they are."""
    weights = [(weight.data_ptr(), weight._version) for weight in vision.parameters()]
    kept = _decoders.get(vision)
    if kept is None or kept[0] != weights:
        kept = _decoders[vision] = weights, PackedDecoder(vision)
    return kept[1]


@torch.no_grad()
def decode_frames(vision: VAE, z: Tensor) -> Tensor:
    """V's pictures, each the same to the bit whatever the others are.

    Args:
        vision: V.
        z: float32 of shape (B, Z), on V's device.

    Returns:
        uint8 of shape (B, 64, 64, 3), on the CPU.
    """
    frames = torch.empty(len(z), *FRAME_SHAPE, dtype=torch.uint8)

    def work(tile: slice) -> None:
        with torch.no_grad():  # a worker's thread has a mode of its own
            frames[tile] = decoder(z[tile]).sigmoid().mul_(255.0).round_().to(torch.uint8)

    with single_thread() as threads:
        decoder = _decoder(vision)
        for_each_tile(work, [slice(first, first + _TILE) for first in range(0, len(z), _TILE)], threads)
    return frames


def render_size(aspect: float) -> tuple[int, int]:
    """Height and width of a rendered picture.

    640 pixels on the longer side, and an even number on the other, as videos need.

    Args:
        aspect: width over height of the view that V's square pictures show.
    """
    height, width = (2 * round(_LONGER_SIDE / 2 * share) for share in (min(1 / aspect, 1.0), min(aspect, 1.0)))
    return height, width


def resize(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Frames at another size, larger or smaller, smoothly.

    Args:
        frames: uint8 of shape (B, height, width, 3).
        size: height and width of the result.

    Returns:
        uint8 of shape (B, *size, 3).
    """
    with single_thread():
        writable = np.require(frames, requirements=("C", "W"))
        images = torch.from_numpy(writable).permute(0, 3, 1, 2)  # colours innermost: the quick way
        resized = F.interpolate(images, size, mode="bicubic", antialias=True)
        return resized.permute(0, 2, 3, 1).contiguous().numpy()


class Window:
    """A pygame window that shows frames at a steady rate.

    Nothing is imported or opened before :meth:`show`.

    pygame has one window in a process, which any environment may resize or close at any time. So :meth:`show` asks
    pygame for it each time, and opens it again where it is gone or of another size. Several windows take turns in it.

    Args:
        title: its caption.
        fps: frames a second.
    """

    def __init__(self, title: str, fps: int) -> None:
        self._title = title
        self._fps = fps
        self._screen: pygame.Surface | None = None
        self._clock: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy opens a window of its own."""
        return {**vars(self), "_screen": None, "_clock": None}

    def show(self, frame: NDArray[np.uint8]) -> None:
        """Show a frame, uint8 of shape (height, width, 3), and wait for its turn.

        Raises:
            InstallationError: pygame is missing or broken.
        """
        require_pygame()
        import pygame

        size = frame.shape[1], frame.shape[0]
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            pygame.display.init()
            pygame.display.set_caption(self._title)
            screen = pygame.display.set_mode(size)
        if self._clock is None:
            self._clock = pygame.time.Clock()
        self._screen = screen
        pygame.surfarray.blit_array(screen, frame.swapaxes(0, 1))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Close the window, if it is still the one of the last frame."""
        if self._screen is not None:
            import pygame

            if pygame.display.get_surface() is self._screen:
                pygame.display.quit()
            self._screen = None
