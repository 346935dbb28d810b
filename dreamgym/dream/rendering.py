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
from dreamgym.dream.threads import for_each_tile, single_thread
from dreamgym.real.preprocess import FRAME_SHAPE
from dreamgym.vision.packed import PackedDecoder
from dreamgym.vision.vae import VAE

if TYPE_CHECKING:
    import pygame

__all__ = ["RENDER_SIZE", "Window", "decode_frames", "enlarge"]

RENDER_SIZE: Final = (560, 640)
"""Height and width of a rendered picture: V's frames are 84 rows by 96 columns squeezed into a square, and 8 to 7 are
their proportions in reality."""

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

    def work(tile: slice, _: int) -> None:
        with torch.no_grad():  # a worker's thread has a mode of its own
            frames[tile] = decoder(z[tile]).sigmoid().mul_(255.0).round_().to(torch.uint8)

    with single_thread() as threads:
        decoder = _decoder(vision)
        for_each_tile(work, [slice(first, first + _TILE) for first in range(0, len(z), _TILE)], threads)
    return frames


@torch.no_grad()
def enlarge(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames at the size and in the proportions of :data:`RENDER_SIZE`, smoothly.

    Args:
        frames: uint8 of shape (B, 64, 64, 3).

    Returns:
        uint8 of shape (B, 560, 640, 3).
    """
    with single_thread():
        images = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().float()
        large = F.interpolate(images, RENDER_SIZE, mode="bicubic", align_corners=False)
        large = large.clamp_(0.0, 255.0).round_().to(torch.uint8).permute(0, 2, 3, 1)
        return large.contiguous().numpy()


class Window:
    """A pygame window that shows frames at a steady rate. Nothing is imported or opened before :meth:`show`.

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
        """Show a frame, uint8 of shape (560, 640, 3), and wait for its turn.

        Raises:
            InstallationError: pygame is missing or broken.
        """
        require_pygame()
        import pygame

        if self._screen is None:
            pygame.display.init()
            pygame.display.set_caption(self._title)
            self._screen = pygame.display.set_mode((frame.shape[1], frame.shape[0]))
            self._clock = pygame.time.Clock()
        pygame.surfarray.blit_array(self._screen, frame.swapaxes(0, 1))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._screen is not None:
            import pygame

            pygame.display.quit()
            self._screen = None
