"""What is written to files: by a key in the window, or a whole recording without one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pygame

from dreamgym.config import PlayConfig
from dreamgym.data.seeds import refuse_test_seeds
from dreamgym.errors import ConfigError, DreamGymError, InstallationError
from dreamgym.files import atomic_write, make_folder
from dreamgym.play.commands import Command, command_of, is_of_a_session, obey
from dreamgym.play.episode_log import EpisodeFolder
from dreamgym.play.playable import Playable
from dreamgym.play.screen import Status, draw
from dreamgym.play.session import Session
from dreamgym.play.video import Video, require_ffmpeg

__all__ = ["Recordings", "record"]

_SIZE: Final = (1280, 720)


class Recordings:
    """Images, videos and episodes in one folder; nothing is created before the first.

    Each method returns a line to show the person.

    Args:
        config: whose ``out`` is the folder.
        fps: of the window.
    """

    def __init__(self, config: PlayConfig, fps: int) -> None:
        self._config, self._fps = config, fps
        self._folder: Path = config.out
        self._video: Video | None = None
        self._finishing: list[threading.Thread] = []
        self._news: list[str] = []
        self._episodes: EpisodeFolder | None = None

    @property
    def recording(self) -> float | None:
        """Seconds of the video so far; None where none is being recorded."""
        return None if self._video is None else self._video.seconds

    def image(self, surface: pygame.Surface) -> str:
        """Save what the window shows."""
        path = _free_name(self._folder, "image", ".png")
        try:
            make_folder(path.parent)
            with atomic_write(path) as temporary:
                pygame.image.save(surface, temporary)
        except (OSError, pygame.error) as error:
            return f"Could not save the image: {error}"
        return f"Saved {path}"

    def toggle_video(self, surface: pygame.Surface, suffix: str) -> str:
        """Begin a video, .mp4 or .gif, or end the one that is being recorded."""
        if self._video is not None:
            return f"Finishing {self._finish()} ..."
        try:
            self._video = Video(_free_name(self._folder, "video", suffix), surface.get_size(), self._fps)
        except InstallationError as error:
            return str(error)
        except OSError as error:
            return f"Could not begin a video: {error}"
        return f"Recording {self._video.path}"

    def show(self, surface: pygame.Surface) -> None:
        """What the window shows now, for the video if there is one."""
        if self._video is None:
            return
        try:
            self._video.add(surface)
        except DreamGymError as error:
            self._video = None
            self._news.append(str(error))
        else:
            if self._video.full:
                self._news.append(f"A GIF is long enough: finishing {self._finish()} ...")

    def save_episodes(self, session: Session) -> str:
        """Save the episode so far, of reality and the dream where both are played."""
        if self._config.save_episodes is not None:
            return f"Every episode is saved to {self._config.save_episodes} when it ends"
        played: list[Playable] = [session.real, session.dream] if session.side_by_side else [session.leader]
        episodes = [(each.episode(), each.dreamt) for each in played]
        try:
            real_seeds = [each.seed for each in played if not each.dreamt]
            refuse_test_seeds(real_seeds, "episodes that are saved as training data")
            if self._episodes is None:
                self._episodes = EpisodeFolder(self._folder / "episodes", self._config)
            paths = [self._episodes.write(it, dream=dreamt) for it, dreamt in episodes if it is not None]
        except (OSError, DreamGymError) as error:
            return f"Could not save the episode: {error}"
        return f"Saved {' and '.join(map(str, paths))}" if paths else "Too little to save yet: play on for a moment"

    @property
    def busy(self) -> bool:
        """Whether a video is being recorded or completed."""
        return self._video is not None or any(thread.is_alive() for thread in self._finishing)

    def news(self) -> str | None:
        """A line about something that happened in the background; None where nothing did."""
        return self._news.pop(0) if self._news else None

    def close(self) -> None:
        """End a video that is being recorded, and wait until all files are whole."""
        if self._video is not None:
            self._finish()
        for thread in self._finishing:
            thread.join()

    def _finish(self) -> Path:
        """Complete the video in the background: making a GIF takes seconds, in which the game should go on."""
        assert self._video is not None
        video, self._video = self._video, None

        def work() -> None:
            try:
                self._news.append(f"Saved {video.finish()}")
            except (OSError, DreamGymError) as error:
                self._news.append(str(error))

        thread = threading.Thread(target=work, name="finish-video")
        thread.start()
        self._finishing.append(thread)
        return video.path


def _free_name(folder: Path, stem: str, suffix: str) -> Path:
    """The first of ``stem-001``, ``stem-002``, ... that is not there, and that nobody is writing.

    A video is there at its end. Until then a hidden folder of its name is, whichever window records it.
    """
    names = (f"{stem}-{number:03d}{suffix}" for number in itertools.count(1))
    return next(folder / name for name in names if not (folder / name).exists() and not any(folder.glob(f".{name}.*")))


def record(
    config: PlayConfig, path: Path, make_session: Callable[[], Session], before_step: Callable[[], None] = lambda: None
) -> None:
    """Record ``config.frames`` frames without a window; interrupted, it leaves no file.

    Args:
        config: which keys are pressed in which frame, and the size.
        path: .mp4 or .gif.
        make_session: makes what is recorded.
        before_step: called before each frame.

    Raises:
        ConfigError: a key press that cannot be read or does nothing in a recording.
        InstallationError: imageio and ffmpeg are not installed.
        WorkerError: ffmpeg failed.
    """
    presses = _presses(config.press, config.frames)
    require_ffmpeg()
    session = make_session()
    try:
        surface = pygame.Surface(config.size or _SIZE)
        video = Video(path, surface.get_size(), session.fps)
        try:
            for frame in range(config.frames):
                before_step()
                for command in presses.get(frame, []):
                    obey(session, command)
                session.tick(np.zeros_like(session.action))
                draw(surface, session, Status())
                video.add(surface)
            video.finish()
        finally:
            video.discard()
    finally:
        session.close()
    print(f"{path}: {config.frames} frames, {config.frames / session.fps:.1f} s")


def _presses(given: tuple[str, ...], frames: int) -> dict[int, list[Command]]:
    """Commands by the frame before which they are given, from FRAME:KEY."""
    presses: dict[int, list[Command]] = {}
    for press in given:
        frame, _, key = press.partition(":")
        command = command_of(key)
        if not frame.isdecimal() or command is None:
            raise ConfigError(f"press: expected FRAME:KEY with a key of the help page, got {press!r}")
        if not is_of_a_session(command):
            raise ConfigError(f"press: {press!r} is for a window, and does nothing in a recording; leave it out")
        if int(frame) >= frames:
            raise ConfigError(f"press: expected a frame before the recording's end at {frames}, got {press!r}")
        presses.setdefault(int(frame), []).append(command)
    return presses
