"""The engine ``local``: processes of this machine, of one thread each.

Ctrl-C is the parent's to handle. Workers end with their parent, even one that was killed. A worker that dies is a
:class:`~dreamgym.errors.WorkerError` at once; one that shows no sign of life for :data:`SILENCE_SECONDS` (stopped by a
signal, say) is one, too, however long its item takes.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, Final, TypeVar

from dreamgym.errors import WorkerError
from dreamgym.parallel import ENVIRONMENT, Build, Workers, pickled

__all__ = ["SILENCE_SECONDS", "STARTING_SECONDS", "LocalWorkers"]

STARTING_SECONDS = 600.0
"""How long a worker may take to import what it needs, on a busy machine."""
SILENCE_SECONDS = 60.0
"""How long a worker may be silent; it says that it lives every second."""

_BEAT_SECONDS: Final = 1.0
_SETTINGS: Final = "settings"
_OPEN_FILES: Final = Path("/dev/fd")  # not on Windows
_ADVICE: Final = (
    "Its own message, if any, is above; out of memory is the usual cause, so try fewer workers, and run the same "
    "command again to go on"
)

T = TypeVar("T")
R = TypeVar("R")


class LocalWorkers(Workers[T, R]):
    """Processes of this machine."""

    def __init__(self, build: Build[T, R], settings: Any, count: int) -> None:
        super().__init__(build, settings, count)
        content = pickled(build, settings)
        # A process is started with a path: what is larger than a pipe would block where the process dies at once.
        self._folder = Path(tempfile.mkdtemp(prefix="dreamgym-"))
        (self._folder / _SETTINGS).write_bytes(content)
        self._context = _Spawning()
        self._pool = ProcessPoolExecutor(count, self._context, _begin, (self._folder,))
        self._silence: dict[int, tuple[int, int]] = {}  # by process: its last sign of life, and checks since then
        self._checked = time.monotonic()

    def results(self, items: Iterable[T]) -> Iterator[tuple[int, R]]:
        """See :meth:`Workers.results`; an item is taken when a worker is free for it."""
        waiting, running = enumerate(items), dict[Future[R], int]()
        try:
            while True:
                with _for_workers():
                    for place, item in itertools.islice(waiting, self.count - len(running)):
                        running[self._pool.submit(_call, self._folder, item)] = place
                if not running:
                    return
                for future in wait(running, _BEAT_SECONDS, FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
                if running:
                    self._require_alive()
        except BrokenProcessPool as error:
            raise WorkerError(f"a worker process died. {_ADVICE}") from error

    def _require_alive(self) -> None:
        # Asked of the processes, too: the executor does not see a death while it waits for the rest of a result.
        if connection.wait([process.sentinel for process in self._context.started if process.pid is not None], 0):
            raise WorkerError(f"a worker process died. {_ADVICE}")
        # Counted, not timed: where the parent itself was stopped for a while, no worker is to blame.
        now = time.monotonic()
        if now - self._checked < _BEAT_SECONDS:
            return
        self._checked = now
        for process in self._context.started:
            pid = process.pid or 0
            path = self._folder / str(pid)
            beat = path.stat().st_mtime_ns if path.exists() else 0
            last, checks = self._silence.get(pid, (beat, 0))
            self._silence[pid] = (beat, checks + 1 if beat == last else 0)
            limit = SILENCE_SECONDS if beat else STARTING_SECONDS
            if self._silence[pid][1] * _BEAT_SECONDS > limit:
                raise WorkerError(f"a worker process (pid {pid}) stopped answering for {limit:g} seconds. {_ADVICE}")

    def close(self) -> None:
        """End the processes at once."""
        for process in self._context.started:
            if process.pid is not None:  # it did start
                process.kill()  # a stopped process does not heed terminate
        # Now nobody can write a result: whoever still waits for the rest of one must be told so, or waits for ever.
        if self._pool._result_queue is not None:
            self._pool._result_queue._writer.close()  # type: ignore[attr-defined]
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)


class _Spawning(SpawnContext):
    """Remembers the processes that an executor starts, since it cannot end them at once itself."""

    def __init__(self) -> None:
        self.started: list[SpawnProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        self.started.append(SpawnProcess(*arguments, **options))
        return self.started[-1]


@contextmanager
def _for_workers() -> Iterator[None]:
    """What processes started inside inherit: one thread, no window, and no ear for Ctrl-C while they import."""
    before = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    os.environ.update(ENVIRONMENT)
    mask = getattr(signal, "pthread_sigmask", None)  # not on Windows
    blocked = mask(signal.SIG_BLOCK, {signal.SIGINT}) if mask else None
    try:
        yield
    finally:
        for name in ENVIRONMENT.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        if mask:
            mask(signal.SIG_SETMASK, blocked)


# In a worker.

_work: Callable[[Any], Any] | None = None


def _begin(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A program that this process starts, such as a game's engine, must not hold its pipes open when it is killed.
    for path in _OPEN_FILES.iterdir() if _OPEN_FILES.is_dir() else ():
        with suppress(OSError):  # that of the listing itself is closed
            os.set_inheritable(int(path.name), int(path.name) <= 2)
    threading.Thread(target=_live, args=(folder,), daemon=True).start()


def _live(folder: Path) -> None:
    """Say that this process lives, until its parent does not."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while parent.is_alive():
        with suppress(OSError):  # the parent is just ending it
            (folder / str(os.getpid())).touch()
        parent.join(_BEAT_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _call(folder: Path, item: Any) -> Any:
    global _work
    if _work is None:
        build, settings = pickle.loads((folder / _SETTINGS).read_bytes())  # noqa: S301 - the parent's, just written
        _work = build(settings)
    return _work(item)
