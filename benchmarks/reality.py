"""The real environment: Gymnasium's, ours with the exact drawing, EnvPool's, and the cost of V and M beside it."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks.measuring import Case, rate
from dreamgym.encoder import LatentEncoder
from dreamgym.real.world import make_real
from dreamgym.world_model import WorldModel
from dreamgym.wrappers import LatentObservation

__all__ = ["SHIPPED", "missing", "real_cases", "shipped_case"]

SHIPPED = "CarRacing-v3 as Gymnasium ships it"
_UNIT = "env-steps/s"


def driving(env: gym.Env[Any, Any]) -> Callable[[], int]:
    """Ten steps of a drive that goes on, gently to and fro; a reset at an end is part of it."""
    env.reset(seed=1)
    frame = 0

    def work() -> int:
        nonlocal frame
        for _ in range(10):
            frame += 1
            action = np.array([0.3 * np.sin(0.1 * frame), 0.2, 0.0], np.float32)
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return 10

    return work


@contextlib.contextmanager
def shipped_case(seconds: float) -> Iterator[Case]:
    """Gymnasium's own environment, which every rate is compared with."""
    env = make_real(exact=False)
    try:
        yield Case(SHIPPED, _UNIT, rate(driving(env), seconds))
    finally:
        env.close()


@contextlib.contextmanager
def real_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """The others; EnvPool only where it is installed."""
    exact, seen = make_real(), LatentObservation(make_real())
    cases = [
        Case("our exact drawing, same bytes", _UNIT, rate(driving(exact), seconds)),
        Case("our exact drawing in LatentObservation", _UNIT, rate(driving(seen), seconds)),
        Case("LatentObservation's part of a step", "ms", _encoding(seconds)),
    ]
    if (pool := _envpool()) is not None:
        cases.append(Case("EnvPool's CarRacing, one environment (another picture)", _UNIT, rate(pool, seconds)))
    try:
        yield cases
    finally:
        exact.close()
        seen.close()


def missing() -> dict[str, str]:
    """What is not measured here, and why."""
    return {} if _importable("envpool") else {"EnvPool's CarRacing": "envpool is not installed"}


def _encoding(seconds: float) -> Callable[[], float]:
    env = make_real()
    frame, _ = env.reset(seed=1)
    env.close()
    encoder = LatentEncoder(WorldModel.load())
    encoder.reset(frame[None], seeds=[0])
    action = np.zeros((1, 3), np.float32)

    def work() -> int:
        encoder.step(frame[None], action)
        return 1

    steps_per_second = rate(work, seconds)
    return lambda: 1000.0 / steps_per_second()


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _envpool() -> Callable[[], int] | None:
    if not _importable("envpool"):
        return None
    envpool = importlib.import_module("envpool")
    name = max(name for name in envpool.list_all_envs() if name.startswith("CarRacing"))  # the newest
    envs = envpool.make_gymnasium(name, num_envs=1)
    envs.reset()
    action = np.array([[0.1, 0.2, 0.0]], np.float32)

    def work() -> int:
        for _ in range(10):
            envs.step(action)  # resets by itself
        return 10

    return work
