"""Worker processes: the same results however many, and none that is lost without a word."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from dreamgym import local_engine
from dreamgym.errors import ConfigError, EpisodeFileError, WorkerError
from dreamgym.parallel import in_order, start
from tests.support.processes import running, runs, wait_until

ROOT = Path(__file__).parents[1]


def adding(settings: float) -> Callable[[float], float]:
    return lambda item: settings + item


def slow_first(settings: None) -> Callable[[float], float]:
    def work(item: float) -> float:
        time.sleep(item)
        return item

    return work


def first_waits(folder: Path) -> Callable[[int], int]:
    """Item 0 is done when there is a file ``go``, all others at once."""

    def work(item: int) -> int:
        assert item or wait_until((folder / "go").exists)
        return item

    return work


def counting_builds(folder: Path) -> Callable[[int], int]:
    with open(folder / str(os.getpid()), "a") as file:
        file.write("built\n")
    return lambda item: os.getpid()


def signalling(number: int) -> Callable[[bytes], int]:
    """Sends its own process a signal, with the item ``b"now"``."""

    def work(item: bytes) -> int:
        if item.startswith(b"now"):
            os.kill(os.getpid(), number)
        return len(item)

    return work


def signalling_while_it_sends(number: int) -> Callable[[int], bytes]:
    """Sends its own process a signal when a part of its first result is in the pipe."""
    send = Connection._send  # type: ignore[attr-defined]

    def send_in_parts(connection: Any, content: Any) -> None:
        if len(content) > 50_000:
            send(connection, content[:20_000])
            os.kill(os.getpid(), number)
            content = content[20_000:]
        send(connection, content)

    Connection._send = send_in_parts  # type: ignore[attr-defined]
    return lambda item: bytes(100_000 if item == 0 else 1)


def inherited(settings: None) -> Callable[[int], list[str]]:
    """From anything to the open files that programs of this process would have, without the standard ones."""

    def is_inherited(name: str) -> bool:
        try:
            return int(name) > 2 and os.get_inheritable(int(name))
        except OSError:
            return False

    return lambda item: [path.name for path in Path("/dev/fd").iterdir() if is_inherited(path.name)]


def dying_at_build(settings: None) -> Callable[[int], int]:
    os._exit(3)


def failing(settings: str) -> Callable[[int], int]:
    raise EpisodeFileError(settings)


def environment(settings: None) -> Callable[[str], str | None]:
    return os.environ.get


def torch_threads(settings: None) -> Callable[[int], int]:
    import torch

    return lambda item: torch.get_num_threads()


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = set(multiprocessing.active_children())
    yield
    assert not set(multiprocessing.active_children()) - before
    assert not list(folder.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order_however_many_workers(workers: int) -> None:
    with start(adding, 10.0, workers=workers) as pool:
        assert in_order(pool, [1.0, 2.0, 3.0]) == [11.0, 12.0, 13.0]
        assert in_order(pool, [4.0]) == [14.0]
        assert in_order(pool, []) == []


def test_results_come_as_they_are_ready(tmp_path: Path) -> None:
    found = []
    with start(first_waits, tmp_path, workers=2) as pool:
        for place, result in pool.results([0, 1]):
            found.append((place, result))
            (tmp_path / "go").touch()
    assert found == [(1, 1), (0, 0)]


def test_each_worker_builds_once(tmp_path: Path) -> None:
    with start(counting_builds, tmp_path, workers=2) as pool:
        pids = set(in_order(pool, range(20)))
        in_order(pool, range(20))
    assert os.getpid() not in pids
    assert {path.read_text() for path in tmp_path.iterdir()} == {"built\n"}


def test_workers_have_one_thread_and_the_parent_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with start(environment, None, workers=2) as pool:
        assert in_order(pool, ["OMP_NUM_THREADS", "SDL_VIDEODRIVER"]) == ["1", "dummy"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
    with start(torch_threads, None, workers=2) as pool:
        assert in_order(pool, [0]) == [1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("padding", [0, 500_000])
def test_a_worker_that_dies_or_stops_is_named(
    number: signal.Signals, padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where items are larger than a pipe holds."""
    if number == signal.SIGSTOP:
        monkeypatch.setattr(local_engine, "SILENCE_SECONDS", 3.0)
    how = "a worker process died" if number == signal.SIGKILL else r"\(pid \d+\) stopped answering"
    items = [b"now" + bytes(padding), *(b"well" + bytes(padding) for _ in range(6))]
    with start(signalling, number, workers=2) as pool, pytest.raises(WorkerError, match=how):
        in_order(pool, items)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_stops_while_it_sends_its_result_is_named(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor's own thread waits for the rest of the result, which does not come."""
    if number == signal.SIGSTOP:
        monkeypatch.setattr(local_engine, "SILENCE_SECONDS", 3.0)
    how = "a worker process died" if number == signal.SIGKILL else r"\(pid \d+\) stopped answering"
    with start(signalling_while_it_sends, number, workers=2) as pool, pytest.raises(WorkerError, match=how):
        in_order(pool, range(4))


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="there is no /dev/fd")
def test_programs_that_a_worker_starts_do_not_have_its_pipes() -> None:
    """They would hold them open when the worker is killed."""
    with start(inherited, None, workers=2) as pool:
        assert in_order(pool, [1, 2]) == [[], []]


def test_a_worker_that_dies_while_it_starts_is_named() -> None:
    settings = bytes(5_000_000)  # far more than a pipe holds
    with start(_killed, settings, workers=2) as pool, pytest.raises(WorkerError, match="died"):
        in_order(pool, [1, 2, 3])


def _killed(settings: bytes) -> Callable[[int], int]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="POSIX signals")
def test_a_worker_stopped_while_it_starts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_engine, "STARTING_SECONDS", 2.0)
    monkeypatch.setattr(local_engine, "_begin", _stopped)
    with start(slow_first, None, workers=2) as pool:
        started = pool._context.started  # type: ignore[attr-defined]
        with pytest.raises(WorkerError, match="stopped answering for 2 seconds"):
            in_order(pool, [0.0, 0.0])
    assert len(started) == 2 and not any(process.is_alive() for process in started)


def _stopped(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_worker_that_exits_is_named() -> None:
    with start(dying_at_build, None, workers=2) as pool, pytest.raises(WorkerError, match="died"):
        in_order(pool, [1, 2])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_as_it_is(workers: int) -> None:
    expected = pytest.raises(EpisodeFileError, match="no such episode")
    with start(failing, "no such episode", workers=workers) as pool, expected:
        in_order(pool, [1, 2, 3])


def test_what_cannot_be_done_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="pickled"), start(lambda settings: abs, None, workers=2):
        pass
    with pytest.raises(ConfigError, match="workers"), start(adding, 0.0, workers=0):
        pass
    with pytest.raises(ConfigError, match="engine"), start(adding, 0.0, workers=1, engine="abacus"):
        pass


def test_a_loop_may_be_left_early() -> None:
    with start(slow_first, None, workers=2) as pool:
        for place, _ in pool.results([0.0, 600.0, 600.0]):
            assert place == 0
            break


SCRIPT = """
import os, sys, time
from dreamgym.parallel import start
from tests.test_parallel import slow_first

if __name__ == "__main__":
    with start(slow_first, None, workers=2) as pool:
        for place, _ in pool.results([1.0, 600.0, 600.0]):  # so that the first is busy when the second is given
            print(*(process.pid for process in pool._context.started), flush=True)
"""


@contextmanager
def started_script(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The script and the ids of its workers."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with running([sys.executable, path], env=environment, **pipes) as script:
        assert script.stdout is not None
        yield script, [int(word) for word in script.stdout.readline().split()]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    with started_script(tmp_path) as (script, pids):
        assert len(pids) == 2
        if number == signal.SIGINT:
            os.killpg(script.pid, signal.SIGINT)  # as a terminal does
        else:
            script.kill()
        assert wait_until(lambda: not any(map(runs, pids)))
        _, errors = script.communicate(timeout=300)
    assert script.returncode != 0
    assert errors.count("KeyboardInterrupt") == (number == signal.SIGINT)  # the parent's alone


def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import operator\nfrom dreamgym.parallel import in_order, start\n"
        "with start(operator.attrgetter, 'real', workers=2) as workers:\n    print(in_order(workers, [1, 2]))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert ended.returncode == 1
    assert 'if __name__ == "__main__"' in ended.stderr.replace("'", '"')
    assert "AttributeError" not in ended.stderr
