"""The machine that was measured: what it is, and the peak of its matrix products."""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Case, rate
from dreamgym.dream.step import PRECISIONS
from dreamgym.vision.packed_linear import Packed

__all__ = ["Roof", "available_threads", "describe", "roof_cases", "roof_name"]


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def available_threads() -> list[int]:
    """The numbers of threads that figures are taken with: 1, and 2 where this process may use as many cores."""
    return [1, 2] if _cores() > 1 else [1]


def describe() -> dict[str, Any]:
    """Processor, cores and versions."""
    versions = {}
    packages = "dreamgym torch numpy numba gymnasium pygame-ce stable-baselines3 cma envpool"
    for name in packages.split():
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": _cores(),
        "system": f"{platform.system()}-{platform.machine()}",
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


def roof_cases(seconds: float, size: int = 1024) -> list[Case]:
    """The peak of matrix products of 1,024 by 1,024, the better of torch's and oneDNN's, GFLOP/s."""
    roof = Roof(seconds / 2, size)
    return [
        Case(roof_name(precision), "GFLOP/s", functools.partial(roof, precision), threads=threads, precision=precision)
        for precision in PRECISIONS
        for threads in available_threads()
    ]


class Roof:
    """That peak at a moment, on as many threads as torch is set to.

    Args:
        seconds: how long each library is measured.
        size: of the matrices; smaller ones do not reach the peak.
    """

    def __init__(self, seconds: float, size: int = 1024) -> None:
        self._size = size
        self._libraries = {precision: _products(dtype, seconds, size) for precision, dtype in PRECISIONS.items()}

    @torch.no_grad()
    def __call__(self, precision: str) -> float:
        """GFLOP/s."""
        return 2e-9 * self._size**3 * max(products_per_second() for products_per_second in self._libraries[precision])


def _products(dtype: torch.dtype, seconds: float, size: int) -> list[Callable[[], float]]:
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    packed = Packed(right)

    def by_torch() -> int:
        torch.mm(left, right)
        return 1

    def by_onednn() -> int:
        packed(left)
        return 1

    return [rate(by_torch, seconds), rate(by_onednn, seconds)]
