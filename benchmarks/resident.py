"""The memory of one process with so many environments, as JSON: ``python -m benchmarks.resident 1024``.

A process of its own for each figure, and the kernel's account of its pages: on Linux the peak that ``getrusage`` gives
begins at that of the process which started this one, so that a large parent hides all that a child does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["Resident", "peak_source", "source"]

_STATUS = Path("/proc/self/status")
_STEPS = 20


class Resident(NamedTuple):
    """Memory in use at moments of a process, bytes."""

    imported: int
    """With dreamgym and torch imported, and nothing made."""
    made: int
    """With the environments."""
    stepped: int
    """After their reset and 20 steps."""
    peak: int
    """The most until then."""


def _status() -> dict[str, int]:
    """The kernel's account in bytes, as far as it gives one."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS:", "VmHWM:")))
    return {name: 2**10 * int(value.split()[0]) for name, value in fields.items()}


def source() -> str | None:
    """Where the memory at a moment is read here; None for nowhere.

    ``ru_maxrss`` is the makeshift of systems without ``/proc``: a peak, and on some of them the parent's.
    """
    if "VmRSS" in _status():
        return "VmRSS"
    return None if sys.platform == "win32" else "ru_maxrss"


def peak_source() -> str | None:
    """Where the peak is read here; see :func:`source`."""
    return "VmHWM" if "VmHWM" in _status() else None if sys.platform == "win32" else "ru_maxrss"


def _read(name: str | None) -> int:
    status = _status()
    if name in status:
        return status[name]
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 2**10 * peak  # bytes there, KiB elsewhere


def measure(num_envs: int) -> Resident:
    """Make that many environments in this process and step them."""
    import gymnasium as gym
    import numpy as np

    import dreamgym.dream.vector_env  # noqa: F401  # and torch with it, as gym.make_vec would

    now = source()
    imported = _read(now)
    envs = gym.make_vec("dreamgym:DreamCarRacing-v0", num_envs=num_envs)
    made = _read(now)
    envs.reset(seed=1)
    actions = np.tile(np.array([0.1, 0.3, 0.0], np.float32), (num_envs, 1))
    for _ in range(_STEPS):
        envs.step(actions)
    stepped = _read(now)
    envs.close()
    return Resident(imported, made, stepped, _read(peak_source()))


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))._asdict()))
