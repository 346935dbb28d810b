"""Cuts stages off in every way that computers do, lets them go on, and compares to the bit: ``python -m tests.soak``.

Not part of the test suite: it takes minutes to hours. Full and read-only disks need the right to mount (root on Linux).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from dreamgym import cli
from dreamgym.fidelity import command as fidelity
from tests.soak.processes import Ended, Killer, begin, finish, run
from tests.soak.stages import PREPARED, STAGES, command, contents, few_policies
from tests.support.processes import runs, wait_until

_SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
_CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
_NEVER = 1 << 60
_PRELOADED = ("torch._dynamo", "tests.support.toy_world", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin")
"""What commands import as they run: here, once, and not in every process."""
_SHARES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.95)
"""Of the space that a stage needs."""


class Soak:
    """One stage: its undisturbed run, and every way of disturbing it. Each is an iterator of cases that held."""

    def __init__(self, stage: str, data: Path, place: Path, seed: int) -> None:
        self.stage, self._data, self._place = stage, data, place
        self._log, self._out = place / "log", place / "work" / "run"
        self._random = random.Random(f"{stage} {seed}")
        (place / "work").mkdir(parents=True)
        counted = place / "count"
        self._check(finish(begin(self._command(), self._log, killer=self._killer(_NEVER), count=counted)), 0)
        self.operations = int(counted.read_text())
        self._wanted = contents(place / "work")
        self._wanted_in_any_order = contents(place / "work", in_any_order=True)
        started = time.monotonic()
        self._clear()
        run(self._command(), self._log)
        self._seconds = time.monotonic() - started
        self._compare()  # two undisturbed runs are the same

    def _command(self, **options: str) -> list[str]:
        return command(STAGES[self.stage], self._data, self._out, **options)

    def _killer(self, number: int, kind: signal.Signals = signal.SIGKILL) -> Killer:
        return Killer(self._place / "work", number, kind)

    def _check(self, code: int, *wanted: int) -> None:
        if code not in wanted:
            raise Ended(f"exit code {code} instead of {wanted}: {self._log.read_text(errors='replace')[-600:]}")

    def _clear(self) -> None:
        for path in (self._place / "work").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _compare(self, *, in_any_order: bool = False) -> None:
        got = contents(self._place / "work", in_any_order=in_any_order)
        wanted = self._wanted_in_any_order if in_any_order else self._wanted
        names = sorted(name for name in got.keys() | wanted.keys() if got.get(name) != wanted.get(name))
        if names:
            raise Ended(f"after it went on, these files differ: {names}")

    def _go_on(self, *, in_any_order: bool = False) -> None:
        run(self._command(), self._log)
        self._compare(in_any_order=in_any_order)

    def at_operations(self, kind: signal.Signals, every: int) -> Iterator[str]:
        """Signals before each operation on files, or before every few, another first one for each signal."""
        first = 1 + list(_SIGNALS.values()).index(kind) % every
        for number in range(first, self.operations + 1, every):
            self._clear()
            code = finish(begin(self._command(), self._log, killer=self._killer(number, kind)))
            self._check(code, _CODES[kind])
            self._go_on()
            yield f"operation {number}"

    def at_moments(self, count: int) -> Iterator[str]:
        """Signals at random moments."""
        for _ in range(count):
            self._clear()
            kind, seconds = self._random.choice(list(_SIGNALS.values())), self._random.random() * self._seconds
            process = begin(self._command(), self._log)
            time.sleep(seconds)
            os.kill(process, kind)
            # In the harness's own code, before the command.
            before_the_command = {signal.SIGINT: [99], signal.SIGTERM: [-signal.SIGTERM]}.get(kind, [])
            self._check(finish(process), 0, _CODES[kind], *before_the_command)
            self._go_on()
            yield f"{kind.name} after {seconds:.3f} s"

    def twice(self) -> Iterator[str]:
        """Two processes run the same command at once: one of them works, or they share the work."""
        self._clear()
        processes = [begin(self._command(), self._place / f"log{number}") for number in (1, 2)]
        codes = sorted(finish(process) for process in processes)
        if codes not in ([0, 0], [0, 2]):
            raise Ended(f"two at once ended with {codes}: {(self._place / 'log2').read_text(errors='replace')[-600:]}")
        self._go_on()
        yield f"exit codes {codes}"

    def on_a_full_disk(self, shares: Sequence[float]) -> Iterator[str]:
        """The disk is full at several sizes, and has room again."""
        needed = sum(path.stat().st_size for path in (self._place / "work").rglob("*") if path.is_file())
        for share in shares:
            self._clear()
            with self._mounted(f"size={max(4096, int(needed * share))}"):
                code = finish(begin(self._command(), self._log))
                self._check(code, 2)
                _require_in(self._log, "No space left on device")
                self._mount("remount,size=1g")
                self._go_on()
                yield f"{share:.0%} of the space"

    def on_a_read_only_disk(self) -> Iterator[str]:
        """The disk cannot be written to; what is on it stays."""
        self._clear()
        with self._mounted("size=1g"):
            finish(begin(self._command(), self._log, killer=self._killer(max(2, self.operations // 2))))
            before = contents(self._place / "work")
            self._mount("remount,ro")
            self._check(finish(begin(self._command(), self._log)), 2)
            _require_in(self._log, "Read-only file system", "cannot be written", "can be written")
            if contents(self._place / "work") != before:
                raise Ended("files changed on a read-only disk")
            self._mount("remount,rw")
            self._go_on()
            yield "half of a run"

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self._place / "work"], check=True)

    @contextmanager
    def _mounted(self, options: str) -> Iterator[None]:
        self._mount(options)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", self._place / "work"], check=True)

    def with_workers_hit(self) -> Iterator[str]:
        """One of two worker processes is killed or stopped, while it starts and while it works."""
        for kind in (signal.SIGKILL, signal.SIGSTOP):
            for delay in (0.0, 0.1, 2.0, 5.0):
                self._clear()
                self._hit_a_worker(kind, delay)
                self._go_on(in_any_order=True)
                yield f"{kind.name} after {delay:g} s"

    def _hit_a_worker(self, kind: signal.Signals, delay: float) -> None:
        process = begin(self._command(workers="2"), self._log)
        if not wait_until(lambda: bool(_children(process)), 60):
            raise Ended("no worker was started")
        time.sleep(delay)
        workers = _children(process)
        if workers:
            os.kill(workers[-1], kind)
        self._check(finish(process), 0, 2)
        if not wait_until(lambda: not any(map(runs, workers)), 10):
            raise Ended(f"workers outlived their parent by 10 seconds: {workers}")


def _children(process: int) -> list[int]:
    """Worker processes, without multiprocessing's resource tracker."""
    try:
        found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(pid) for pid in found if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    except OSError:
        return []


def _require_in(log: Path, *messages: str) -> None:
    text = log.read_text(errors="replace")
    if "Traceback" in text or not any(message in text for message in messages):
        raise Ended(f"expected {' or '.join(messages)} and no traceback, got: {text[-600:]}")


def _scenarios(soak: Soak, options: argparse.Namespace) -> dict[str, Callable[[], Iterator[str]]]:
    found: dict[str, Callable[[], Iterator[str]]] = {
        f"{name} at operations": lambda kind=kind: soak.at_operations(kind, options.every)  # type: ignore[misc]
        for name, kind in _SIGNALS.items()
    }
    found["random moments"] = lambda: soak.at_moments(options.moments)
    found["twice at once"] = soak.twice
    found["full disk"] = lambda: soak.on_a_full_disk(options.shares)
    found["read-only disk"] = soak.on_a_read_only_disk
    if "--workers" in STAGES[soak.stage]:
        found["workers hit"] = soak.with_workers_hit
    return found


def main() -> int:
    """Make the toy world's data, disturb each stage, and print a table; 1 where a case did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--shares", nargs="+", type=float, default=_SHARES, help="sizes of the full disk")
    parser.add_argument("--every", type=int, default=1, help="at each n-th operation alone")
    parser.add_argument("--moments", type=int, default=50, help="random moments a stage")
    parser.add_argument("--only", nargs="+", default=[""], help="scenarios whose name has one of these")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for module in (*(each.module for each in cli.COMMANDS.values()), *_PRELOADED):
        import_module(module)
    fidelity.fixed_policies = few_policies  # twenty more take most of the time
    failures = 0
    print("| stage | scenario | cases | failures | seconds |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="dreamgym-soak-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        for name, line in PREPARED.items():
            run(command(line, data, data / name), data / "log")
        for stage in options.stages:
            soak = Soak(stage, data, Path(folder) / stage.replace(" ", "-"), options.seed)
            for name, scenario in _scenarios(soak, options).items():
                if any(part in name for part in options.only):
                    failures += _play(stage, name, scenario)
    return int(failures > 0)


def _play(stage: str, name: str, scenario: Callable[[], Iterator[str]]) -> int:
    started, held, problem = time.monotonic(), 0, ""
    try:
        for _ in scenario():
            held += 1
    except (Ended, subprocess.CalledProcessError) as error:
        problem = str(error)
    failed = int(bool(problem))
    print(f"| {stage} | {name} | {held + failed} | {failed} | {time.monotonic() - started:.0f} |", flush=True)
    if problem:
        print(f"{stage}, {name}, case {held + 1}: {problem}", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
