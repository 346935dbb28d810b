"""The dream: one environment, the batched core, and the vector environment around it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from benchmarks.flop import decode_flop, step_flop
from benchmarks.machine import available_threads
from benchmarks.measuring import Case, rate
from dreamgym.dream.core import DreamCore
from dreamgym.registration import DREAM_ID
from dreamgym.world_model import WorldModel

__all__ = ["core_cases", "missing", "modes", "single_cases", "vector_cases"]

_MODES: Final[Mapping[str, Mapping[str, Any]]] = {
    "float32": {},
    "float32, fast": {"fast": True},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, fast": {"precision": "bfloat16", "fast": True},
}
_ID = f"dreamgym:{DREAM_ID}"
_UNIT = "env-steps/s"
_BATCHES = (1, 4, 16, 64, 256, 512, 1024, 4096, 16384)
_QUICK_BATCHES = (1, 64, 512)


def missing() -> dict[str, str]:
    """What cannot be measured here, and why."""
    found = importlib.util.find_spec("numba")
    return {} if found else {"batches with fast=True": 'numba is not installed; pip install "dreamgym[fast]"'}


def modes() -> dict[str, Mapping[str, Any]]:
    """How batches can be stepped here: arguments by name, the fastest last."""
    return {name: options for name, options in _MODES.items() if not (missing() and options.get("fast"))}


def _flop(obs_type: str) -> float:
    world_model = WorldModel.load()
    picture = decode_flop(world_model.vision) if obs_type == "rgb" else 0.0
    return step_flop(world_model.memory) + picture


def dreaming(env: gym.Env[Any, Any]) -> Callable[[], int]:
    """Fifty steps of the environment with one action."""
    env.reset(seed=1)
    action = np.array([0.1, 0.3, 0.0], np.float32)

    def work() -> int:
        for _ in range(50):
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return 50

    return work


@contextlib.contextmanager
def single_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """``gym.make``, one environment, by observation and mode."""
    options: dict[str, dict[str, Any]] = {
        "features": {},
        "features, fast=True": {"fast": True},
        "latent": {"obs_type": "latent"},
        "rgb": {"obs_type": "rgb"},
        "features, bfloat16": {"precision": "bfloat16"},
    }
    envs = {name: gym.make(_ID, **arguments) for name, arguments in options.items()}
    try:
        yield [
            Case(
                f"{name}, {threads} thread{'s' * (threads > 1)}",
                _UNIT,
                rate(dreaming(env), seconds),
                threads=threads,
                flop=_flop(options[name].get("obs_type", "features")),
                precision=options[name].get("precision", "float32"),
            )
            for name, env in envs.items()
            for threads in (available_threads() if name in ("features", "rgb") else [1])
        ]
    finally:
        for env in envs.values():
            env.close()


@contextlib.contextmanager
def core_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """:class:`DreamCore` on tensors: what the environments are made of."""
    world_model = WorldModel.load()
    flop = step_flop(world_model.memory)
    cases = []
    for batch in _QUICK_BATCHES if quick else _BATCHES:
        for mode, options in modes().items():
            core = DreamCore(world_model, batch, max_episode_steps=None, **options)
            core.reset(seeds=torch.arange(batch))
            work = _core_work(core)
            measure = rate(work, seconds)
            cases += [_case(mode, threads, batch, measure, flop) for threads in available_threads()]
    yield cases


def _core_work(core: DreamCore) -> Callable[[], int]:
    actions = torch.tensor([[0.1, 0.3, 0.0]]).repeat(core.num_envs, 1)

    def work() -> int:
        core.step(actions)
        return core.num_envs

    return work


def _case(mode: str, threads: int, batch: int, measure: Callable[[], float], flop: float, kind: str = "") -> Case:
    name = f"{kind}{mode}, {threads} thread{'s' * (threads > 1)}"
    precision = _MODES[mode].get("precision", "float32")
    return Case(name, _UNIT, measure, batch=batch, threads=threads, flop=flop, precision=precision)


@contextlib.contextmanager
def vector_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """``gym.make_vec`` and its NumPy interface, resets of ended episodes included."""
    kinds = [("features", mode) for mode in modes()]
    kinds += [("latent", list(modes())[-1]), ("rgb", "float32")]
    cases, envs = [], []
    for obs_type, mode in kinds:
        batches: tuple[int, ...] = _QUICK_BATCHES if quick else _BATCHES
        if obs_type == "rgb":  # V's pictures take nearly all of the time
            batches = batches[:2] if quick else (1, 64, 1024, 16384)
        for batch in batches:
            made = gym.make_vec(_ID, batch, obs_type=obs_type, autoreset_mode=AutoresetMode.SAME_STEP, **_MODES[mode])
            envs.append(made)
            work = _vector_work(made)
            measure, kind = rate(work, seconds), f"{obs_type}, "
            flop = _flop(obs_type)
            counts = available_threads() if obs_type == "features" else available_threads()[-1:]
            cases += [_case(mode, threads, batch, measure, flop, kind) for threads in counts]
            if obs_type == "rgb" and batch > 1024:  # many seconds a step
                cases[-1] = dataclasses.replace(cases[-1], warm_up=False)
    try:
        yield cases
    finally:
        for made in envs:
            made.close()


def _vector_work(envs: gym.vector.VectorEnv[Any, Any, Any]) -> Callable[[], int]:
    envs.reset(seed=1)
    actions = np.tile(np.array([0.1, 0.3, 0.0], np.float32), (envs.num_envs, 1))

    def work() -> int:
        envs.step(actions)
        return envs.num_envs

    return work
