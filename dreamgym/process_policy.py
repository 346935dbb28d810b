"""What the process of a command is made to be: its streams, signals, warnings, threads and memory."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = [
    "Terminated",
    "plain_warnings",
    "prepare_streams",
    "set_process_policy",
    "stdout_is_broken",
    "tidy_termination",
]

# glibc's names for the environment, and the numbers that mallopt knows them by.
_MALLOC_POLICY: Final = {
    "MALLOC_TRIM_THRESHOLD_": (-1, 2_000_000_000),
    "MALLOC_TOP_PAD_": (-2, 256 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * 2**20),
}


def prepare_streams() -> None:
    """Let stdout and stderr take any text.

    A process that was started without them (``>&-``) gets empty ones.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for ±


class Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def tidy_termination() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does.

    Workers end, and nothing unfinished is left.
    """

    def stop(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def plain_warnings(name: str) -> Iterator[None]:
    """Show a warning that is meant for the user as one line.

    Without the place in the code that it came from.
    """
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if category is UserWarning:
            print(f"dreamgym {name}: warning: {message}", file=sys.stderr)
        else:
            before(message, category, *place, **options)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def set_process_policy() -> None:
    """Set what must be set before torch and pygame are loaded.

    What the user set in the environment stays.
    """
    # Threads that spin while they wait make small batches a hundred times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if sys.platform == "linux":
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed: training takes the same large blocks in every step, and to get them as
    fresh pages costs more than some of the arithmetic on them. musl, which has no such settings, is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for name, (number, value) in _MALLOC_POLICY.items():
        if name not in os.environ:
            mallopt(number, value)


def stdout_is_broken() -> bool:
    """Whether nobody reads what is printed any more."""
    try:
        print(flush=True)  # flushing alone says nothing where stdout is not buffered
    except BrokenPipeError:
        return True
    return False
