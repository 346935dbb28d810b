"""What is kept by a key: images, videos, drives. Each method returns a line to show the player."""

from __future__ import annotations

import threading
from pathlib import Path

import pygame

from dreamgym.config import PlayConfig
from dreamgym.errors import DreamGymError, InstallationError
from dreamgym.play.saving import EpisodeFolder
from dreamgym.play.session import Session
from dreamgym.play.video import Video, free_name, save_image
from dreamgym.play.worlds import World
from dreamgym.seeds import refuse_test_seeds

__all__ = ["Outputs"]


class Outputs:
    """Files that the player asks for, in one folder; nothing is created before the first.

    Args:
        config: whose ``out`` is the folder.
    """

    def __init__(self, config: PlayConfig) -> None:
        self._config = config
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
        try:
            return f"Saved {save_image(surface, free_name(self._folder, 'image', '.png'))}"
        except (OSError, pygame.error) as error:
            return f"Could not save the image: {error}"

    def toggle_video(self, surface: pygame.Surface, suffix: str) -> str:
        """Begin a video, .mp4 or .gif, or end the one that is being recorded."""
        if self._video is not None:
            video, self._video = self._video, None
            self._finish(video)
            return f"Finishing {video.path} ..."
        try:
            self._video = Video(free_name(self._folder, "drive", suffix), surface.get_size())
        except InstallationError:
            return "Recording needs ffmpeg: pip install 'dreamgym[train]'"
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

    def save_drives(self, session: Session) -> str:
        """Save the drive so far, of both worlds where both are driven."""
        if self._config.save_episodes is not None:
            return f"Every drive is saved to {self._config.save_episodes} when it ends"
        worlds: list[World] = [session.real, session.dream] if session.side_by_side else [session.leader]
        episodes = [(world.episode(), world.dreamt) for world in worlds]
        try:
            if any(not dreamt for _, dreamt in episodes):
                refuse_test_seeds([session.seed], "drives that are saved as training data")
            if self._episodes is None:
                self._episodes = EpisodeFolder(self._folder / "episodes", self._config)
            paths = [self._episodes.write(it, dream=dreamt) for it, dreamt in episodes if it is not None]
        except (OSError, DreamGymError) as error:
            return f"Could not save the drive: {error}"
        return f"Saved {' and '.join(map(str, paths))}" if paths else "Too little to save yet: drive on for a moment"

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
            video, self._video = self._video, None
            self._finish(video)
        for thread in self._finishing:
            thread.join()

    def _finish(self, video: Video) -> None:
        """Making a GIF takes seconds, in which the game should go on."""

        def work() -> None:
            try:
                self._news.append(f"Saved {video.finish()}")
            except (OSError, DreamGymError) as error:
                self._news.append(str(error))

        thread = threading.Thread(target=work, name="finish-video")
        thread.start()
        self._finishing.append(thread)
