"""Recording what a window shows, through imageio's ffmpeg: MP4 or GIF; each file is whole or not there."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any, Final

import pygame

from dreamgym.errors import InstallationError, OutputFolderError, WorkerError
from dreamgym.files import make_folder

__all__ = ["Video", "fitted", "require_ffmpeg"]

# H.264 needs even sides.
_MP4: Final = (
    "-vf",
    "crop=trunc(iw/2)*2:trunc(ih/2)*2",
    "-preset",
    "veryfast",
    "-crf",
    "18",
    "-movflags",
    "+faststart",
)
# A GIF counts in hundredths of a second, so it gets an eighth of 100 frames a second, and the 256 colours that suit all
# of it. With more frames, wider or dithered, a file of a few seconds is too large for most places.
_COLOURS: Final = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
_LONGEST_GIF: Final = 30.0
"""Seconds: ffmpeg holds all of a GIF in memory until it knows the colours, 26 MB a second."""
_GIF_FPS: Final = 12.5
_GIF: Final = ("-filter_complex", f"fps={_GIF_FPS},scale='min(960,iw)':-1:flags=lanczos,{_COLOURS}", "-loop", "0")


class Video:
    """A video that is being written.

    A GIF has 12.5 frames a second, and is at most 960 pixels wide.

    Args:
        path: where it will stand when :meth:`finish` has returned, .mp4 or .gif; nothing is there before.
        size: of the surfaces to come, pixels.
        fps: surfaces a second.

    Raises:
        InstallationError: imageio's ffmpeg is not installed.
        OutputFolderError: the path is a folder, or lies below a file.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        require_ffmpeg()
        import imageio_ffmpeg

        self.path = path
        self.frames = 0
        self._last: bytes | None = None
        self._size, self._fps = size, fps
        if path.is_dir():
            raise OutputFolderError(f"expected the name of a video's file, got the folder {path}; choose another name")
        make_folder(path.parent)
        try:
            folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        except OSError as error:
            error.filename = str(path)
            raise
        # A folder, which goes with this object or the process, wherever ffmpeg stands: a signal may come at any moment.
        self._remove_folder = weakref.finalize(self, _remove, folder)
        self._temporary = folder / path.name
        self._is_gif = path.suffix.lower() == ".gif"
        self._writer: Any = imageio_ffmpeg.write_frames(
            str(self._temporary),
            size,
            fps=fps,
            codec="gif" if self._is_gif else "libx264",
            pix_fmt_out="pal8" if self._is_gif else "yuv420p",
            quality=None,
            macro_block_size=1,
            ffmpeg_log_level="error",
            output_params=list(_GIF if self._is_gif else _MP4),
        )
        self._writer.send(None)  # starts it

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self.frames / self._fps

    @property
    def full(self) -> bool:
        """Whether no more should be added."""
        return self._is_gif and self.seconds >= _LONGEST_GIF

    def add(self, surface: pygame.Surface) -> None:
        """Append a frame.

        One of another size is brought to the first one's, its shape kept.

        Raises:
            WorkerError: ffmpeg has failed; nothing is left of the file.
        """
        self._last = pygame.image.tobytes(fitted(surface, self._size), "RGB")
        try:
            self._writer.send(self._last)
        except OSError as error:
            self.discard()
            raise WorkerError(f"ffmpeg could not write {self.path}: {error}") from error
        self.frames += 1

    def finish(self) -> Path:
        """Complete the file and put it in its place.

        Raises:
            WorkerError: ffmpeg has failed, or there was no frame; nothing is left of the file.
        """
        import imageio_ffmpeg

        try:
            if self._is_gif and self._last is not None:
                for _ in range(self.frames, math.ceil(self._fps / _GIF_FPS)):
                    self._writer.send(self._last)  # ffmpeg makes no GIF of less than one of its frames
            self._writer.close()
            imageio_ffmpeg.count_frames_and_secs(str(self._temporary))
            os.replace(self._temporary, self.path)
        except (OSError, RuntimeError) as error:
            raise WorkerError(f"ffmpeg could not write {self.path}, of {self.frames} frames: {error}") from error
        finally:
            self.discard()
        return self.path

    def discard(self) -> None:
        """Stop, and leave nothing unfinished."""
        self._writer.close()
        self._remove_folder()


def _remove(folder: Path) -> None:
    """Remove a folder in which an ffmpeg that nobody waits for may just be opening its file."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def require_ffmpeg() -> None:
    """Raise :class:`~dreamgym.errors.InstallationError` unless videos can be written."""
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise InstallationError(
            f"videos need imageio's ffmpeg ({error}); run: pip install 'dreamgym[train]'"
        ) from error


def fitted(surface: pygame.Surface, size: tuple[int, int]) -> pygame.Surface:
    """A surface as large as it fits into another size, in its middle."""
    if surface.get_size() == size:
        return surface
    inside = surface.get_rect().fit((0, 0, *size))
    result = pygame.Surface(size)
    result.blit(pygame.transform.smoothscale(surface, inside.size), inside)
    return result
