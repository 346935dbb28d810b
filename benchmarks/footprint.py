"""Time to import and to make an environment, and memory, each in a fresh process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

from benchmarks.measuring import Case

__all__ = ["footprint_cases"]

_BEGIN = "import json, time; started = time.perf_counter()\n"
_TORCH = "import torch; started = time.perf_counter()\n"
_TIME = "\nprint(json.dumps(time.perf_counter() - started))"
_PEAK = (
    "\nimport resource, sys; peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
    "\nprint(json.dumps(peak / (2**20 if sys.platform == 'darwin' else 2**10)))"  # bytes there, KiB elsewhere
)
_SINGLE = "env = gym.make('dreamgym:DreamCarRacing-v0'); env.reset(seed=1); env.step(env.action_space.sample())"
_VECTOR = (
    "envs = gym.make_vec('dreamgym:DreamCarRacing-v0', num_envs={}); envs.reset(seed=1); "
    "envs.step(envs.action_space.sample())"
)
_GYM = "import gymnasium as gym\n"
_ROWS = 16384


@contextlib.contextmanager
def footprint_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """Seconds, MiB at the peak, and bytes an environment of the vector environment's features."""
    peaks = {rows: _run(_BEGIN + _GYM + _VECTOR.format(rows) + _PEAK) for rows in (1, _ROWS)}

    def bytes_each() -> float:
        return (peaks[_ROWS]() - peaks[1]()) * 2**20 / (_ROWS - 1)

    cases = [
        Case("import dreamgym", "s", _run(_BEGIN + "import dreamgym" + _TIME)),
        Case("import torch", "s", _run(_BEGIN + "import torch" + _TIME)),
        Case(
            "import gymnasium, gym.make, reset and first step, once torch is imported",
            "s",
            _run(_BEGIN + _TORCH + _GYM + _SINGLE + _TIME),
        ),
        Case("peak memory of a process with one environment", "MiB", _run(_BEGIN + _GYM + _SINGLE + _PEAK)),
        Case(f"peak memory of a process with {_ROWS:,} environments", "MiB", peaks[_ROWS]),
        Case("memory of each further environment of a batch", "bytes", bytes_each),
    ]
    yield cases[:3] if quick or sys.platform == "win32" else cases


def _run(code: str) -> Callable[[], float]:
    """What a fresh process prints."""

    def measure() -> float:
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        return float(json.loads(printed.splitlines()[-1]))

    return measure
