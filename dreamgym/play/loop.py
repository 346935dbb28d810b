"""The window and its loop: events in, a tick of the session, a picture out, as often a second as the world steps."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import pygame

from dreamgym.config import PlayConfig
from dreamgym.errors import ConfigError, DreamGymError
from dreamgym.play import theme
from dreamgym.play.commands import BINDINGS, CAPS, Binding, Command, axes_of, change_temperature, obey
from dreamgym.play.controls import Controls
from dreamgym.play.recordings import Recordings
from dreamgym.play.screen import Status, draw
from dreamgym.play.session import Session

__all__ = ["Loop", "Window", "complete", "key_code", "play"]

_REPEAT_AFTER: Final = 0.4
_REPEAT_EVERY: Final = 0.08
"""Seconds until a held key or button repeats, and between its repetitions."""
_LATEST: Final = 0.1
"""Seconds that are made up for after a delay."""
_AXIS_FULL: Final = 32767
_NOWHERE: Final = ("dummy", "offscreen")
"""What SDL draws on, unasked, where there is no display."""
_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER")
"""Where none of these is set on Linux, there is no display, and asking for one makes Wayland's library complain."""


def key_code(name: str) -> int:
    """pygame's number of a key.

    The name is that of its constant ("lshift" of ``K_LSHIFT``) or what ``pygame.key.name`` gives ("left shift").

    Raises:
        ConfigError: there is no such key.
    """
    constant = getattr(pygame, f"K_{name.lower() if len(name) == 1 else name.upper()}", None)
    if constant is not None:
        return int(constant)
    try:
        return pygame.key.key_code(name)
    except (ValueError, pygame.error) as error:
        raise ConfigError(f"keys: expected the name of a key as pygame gives it, got {name!r}; name another") from error


_COMMANDS: Final = {key_code(key): binding for binding in BINDINGS for key in binding.keys}
_BUTTONS: Final = {
    getattr(pygame, f"CONTROLLER_BUTTON_{binding.button}"): binding for binding in BINDINGS if binding.button
}


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
        self._size = size or _fitting()
        self._full = False
        _open(self._size)

    @property
    def surface(self) -> pygame.Surface:
        """What is shown at the next flip, of the window's present size.

        The window is opened again where an environment closed it.
        """
        surface = pygame.display.get_surface()
        return _open(self._size) if surface is None else surface

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


def _open(size: tuple[int, int]) -> pygame.Surface:
    pygame.display.init()
    pygame.display.set_caption("dreamgym")
    icon = pygame.Surface((64, 64), pygame.SRCALPHA)  # reality and dream, side by side
    for left, color in ((20, theme.REALITY), (44, theme.DREAM)):
        pygame.draw.circle(icon, color, (left, 32), 18)
    pygame.display.set_icon(icon)
    with warnings.catch_warnings():
        # A tiling window manager gives another size, as it may.
        warnings.filterwarnings("ignore", "Requested window was forcibly resized", RuntimeWarning)
        return pygame.display.set_mode(size, pygame.RESIZABLE)


def _no_display(reason: str) -> ConfigError:
    return ConfigError(
        f"there is no display to open a window on ({reason}); to record without one, run "
        "dreamgym play --record play.mp4 --player controller"
    )


def _fitting() -> tuple[int, int]:
    """The layout's size, enlarged by quarters as far as nine tenths of the screen allow."""
    width, height = pygame.display.get_desktop_sizes()[0]
    scale = min(0.9 * width / theme.WIDTH, 0.9 * height / theme.HEIGHT)
    scale = min(int(scale * 4) / 4, 3.0) if scale >= 1.0 else max(scale, 0.25)
    return round(theme.WIDTH * scale), round(theme.HEIGHT * scale)


class Loop:
    """One window's life.

    Args:
        session: what is played; closed by the caller.
        recordings: where files go; closed by the caller.
        window: to draw on; closed by the caller.
        paced: whether to wait for the next tick; False to go on at once.
    """

    def __init__(self, session: Session, recordings: Recordings, window: Window, *, paced: bool = True) -> None:
        self.session = session
        self.recordings = recordings
        self.window = window
        self.running = True
        self.controls = Controls(session.actions)
        self._tick = 1.0 / session.fps  # seconds
        self._paced = paced
        self._keys = {key_code(name): index for index, key in enumerate(session.actions.keys) for name in key.keys}
        axes = axes_of(session.actions)
        self._axes = {getattr(pygame, f"CONTROLLER_AXIS_{axis}"): number for axis, number in axes.items()}
        self._due = time.perf_counter()
        self._held: tuple[Command, float] | None = None  # and in how many seconds it repeats
        self._steps: deque[float] = deque(maxlen=2 * session.fps)
        self._pads: dict[int, Any] = {}

    def tick(self) -> None:
        """Read events, let the time of a step pass, and show it."""
        for event in pygame.event.get():
            self.handle(event)
        self._repeat()
        try:
            if self.session.tick(self.controls.advance(self._tick)):
                self._steps.append(time.perf_counter())
        except OSError as error:  # such as a full disk, where an episode that ended is saved
            self.session.say(str(error))
        news = self.recordings.news()
        if news is not None:
            self.session.say(news)
        surface = self.window.surface
        draw(surface, self.session, Status(self._rate(), self.recordings.recording))
        self.recordings.show(surface)
        pygame.display.flip()
        if self._paced:
            self._wait()

    def handle(self, event: pygame.event.Event) -> None:
        """Take in one event."""
        if event.type == pygame.QUIT:
            self.running = False
        elif event.type == pygame.KEYDOWN:
            self._press(event.key)
        elif event.type == pygame.KEYUP:
            self._release(event.key)
        elif event.type == pygame.MOUSEWHEEL:
            change_temperature(self.session, event.y)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._release_all()
        else:
            self._handle_pad(event)

    def _press(self, key: int) -> None:
        if key in self._keys:
            self.controls.press(self._keys[key])
            if not self.session.person_plays:
                label, cap = self.session.player.label, CAPS[Command.PLAYER]
                self.session.say(f"{label} plays: press {cap} until you do")
        elif key in _COMMANDS:
            self._hold(_COMMANDS[key])

    def _release(self, key: int) -> None:
        if key in self._keys:
            self.controls.release(self._keys[key])
        elif key in _COMMANDS:
            self._let_go(_COMMANDS[key])

    def _release_all(self) -> None:
        self.controls.release_all()
        self._held = None

    # pygame.key.set_repeat would repeat keys, but neither a gamepad's buttons nor only the commands that may.
    def _hold(self, binding: Binding) -> None:
        self._held = (binding.command, _REPEAT_AFTER) if binding.repeats else None
        self.obey(binding.command)

    def _let_go(self, binding: Binding) -> None:
        if self._held is not None and self._held[0] == binding.command:
            self._held = None

    def _repeat(self) -> None:
        """A held key or button that repeats acts again and again."""
        if self._held is None:
            return
        command, left = self._held
        if left <= 0.0:
            self.obey(command)
            left += _REPEAT_EVERY
        self._held = (command, left - self._tick)

    def _handle_pad(self, event: pygame.event.Event) -> None:
        """A gamepad's events, which all pads share."""
        if event.type == pygame.CONTROLLERDEVICEADDED:
            from pygame._sdl2 import controller

            controller.init()
            pad = controller.Controller(event.device_index)
            self._pads[pad.as_joystick().get_instance_id()] = pad
            self.session.say("Gamepad ready; H shows what it does")
        elif event.type == pygame.CONTROLLERDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)
            self._release_all()
        elif event.type == pygame.CONTROLLERAXISMOTION and event.axis in self._axes:
            self.controls.move_axis(self._axes[event.axis], max(event.value / _AXIS_FULL, -1.0))
        elif event.type == pygame.CONTROLLERBUTTONDOWN and event.button in _BUTTONS:
            self._hold(_BUTTONS[event.button])
        elif event.type == pygame.CONTROLLERBUTTONUP and event.button in _BUTTONS:
            self._let_go(_BUTTONS[event.button])

    def obey(self, command: Command) -> None:
        """Carry out a command: the session's, or the window's own.

        What cannot be done is shown as a message.
        """
        session, surface = self.session, self.window.surface
        if command is Command.QUIT:
            if session.help:
                session.help = False
            else:
                self.running = False
        elif command is Command.FULLSCREEN:
            self.window.toggle_full_screen()
        elif command is Command.IMAGE:
            session.say(self.recordings.image(surface))
        elif command is Command.VIDEO:
            session.say(self.recordings.toggle_video(surface, ".mp4"))
        elif command is Command.GIF:
            session.say(self.recordings.toggle_video(surface, ".gif"))
        elif command is Command.SAVE:
            session.say(self.recordings.save_episodes(session))
        else:
            try:
                obey(session, command)
            except (DreamGymError, OSError) as error:  # such as a full disk, where episodes are saved
                session.say(str(error))

    def _wait(self) -> None:
        """Wait until the next tick is due; a late one is made up for, unless it is very late."""
        now = time.perf_counter()
        self._due = max(self._due + self._tick, now - _LATEST)
        if self._due > now:
            time.sleep(self._due - now)

    def _rate(self) -> float | None:
        """Steps a second, over the last ones."""
        if len(self._steps) < 2:
            return None
        span = self._steps[-1] - self._steps[0]
        return (len(self._steps) - 1) / span if span > 0 else None


def play(
    config: PlayConfig, make_session: Callable[[], Session], before_step: Callable[[], None] = lambda: None
) -> None:
    """Open a window and play until it is closed.

    Whatever ends it, files are whole and nothing goes on running.

    Args:
        config: the window's size, and where files go.
        make_session: makes what is played, once there is a window.
        before_step: called before each turn of the loop.

    Raises:
        ConfigError: there is no display.
    """
    with contextlib.ExitStack() as stack:
        window = Window(config.size)
        stack.callback(pygame.quit)
        session = make_session()
        stack.callback(session.close)
        recordings = Recordings(config, session.fps)
        stack.callback(complete, recordings)
        stack.callback(window.close)
        with contextlib.suppress(ImportError, pygame.error):
            from pygame._sdl2 import controller

            controller.init()
        loop = Loop(session, recordings, window)
        while loop.running:
            before_step()
            loop.tick()


def complete(recordings: Recordings) -> None:
    """Complete the files. The window is closed, so the terminal says what came of them."""
    with contextlib.suppress(OSError):  # the terminal may be closed, too
        if recordings.busy:
            print("completing what was recorded ...", flush=True)
    recordings.close()
    with contextlib.suppress(OSError):
        while (line := recordings.news()) is not None:
            print(line, flush=True)
