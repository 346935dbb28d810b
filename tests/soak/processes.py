"""Stages in forked processes, which can be killed at any operation on files or at any moment."""

from __future__ import annotations

import builtins
import io
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamgym import cli, local_engine

__all__ = ["HANG_SECONDS", "Ended", "Killer", "begin", "finish", "run"]

HANG_SECONDS = 180.0
"""After so long a stage that should have ended is taken to hang."""
_BY_PATH = ("replace", "rename", "unlink", "remove", "mkdir", "rmdir")


class Killer:
    """Sends its own process a signal before the n-th operation that changes files below a folder; counts them."""

    def __init__(self, folder: Path, number: int, kind: signal.Signals) -> None:
        self.count = 0
        self._folder, self._number, self._kind = str(folder), number, kind

    def install(self) -> None:
        """Watch the operations of this process."""
        for name in _BY_PATH:
            setattr(os, name, self._counted(getattr(os, name), self._is_inside))
        os.fsync = self._counted(os.fsync, lambda *_: True)
        opened = self._counted(io.open, lambda path, mode="r", *_: self._is_inside(path) and mode[:1] in "wax")
        io.open = builtins.open = opened  # type: ignore[assignment]

    def _is_inside(self, path: Any, *_: Any) -> bool:
        return isinstance(path, str | os.PathLike) and str(path).startswith(self._folder)

    def _counted(self, function: Callable[..., Any], counts: Callable[..., bool]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if counts(*arguments):
                self.count += 1
                if self.count == self._number:
                    os.kill(os.getpid(), self._kind)
            return function(*arguments, **options)

        return call


class Ended(Exception):
    """A stage ended otherwise than it should have."""


def begin(
    arguments: list[str],
    log: Path,
    *,
    prepare: Callable[[], object] = lambda: None,
    count: Path | None = None,
    killer: Killer | None = None,
) -> int:
    """Start a command in a forked process of its own group; its process id.

    Args:
        arguments: the command line.
        log: takes what it prints.
        prepare: called in the process first.
        count: takes the number of operations on files, where ``killer`` counts them.
        killer: kills it at an operation.
    """
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        local_engine.SILENCE_SECONDS, local_engine.STARTING_SECONDS = 5.0, 60.0
        prepare()
        if killer is not None:
            killer.install()
        code = cli.main(arguments)
        if killer is not None and count is not None:
            count.write_text(str(killer.count))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(process: int, seconds: float = HANG_SECONDS) -> int:
    """The exit code of a process, negative for a signal.

    Raises:
        Ended: it did not end in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise Ended(f"hung for {seconds:g} seconds")
        time.sleep(0.005)


def run(arguments: list[str], log: Path, wanted: int = 0) -> None:
    """Run a command to its end.

    Raises:
        Ended: it ended with another code than it should have.
    """
    code = finish(begin(arguments, log))
    if code != wanted:
        raise Ended(f"exit code {code} instead of {wanted}: {log.read_text(errors='replace')[-600:]}")
