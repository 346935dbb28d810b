"""Driving by hand: reality, the dream, and the way from one into the other.

Data flows one way: keys (``keymap``, ``controls``) → commands and actions → the session (``session``, ``worlds``),
which knows nothing of a window → the picture (``screen`` and what it draws with) → the window (``loop``) or a file
(``headless``, ``video``).
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from dreamgym._compat import require_pygame
from dreamgym.config import PlayConfig

__all__ = ["one_thread", "run"]


def run(config: PlayConfig) -> None:
    """The command ``dreamgym play``: a window, or a recording without one.

    Raises:
        InstallationError: pygame is missing or broken.
        ConfigError: there is no display to open a window on.
        DreamGymError: whatever else keeps it from beginning, such as a missing world model.
    """
    require_pygame()
    with _terminable(), one_thread():
        if config.record is not None:
            from dreamgym.play.headless import record

            record(config, config.record)
        else:
            from dreamgym.play.loop import play

            play(config)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: for single frames more of them save nothing, and while they wait they spin on the core that
    the display needs.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """A polite request to end (SIGTERM), or a terminal that closes (SIGHUP), ends as tidily as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup's wish
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
