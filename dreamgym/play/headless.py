"""A recording without a window: ``dreamgym play --record out.mp4``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygame

from dreamgym.config import PlayConfig
from dreamgym.errors import ConfigError
from dreamgym.play.commands import is_of_a_session, obey
from dreamgym.play.keymap import Command, command_of
from dreamgym.play.screen import Status, draw
from dreamgym.play.setup import make_session
from dreamgym.play.video import Video

__all__ = ["record"]

_SIZE = (1280, 720)


def record(config: PlayConfig, path: Path) -> None:
    """Record ``config.frames`` frames of a drive; interrupted, it leaves no file.

    Args:
        config: who drives, where, and which keys are pressed in which frame.
        path: .mp4 or .gif.

    Raises:
        ConfigError: a key press that cannot be read or does nothing in a recording.
        WorkerError: ffmpeg failed.
    """
    presses = _presses(config.press, config.frames)
    session = make_session(config, "controller")
    try:
        surface = pygame.Surface(config.size or _SIZE)
        video = Video(path, surface.get_size())
        try:
            for frame in range(config.frames):
                for command in presses.get(frame, []):
                    obey(session, command)
                session.tick(np.zeros(3, np.float32))
                draw(surface, session, Status())
                video.add(surface)
        except BaseException:
            video.discard()
            raise
        video.finish()
    finally:
        session.close()
    print(f"{path}: {config.frames} frames, {config.frames / 50:.1f} s")


def _presses(given: tuple[str, ...], frames: int) -> dict[int, list[Command]]:
    """Commands by the frame before which they are given, from FRAME:KEY."""
    presses: dict[int, list[Command]] = {}
    for press in given:
        frame, _, key = press.partition(":")
        command = command_of(key)
        if not frame.isdigit() or command is None:
            raise ConfigError(f"press: expected FRAME:KEY with a key of the help page, got {press!r}")
        if not is_of_a_session(command):
            raise ConfigError(f"press: {press!r} is for a window, and does nothing in a recording; leave it out")
        if int(frame) >= frames:
            raise ConfigError(f"press: expected a frame before the recording's end at {frames}, got {press!r}")
        presses.setdefault(int(frame), []).append(command)
    return presses
