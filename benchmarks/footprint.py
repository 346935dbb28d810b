"""Time to import and to make an environment, and memory, each in a fresh process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import resident
from benchmarks.measuring import Case, Shared
from benchmarks.resident import Resident

__all__ = ["footprint_cases", "missing", "resident_with"]

_BEGIN = "import json, time; started = time.perf_counter()\n"
_TORCH = "import torch; started = time.perf_counter()\n"
_TIME = "\nprint(json.dumps(time.perf_counter() - started))"
_SINGLE = (
    "import gymnasium as gym\n"
    "env = gym.make('dreamgym:DreamCarRacing-v0'); env.reset(seed=1); env.step(env.action_space.sample())"
)
_MEBIBYTE = 2**20


@contextlib.contextmanager
def footprint_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """Seconds, MiB, and bytes an environment: the slope between two sizes of the vector environment of features."""
    cases = [
        Case("import dreamgym", "s", _timed(_BEGIN + "import dreamgym" + _TIME)),
        Case("import torch", "s", _timed(_BEGIN + "import torch" + _TIME)),
        Case(
            "import gymnasium, gym.make, reset and first step, once torch is imported",
            "s",
            _timed(_BEGIN + _TORCH + _SINGLE + _TIME),
        ),
    ]
    if resident.source() is not None:
        cases += _memory_cases((1, 16, 256) if quick else (1, 1024, 16384))
    yield cases


def missing() -> dict[str, str]:
    """What is not measured here, and why."""
    return {} if resident.source() else {"Memory": "this system says neither VmRSS nor ru_maxrss"}


def _memory_cases(sizes: tuple[int, int, int]) -> list[Case]:
    one, few, many = sizes
    taken = Shared(lambda turn: {size: resident_with(size) for size in sizes})

    def at(size: int, moment: str) -> Callable[[], float]:
        return taken.reader(lambda memory: getattr(memory[size], moment) / _MEBIBYTE)

    def each(moment: str) -> Callable[[], float]:
        def slope(memory: dict[int, Resident]) -> float:
            return float(getattr(memory[many], moment) - getattr(memory[few], moment)) / (many - few)

        return taken.reader(slope)

    now, peak = resident.source(), resident.peak_source()
    further = f"memory of each further environment, from {few:,} to {many:,}"
    named = [
        (f"memory with dreamgym and torch imported ({now})", "MiB", at(one, "imported")),
        (f"memory with one environment, after 20 steps ({now})", "MiB", at(one, "stepped")),
        (f"memory with {many:,} environments, made ({now})", "MiB", at(many, "made")),
        (f"memory with {many:,} environments, after 20 steps ({now})", "MiB", at(many, "stepped")),
        (f"peak memory with {many:,} environments ({peak})", "MiB", at(many, "peak")),
        (f"{further}, made ({now})", "bytes", each("made")),
        (f"{further}, after 20 steps ({now})", "bytes", each("stepped")),
    ]
    return [Case(name, unit, measure, warm_up=False) for name, unit, measure in named]


def resident_with(num_envs: int) -> Resident:
    """The memory of a fresh process with that many environments."""
    return Resident(**_printed(["-m", resident.__name__, str(num_envs)]))


def _timed(code: str) -> Callable[[], float]:
    """The number that a fresh process prints."""
    return lambda: float(_printed(["-c", code]))


def _printed(arguments: list[str]) -> Any:
    root = Path(__file__).parents[1]
    finished = subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])
