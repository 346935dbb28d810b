"""The machine that was measured: what it is, and the peak of its matrix products."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Case, rate
from dreamgym.dream.kernel import PRECISIONS
from dreamgym.products import Packed

__all__ = ["available_threads", "describe", "roof_cases", "roof_name"]

_SIZE = 1024


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def available_threads() -> list[int]:
    """The numbers of threads that figures are taken with: 1, and 2 where this process may use as many cores."""
    return [1, 2] if _cores() > 1 else [1]


def describe() -> dict[str, Any]:
    """Processor, cores and versions."""
    versions = {}
    for name in ("dreamgym", "torch", "numpy", "gymnasium", "pygame-ce", "stable-baselines3", "cma", "envpool"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": _cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def roof_name(precision: str) -> str:
    """The name of the roof's case."""
    return f"matrix product, {precision}"


def roof_cases(seconds: float) -> list[Case]:
    """The peak of matrix products of 1,024 by 1,024, the better of torch's and oneDNN's, GFLOP/s."""
    return [
        Case(roof_name(precision), "GFLOP/s", _peak(precision, seconds / 2), threads=threads)
        for precision in PRECISIONS
        for threads in available_threads()
    ]


def _peak(precision: str, seconds: float) -> Any:
    left, right = (torch.randn(_SIZE, _SIZE).to(PRECISIONS[precision]) for _ in range(2))
    product = Packed(right)
    gigaflop = 2e-9 * _SIZE**3

    def by_torch() -> int:
        torch.mm(left, right)
        return 1

    def by_onednn() -> int:
        product(left)
        return 1

    measurements = [rate(work, seconds) for work in (by_torch, by_onednn)]

    @torch.no_grad()
    def measure() -> float:
        return gigaflop * max(each() for each in measurements)

    return measure
