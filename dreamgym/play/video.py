"""Recording what the window shows: MP4 or GIF through ffmpeg, and images; each file is whole or not there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pygame

from dreamgym.errors import InstallationError, WorkerError

__all__ = ["Video", "free_name", "save_image"]

_FPS: Final = 50
_MP4: Final = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
_LOSSLESS: Final = ("-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "0")
# H.264 needs even sides.
_EVEN: Final = ("-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2")
# A GIF counts in hundredths of a second: 12.5 frames a second is one every eight. With more, or dithered, a file of
# a few seconds is too large for most places.
_SMALLER: Final = "fps=12.5,scale='min(960,iw)':-1:flags=lanczos"


class Video:
    """A video being written, at 50 frames a second (a GIF at 12.5, and at most 960 pixels wide).

    Args:
        path: where it will stand when :meth:`finish` has returned, .mp4 or .gif; nothing is there before.
        size: of the surfaces to come, pixels.

    Raises:
        InstallationError: imageio-ffmpeg, which brings ffmpeg, is not installed, or brings none for this machine.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.path = path
        self.frames = 0
        self._size = size
        self._is_gif = path.suffix.lower() == ".gif"
        self._ffmpeg = (_ffmpeg(), "-y", "-loglevel", "error")
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._palette = path.with_name(f".{path.name}.{os.getpid()}.tmp.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(_FPS), "-i", "-")
        coding = (*_LOSSLESS, "-f", "matroska") if self._is_gif else (*_EVEN, *_MP4, "-f", "mp4")
        self._process = self._start(*source, *coding, str(self._temporary))

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        # In a session of its own, so that Ctrl-C reaches this process alone, which then ends ffmpeg in its own way.
        return subprocess.Popen(
            [*self._ffmpeg, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self.frames / _FPS

    def add(self, surface: pygame.Surface) -> None:
        """Append a frame; one of another size is brought to the first one's, its shape kept.

        Raises:
            WorkerError: ffmpeg has failed; nothing is left of the file.
        """
        if surface.get_size() != self._size:
            surface = _fitted(surface, self._size)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pygame.image.tobytes(surface, "RGB"))
        except OSError as error:
            self._process.kill()
            _, errors = self._process.communicate()
            self.discard()
            raise self._failure(errors) from error
        self.frames += 1

    def finish(self) -> Path:
        """Complete the file and put it in its place.

        Raises:
            WorkerError: ffmpeg has failed; nothing is left of the file.
        """
        try:
            self._end()
            if not self.frames:
                raise WorkerError(f"there were no frames to write to {self.path}")
            if self._is_gif:
                self._make_gif()
            os.replace(self._temporary, self.path)
        except BaseException:
            self.discard()
            raise
        return self.path

    def _make_gif(self) -> None:
        """From the lossless recording: first the 256 colours that suit all of it, then the file."""
        recording = self._temporary.with_name(self._temporary.name + ".mkv")
        source = ("-i", str(recording))
        try:
            os.replace(self._temporary, recording)
            palette = f"{_SMALLER},palettegen=stats_mode=diff"
            self._process = self._start(*source, "-vf", palette, "-update", "1", str(self._palette))
            self._end()
            use = f"[0]{_SMALLER}[x];[x][1]paletteuse=dither=none:diff_mode=rectangle"
            colors = ("-i", str(self._palette))
            target = ("-loop", "0", "-f", "gif", str(self._temporary))
            self._process = self._start(*source, *colors, "-filter_complex", use, *target)
            self._end()
        finally:
            recording.unlink(missing_ok=True)
            self._palette.unlink(missing_ok=True)

    def _end(self) -> None:
        """Wait until ffmpeg has done what it was given."""
        _, errors = self._process.communicate()
        if self._process.returncode != 0:
            raise self._failure(errors)

    def discard(self) -> None:
        """Stop, and leave nothing."""
        self._process.kill()
        self._process.communicate()
        self._temporary.unlink(missing_ok=True)

    def _failure(self, errors: bytes) -> WorkerError:
        reason = errors.decode(errors="replace").strip()[-400:]
        return WorkerError(f"ffmpeg could not write {self.path}: {reason or 'it gave no reason'}")


def _ffmpeg() -> str:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise InstallationError(
            f"recording needs imageio-ffmpeg and its ffmpeg ({error}); run: pip install 'dreamgym[train]'"
        ) from error


def _fitted(surface: pygame.Surface, size: tuple[int, int]) -> pygame.Surface:
    """A surface as large as it fits into another size, in its middle."""
    width, height = surface.get_size()
    scale = min(size[0] / width, size[1] / height)
    inside = (max(round(width * scale), 1), max(round(height * scale), 1))
    fitted = pygame.Surface(size)
    fitted.blit(pygame.transform.smoothscale(surface, inside), ((size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2))
    return fitted


def save_image(surface: pygame.Surface, path: Path) -> Path:
    """Write a PNG atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.png")
    try:
        pygame.image.save(surface, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """The first of ``stem-001``, ``stem-002``, ... that is not there."""
    number = 1
    while (path := folder / f"{stem}-{number:03d}{suffix}").exists():
        number += 1
    return path
