"""The window's loop: events in, one tick of the session, one picture out, fifty times a second."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Any, Final

import pygame

from dreamgym.config import PlayConfig
from dreamgym.play.commands import heat, obey
from dreamgym.play.controls import Controls
from dreamgym.play.keymap import AXES, BINDINGS, DRIVING, Binding, Command
from dreamgym.play.outputs import Outputs
from dreamgym.play.screen import Status, draw
from dreamgym.play.session import Session
from dreamgym.play.setup import make_session
from dreamgym.play.window import Window
from dreamgym.real.world import CAR_RACING

__all__ = ["Loop", "play"]

_FPS: Final = CAR_RACING.fps
_REPEAT_AFTER: Final = 20
_REPEAT_EVERY: Final = 4
"""Ticks until a held key repeats, and between its repetitions."""
_LATEST: Final = 0.1
"""Seconds that are made up for after a delay."""
_AXIS_FULL: Final = 32767

_COMMANDS: Final = {getattr(pygame, f"K_{key}"): binding for binding in BINDINGS for key in binding.keys}
_DRIVING: Final = {getattr(pygame, f"K_{key}"): name for name, keys in DRIVING.items() for key in keys}
_BUTTONS: Final = {
    getattr(pygame, f"CONTROLLER_BUTTON_{binding.button}"): binding for binding in BINDINGS if binding.button
}
_AXES: Final = {getattr(pygame, f"CONTROLLER_AXIS_{axis}"): name for axis, name in AXES.items()}


class Loop:
    """One window's life.

    Args:
        session: what is played; closed by the caller.
        outputs: where files go; closed by the caller.
        window: to draw on; closed by the caller.
    """

    def __init__(self, session: Session, outputs: Outputs, window: Window) -> None:
        self.session = session
        self.outputs = outputs
        self.window = window
        self.running = True
        self.controls = Controls()
        self._due = time.perf_counter()
        self._held: tuple[Command, int] | None = None
        self._steps: deque[float] = deque(maxlen=2 * _FPS)
        self._pads: dict[int, Any] = {}

    def tick(self) -> None:
        """Take in what happened, let a fiftieth of a second pass, show it, and wait for the next."""
        for event in pygame.event.get():
            self.handle(event)
        self._repeat()
        if self.session.tick(self.controls.advance(1.0 / _FPS)):
            self._steps.append(time.perf_counter())
        news = self.outputs.news()
        if news is not None:
            self.session.say(news)
        surface = self.window.surface
        draw(surface, self.session, Status(self._rate(), self.outputs.recording))
        self.outputs.show(surface)
        pygame.display.flip()
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
            heat(self.session, event.y)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.controls.release_all()
            self._held = None
        else:
            self._handle_pad(event)

    def _press(self, key: int) -> None:
        if key in _DRIVING:
            self.controls.press(_DRIVING[key])
            if not self.session.person_drives:
                self.session.say(f"{self.session.driver.label} drives: press C until you do")
        elif key in _COMMANDS:
            self._hold(_COMMANDS[key])

    def _release(self, key: int) -> None:
        if key in _DRIVING:
            self.controls.release(_DRIVING[key])
        elif key in _COMMANDS:
            self._let_go(_COMMANDS[key])

    def _hold(self, binding: Binding) -> None:
        self._held = (binding.command, 0) if binding.repeats else None
        self.obey(binding.command)

    def _let_go(self, binding: Binding) -> None:
        if self._held is not None and self._held[0] == binding.command:
            self._held = None

    def _repeat(self) -> None:
        """A held key that repeats acts again and again."""
        if self._held is None:
            return
        command, ticks = self._held
        self._held = (command, ticks + 1)
        if ticks >= _REPEAT_AFTER and (ticks - _REPEAT_AFTER) % _REPEAT_EVERY == 0:
            self.obey(command)

    def _handle_pad(self, event: pygame.event.Event) -> None:
        """A gamepad's events, which all pads share."""
        if event.type == pygame.CONTROLLERDEVICEADDED:
            from pygame._sdl2 import controller

            controller.init()
            pad = controller.Controller(event.device_index)
            self._pads[pad.as_joystick().get_instance_id()] = pad
            self.session.say("Gamepad ready: left stick steers, triggers are gas and brake")
        elif event.type == pygame.CONTROLLERDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)
            self.controls.release_all()
            self._held = None
        elif event.type == pygame.CONTROLLERAXISMOTION and event.axis in _AXES:
            self.controls.move_axis(_AXES[event.axis], max(event.value / _AXIS_FULL, -1.0))
        elif event.type == pygame.CONTROLLERBUTTONDOWN and event.button in _BUTTONS:
            self._hold(_BUTTONS[event.button])
        elif event.type == pygame.CONTROLLERBUTTONUP and event.button in _BUTTONS:
            self._let_go(_BUTTONS[event.button])

    def obey(self, command: Command) -> None:
        """Carry out a command: the session's, or the window's own."""
        session, surface = self.session, self.window.surface
        if command is Command.QUIT:
            if session.help:
                session.help = False
            else:
                self.running = False
        elif command is Command.FULLSCREEN:
            self.window.toggle_full_screen()
        elif command is Command.IMAGE:
            session.say(self.outputs.image(surface))
        elif command is Command.VIDEO:
            session.say(self.outputs.toggle_video(surface, ".mp4"))
        elif command is Command.GIF:
            session.say(self.outputs.toggle_video(surface, ".gif"))
        elif command is Command.SAVE:
            session.say(self.outputs.save_drives(session))
        else:
            obey(session, command)

    def _wait(self) -> None:
        """Wait until the next tick is due; a late one is made up for, unless it is very late."""
        now = time.perf_counter()
        self._due = max(self._due + 1.0 / _FPS, now - _LATEST)
        if self._due > now:
            time.sleep(self._due - now)

    def _rate(self) -> float | None:
        """Steps of the worlds a second, over the last ones."""
        if len(self._steps) < 2:
            return None
        span = self._steps[-1] - self._steps[0]
        return (len(self._steps) - 1) / span if span > 0 else None


def play(config: PlayConfig) -> None:
    """Open a window and play until it is closed; whatever ends it, files are whole and nothing goes on running.

    Raises:
        ConfigError: there is no display.
        DreamGymError: see :func:`dreamgym.play.setup.make_session`.
    """
    with contextlib.ExitStack() as stack:
        window = Window(config.size)
        stack.callback(pygame.quit)
        session = make_session(config, "you")
        stack.callback(session.close)
        outputs = Outputs(config)
        stack.callback(_complete, outputs)
        stack.callback(window.close)
        with contextlib.suppress(ImportError, pygame.error):
            from pygame._sdl2 import controller

            controller.init()
        loop = Loop(session, outputs, window)
        while loop.running:
            loop.tick()


def _complete(outputs: Outputs) -> None:
    """Complete the files. The window is closed, so the terminal says what came of them."""
    with contextlib.suppress(OSError):  # the terminal may be closed, too
        if outputs.busy:
            print("completing what was recorded ...", flush=True)
    outputs.close()
    with contextlib.suppress(OSError):
        while (line := outputs.news()) is not None:
            print(line, flush=True)
