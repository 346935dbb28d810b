"""The real environment: Gymnasium's, ours with the exact drawing, EnvPool's, and the cost of V and M beside it."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import available_threads
from benchmarks.measuring import Case, rate
from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.world_model import WorldModel
from dreamgym.worlds.car_racing.world import CAR_RACING
from dreamgym.wrappers import LatentObservation

__all__ = ["SHIPPED", "missing", "real_cases", "shipped_case"]

SHIPPED = "CarRacing-v3 as Gymnasium ships it"
_UNIT = "env-steps/s"


def driving(env: gym.Env[Any, Any]) -> Callable[[], int]:
    """Ten steps of an episode that goes on, gently to and fro; a reset at an end is part of it."""
    env.reset(seed=1)
    frame = 0

    def work() -> int:
        nonlocal frame
        for _ in range(10):
            frame += 1
            *_, terminated, truncated, _ = env.step(_action(frame))
            if terminated or truncated:
                env.reset()
        return 10

    return work


def _action(frame: int) -> NDArray[np.float32]:
    return np.array([0.3 * np.sin(0.1 * frame), 0.2, 0.0], np.float32)


@contextlib.contextmanager
def shipped_case(seconds: float) -> Iterator[Case]:
    """Gymnasium's own environment, which every rate is compared with."""
    env = CAR_RACING.make_env(exact_drawing=False)
    try:
        yield Case(SHIPPED, _UNIT, rate(driving(env), seconds))
    finally:
        env.close()


@contextlib.contextmanager
def real_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """The others; EnvPool only where it is installed."""
    exact, seen = CAR_RACING.make_env(), LatentObservation(CAR_RACING.make_env())
    cases = [
        Case("our exact drawing, same bytes", _UNIT, rate(driving(exact), seconds)),
        Case("our exact drawing in LatentObservation", _UNIT, rate(driving(seen), seconds)),
        Case("LatentObservation's part of a step", "ms", _encoding(seconds)),
    ]
    if not missing():
        cases += _pool_cases(seconds)
    try:
        yield cases
    finally:
        exact.close()
        seen.close()


def missing() -> dict[str, str]:
    """What is not measured here, and why."""
    try:
        importlib.import_module("envpool")
    except ImportError as error:
        return {"EnvPool's CarRacing": f"import envpool: {error}"}
    return {}


def _encoding(seconds: float) -> Callable[[], float]:
    env = CAR_RACING.make_env()
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


def _pool_cases(seconds: float) -> list[Case]:
    """EnvPool's, an environment for each of its threads."""
    envpool = importlib.import_module("envpool")
    name = max(name for name in envpool.list_all_envs() if name.startswith("CarRacing"))  # the newest
    return [
        Case(
            f"EnvPool's {name}, {count} thread{'s' * (count > 1)} (another picture)",
            _UNIT,
            rate(_pool_driving(envpool.make_gymnasium(name, num_envs=count, num_threads=count, seed=1)), seconds),
        )
        for count in available_threads()
    ]


def _pool_driving(envs: Any) -> Callable[[], int]:
    """The same episode in each; an ended episode is reset by the next step."""
    envs.reset()
    count, frame = len(envs.all_env_ids), 0

    def work() -> int:
        nonlocal frame
        for _ in range(10):
            frame += 1
            envs.step(np.tile(_action(frame), (count, 1)))
        return 10 * count

    return work
