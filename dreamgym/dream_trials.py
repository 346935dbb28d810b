"""``dreamgym evolve``: populations tried in the dream, in processes of one thread each.

Two threads of one process would contend for Python's interpreter lock between the many short tensor operations of a
step; two processes do not. What a candidate scores does not depend on how the population is divided.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.config import EvolveConfig
from dreamgym.control.evolution import evolve
from dreamgym.control.linear import LinearController
from dreamgym.control.rollouts import Pace, RolloutScores, rollout_seeds
from dreamgym.control.subspace import Subspace
from dreamgym.dream.core import DreamCore, compiled_tile
from dreamgym.errors import WorkerError
from dreamgym.evaluate.real import look
from dreamgym.real.world import STEERING
from dreamgym.seeds import VALIDATION_SEEDS
from dreamgym.training import choose_device
from dreamgym.world_model import WorldModel

__all__ = ["DreamTrials", "dream_rollout", "run"]


def dream_rollout(
    core: DreamCore,
    candidates: NDArray[np.float32],
    *,
    pace_limit: float = math.inf,
    action_noise: float = 0.0,
    noise_seed: int = 0,
) -> RolloutScores:
    """Drive freshly reset dreams to the end of their episodes; what comes after an end does not count.

    Args:
        core: P * R dreams, candidate by candidate.
        candidates: controllers' parameters, (P, parameters).
        pace_limit: see :class:`dreamgym.control.rollouts.Pace`.
        action_noise: standard deviation of what is added to the actions of every second rollout, each in its range; the
            same for all candidates.
        noise_seed: decides that.
    """
    population, count = len(candidates), core.num_envs
    shape = (population, count // population)
    parameters = torch.from_numpy(np.ascontiguousarray(candidates)).to(core.device)
    weights = parameters[:, :-3].unflatten(1, (3, -1)).transpose(1, 2).contiguous()  # (P, observation, 3)
    bias = parameters[:, None, -3:]
    running = torch.ones(count, dtype=torch.bool, device=core.device)
    returns, smoothness, haste, effort, missed = (torch.zeros(count, device=core.device) for _ in range(5))
    pace = Pace(pace_limit)
    lengths = torch.zeros(count, dtype=torch.int64, device=core.device)
    disturbance = _Disturbance(core, shape[1], action_noise, noise_seed)
    previous: Tensor | None = None
    while running.any():
        actions = _squash(torch.baddbmm(bias, core.features.unflatten(0, shape), weights)).flatten(0, 1)
        if previous is not None:
            smoothness += (actions - previous).abs_().mean(dim=1).mul_(running)
        previous = actions
        step = core.step(disturbance(actions))
        returns += step.reward * running
        haste += pace.excess(step.reward) * running
        effort += actions[:, STEERING].square() * running
        missed += core.missed() * running
        lengths += running
        running &= ~(step.terminated | step.truncated)
    sums = (returns.double(), lengths, smoothness.double(), haste.double(), effort.double(), (-missed).expm1_().neg_())
    return RolloutScores(*(value.reshape(shape).cpu().numpy() for value in sums))


class _Disturbance:
    """Noise on the actions of every second rollout of each candidate."""

    def __init__(self, core: DreamCore, rollouts: int, sigma: float, seed: int) -> None:
        self._sigma, self._rollouts = sigma, rollouts
        self._generator = torch.Generator().manual_seed(seed)
        self._calm = torch.arange(rollouts) % 2 == 0
        self._low, self._high = (
            torch.tensor(end, device=core.device) for end in (core.world.action_low, core.world.action_high)
        )

    def __call__(self, actions: Tensor) -> Tensor:
        if not self._sigma:
            return actions
        noise = torch.randn(self._rollouts, actions.shape[1], generator=self._generator) * self._sigma
        noise[self._calm] = 0.0
        disturbed = actions.unflatten(0, (-1, self._rollouts)) + noise.to(actions.device)
        return torch.minimum(torch.maximum(disturbed, self._low), self._high).flatten(0, 1)


def _squash(raw: Tensor) -> Tensor:
    """:func:`dreamgym.control.linear.squash` for tensors, in place."""
    action = raw.tanh_()
    action[..., 1].add_(1.0).div_(2.0)
    action[..., 2].clamp_min_(0.0)
    return action


class DreamTrials:
    """Scores populations in the dream of a bundle.

    Args:
        config: the bundle, population, rollouts, starts, temperature, precision, seed, and ``workers``, the processes.
        device: on a GPU all candidates are tried at once, in this process.

    Raises:
        ConfigError: ``config.fast`` on a GPU.
        InstallationError: ``config.fast`` without numba.
        WorkerError: in a call, when a process died.
    """

    def __init__(self, config: EvolveConfig, device: torch.device | str = "cpu") -> None:
        if config.fast:
            compiled_tile(torch.device(device))  # to refuse it here, since a process would only die of it
        world_model = WorldModel.load(config.world_model)
        memory, starts = world_model.memory, world_model.starts
        self.parameters = 3 * (memory.latent_size + memory.hidden_size) + 3
        """How many parameters a candidate has."""
        self.subspace: Subspace | None = None
        """Where to search, by the configuration."""
        if config.subspace:
            # The contexts' features are real ones; those at the line have h = 0.
            features = torch.cat([starts.z, starts.h], dim=1)[~starts.at_line]
            self.subspace = Subspace.of(features.numpy(), config.subspace)
        self._config = config
        self._local: _Cores | None = None
        self._processes: list[tuple[Any, Connection]] = []
        workers = 1 if torch.device(device).type != "cpu" else min(config.workers, config.population)
        if workers == 1:
            self._local = _cores(config, config.population, device)
            return
        context = multiprocessing.get_context("spawn")
        for share in np.array_split(np.arange(config.population), workers):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, config, len(share)), daemon=True)
            process.start()
            there.close()
            self._processes.append((process, here))

    def __call__(self, candidates: NDArray[np.float64], generation: int) -> RolloutScores:
        """One generation: every candidate on the same starts and seeds.

        Args:
            candidates: (population, parameters).
            generation: decides the seeds.
        """
        weights = candidates.astype(np.float32)
        if self._local is not None:
            return _try(self._local, weights, self._config, generation)
        shares = np.array_split(weights, len(self._processes))
        try:
            for (_, pipe), share in zip(self._processes, shares, strict=True):
                pipe.send((share, generation))
            parts: list[RolloutScores | Exception] = [pipe.recv() for _, pipe in self._processes]
        except (EOFError, OSError) as error:
            raise WorkerError("a dreaming process died; run the same command again to go on") from error
        for part in parts:
            if isinstance(part, Exception):
                raise part
        return RolloutScores.join([part for part in parts if isinstance(part, RolloutScores)], axis=0)

    def close(self) -> None:
        """End the processes."""
        for _, pipe in self._processes:
            pipe.close()
        deadline = time.monotonic() + 5  # they see it when their generation is tried
        for process, _ in self._processes:
            process.join(timeout=max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        self._processes = []

    def __enter__(self) -> DreamTrials:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Cores(NamedTuple):
    """What a process tries its candidates in."""

    whole: DreamCore
    """Rollouts of whole episodes, candidate by candidate."""
    hard: DreamCore | None
    """Short ones from hard moments, where there are any."""


def _cores(config: EvolveConfig, population: int, device: torch.device | str) -> _Cores:
    world_model = WorldModel.load(config.world_model)

    def core(rollouts: int, steps: int) -> DreamCore:
        return DreamCore(
            world_model,
            population * rollouts,
            temperature=config.temperature,
            max_episode_steps=steps,
            precision=config.precision,
            fast=config.fast,
            device=device,
        )

    hard = core(config.hard_rollouts, config.hard_steps) if config.hard_rollouts else None
    return _Cores(core(config.rollouts, config.max_episode_steps), hard)


def _try(cores: _Cores, candidates: NDArray[np.float32], config: EvolveConfig, generation: int) -> RolloutScores:
    population = len(candidates)
    seeds = torch.tensor(rollout_seeds(config, generation))
    whole, hard = (part.repeat(population) for part in seeds.split([config.rollouts, config.hard_rollouts]))
    at_line = (torch.arange(config.rollouts) < round(config.line_share * config.rollouts)).repeat(population)
    if at_line.any():
        cores.whole.reset(at_line, seeds=whole, start="line")
    if not at_line.all():
        # From anywhere, too, a whole lap lies ahead: else a start shortly before its end would say little.
        cores.whole.reset(~at_line, seeds=whole, start="anywhere", progress=0.0)

    def drive(core: DreamCore) -> RolloutScores:
        settings = {"pace_limit": config.pace_limit, "action_noise": config.action_noise}
        return dream_rollout(core, candidates, **settings, noise_seed=int(seeds[0]))

    if cores.hard is None:
        return drive(cores.whole)
    cores.hard.reset(seeds=hard, start="hard", progress=0.0)
    return RolloutScores.join([drive(cores.whole), drive(cores.hard)], axis=1)


def _serve(pipe: Connection, config: EvolveConfig, population: int) -> None:
    """A process: try what comes through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    cores = _cores(config, population, "cpu")
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            candidates, generation = pipe.recv()
            try:
                pipe.send(_try(cores, candidates, config, generation))
            except Exception as error:  # the parent's to raise
                pipe.send(error)
    os._exit(0)


def run(config: EvolveConfig) -> None:
    """The command ``dreamgym evolve``."""
    seeds = VALIDATION_SEEDS[: config.validation_tracks]

    def validate(controller: LinearController) -> list[float]:
        return look(controller, seeds, workers=config.workers, world_model=config.world_model)

    with DreamTrials(config, choose_device("auto")) as trials:
        evolve(config, trials, subspace=trials.subspace, validate=validate)
    print(f"controller: {config.out / 'controller.safetensors'}")
