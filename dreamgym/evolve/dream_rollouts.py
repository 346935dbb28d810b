"""Rollouts of populations of controllers in the dream, in processes of one thread each.

Two threads of one process would contend for Python's interpreter lock between the many short tensor operations of a
step; two processes do not. What a candidate scores does not depend on how the population is divided.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dreamgym import parallel
from dreamgym.config import EvolveConfig
from dreamgym.controller.fitness import ExcessProgress, RolloutScores, rollout_seeds
from dreamgym.controller.linear import LinearController
from dreamgym.controller.subspace import Subspace
from dreamgym.dream.core import DreamCore, compiled_tile
from dreamgym.dream.rollout import rollout
from dreamgym.errors import ConfigError
from dreamgym.files import file_sha256
from dreamgym.tensor_files import read_tensors
from dreamgym.training import choose_precision
from dreamgym.world_model import WorldModel, locate

__all__ = ["DreamTrials", "Outputs", "dream_rollout", "linear_outputs"]

Outputs = Callable[[Tensor, int], Callable[[Tensor], Tensor]]
"""From candidates' parameters, (P, parameters), and the action's size A to a function from features, (P, R, Z + H), to
raw outputs, (P, R, A); a module's own function, for other processes."""


def linear_outputs(parameters: Tensor, size: int) -> Callable[[Tensor], Tensor]:
    """The outputs of linear controllers, an :data:`Outputs`.

    Parameters are those of :attr:`dreamgym.controller.linear.LinearController.parameters`.
    """
    weights = parameters[:, :-size].unflatten(1, (size, -1)).transpose(1, 2)  # (P, observation, A)
    bias = parameters[:, None, -size:]
    # With three columns, or a multiple of four, a candidate's bits do not depend on how many others there are.
    more = -size % 4 if size != 3 else 0
    weights, bias = F.pad(weights, (0, more)).contiguous(), F.pad(bias, (0, more))
    return lambda features: torch.baddbmm(bias, features, weights)[..., :size]


def dream_rollout(
    core: DreamCore,
    candidates: NDArray[np.float32],
    *,
    outputs: Outputs = linear_outputs,
    progress_limit: float = math.inf,
    action_noise: float = 0.0,
    noise_seed: int = 0,
) -> RolloutScores:
    """Play freshly reset dreams to the end of their episodes.

    What comes after an end does not count.

    Args:
        core: P * R dreams, candidate by candidate.
        candidates: controllers' parameters, (P, parameters).
        outputs: the form of the controllers.
        progress_limit: see :class:`dreamgym.controller.fitness.ExcessProgress`.
        action_noise: standard deviation of what is added to the actions of every second rollout, each in its range; the
            same for all candidates.
        noise_seed: decides that.
    """
    population, count = len(candidates), core.num_envs
    shape = (population, count // population)
    action_set, size = core.world_model.actions, core.world_model.actions.size
    outputs_of = outputs(torch.from_numpy(np.ascontiguousarray(candidates)).to(core.device), size)
    penalty = torch.tensor(action_set.penalty or (0.0,) * size, dtype=torch.float32, device=core.device)
    sums = [torch.zeros(count, dtype=torch.float32, device=core.device) for _ in range(5)]
    returns, smoothness, excess_progress, squared_actions, event = sums
    excess = ExcessProgress(progress_limit, core.rewards.constant)
    lengths = torch.zeros(count, dtype=torch.int64, device=core.device)
    disturbance = _Disturbance(core, shape[1], action_noise, noise_seed)
    wanted: list[Tensor] = []  # actions before the disturbance

    def act(features: Tensor) -> Tensor:
        raw = outputs_of(features.unflatten(0, shape))
        wanted.append(action_set.from_outputs(raw).flatten(0, 1))
        return disturbance(wanted[-1])

    previous: Tensor | None = None
    for step, running in rollout(core, act):
        actions = wanted.pop()
        if previous is not None:
            smoothness += (actions - previous).abs_().mean(dim=1).mul_(running)
        previous = actions
        returns += step.reward * running
        excess_progress += excess(step.reward) * running
        squared_actions += (actions.square() * penalty).sum(dim=1) * running
        event += core.event() * running
        lengths += running
    doubles = (value.double() for value in (smoothness, excess_progress, squared_actions))
    scores = (returns.double(), lengths, *doubles, (-event).expm1_().neg_())
    return RolloutScores(*(value.reshape(shape).cpu().numpy() for value in scores))


class _Disturbance:
    """Noise on the actions of every second rollout of each candidate."""

    def __init__(self, core: DreamCore, rollouts: int, sigma: float, seed: int) -> None:
        self._sigma, self._rollouts = sigma, rollouts
        self._generator = torch.Generator().manual_seed(seed)
        self._calm = torch.arange(rollouts) % 2 == 0
        actions = core.world_model.actions
        ends = (actions.low, actions.high)
        self._low, self._high = (torch.tensor(end, dtype=torch.float32, device=core.device) for end in ends)

    def __call__(self, actions: Tensor) -> Tensor:
        if not self._sigma:
            return actions
        shape = self._rollouts, actions.shape[1]
        noise = torch.randn(shape, generator=self._generator, dtype=torch.float32) * self._sigma
        noise[self._calm] = 0.0
        disturbed = actions.unflatten(0, (-1, self._rollouts)) + noise.to(actions.device)
        return torch.minimum(torch.maximum(disturbed, self._low), self._high).flatten(0, 1)


def _label_directions(path: Path, latent_size: int) -> NDArray[np.float32]:
    """Directions of [z, h], float32 (n, Z + H), along which M read its labels from h."""
    tensors = read_tensors(path)
    if "directions" not in tensors:
        raise ConfigError(f"label_directions: expected a file that `dreamgym train memory` wrote, got {path}")
    return np.pad(tensors["directions"].numpy(), ((0, 0), (latent_size, 0)))


class DreamTrials:
    """Scores populations in the dream of a bundle, in processes of one thread each.

    Args:
        config: the bundle, population, rollouts, starts, temperature, precision, seed, ``workers`` and
            ``engine``.
        device: on a GPU all candidates are tried at once, in this process.
        outputs: the form of the candidates.

    Raises:
        ConfigError: ``config.fast`` on a GPU, or a penalty on what this world model does not have.
        InstallationError: ``config.fast`` without numba.
        WorkerError: in a call, when a process died.
    """

    def __init__(
        self, config: EvolveConfig, device: torch.device | str = "cpu", outputs: Outputs = linear_outputs
    ) -> None:
        if config.fast:
            compiled_tile(torch.device(device))  # to refuse it here, since a process would only die of it
        # Chosen once, for machines that are not alike.
        precision = choose_precision(config.precision, torch.device(device))
        config = replace(config, world_model=locate(config.world_model, config.world), precision=precision)
        world_model = WorldModel.load(config.world_model, world=config.world)
        _check(config, world_model)
        self.inputs = {"world_model_sha256": file_sha256(locate(config.world_model) / "card.json")}
        """What a candidate's scores depend on, see :func:`dreamgym.controller.cma_es.evolve`."""
        if outputs is not linear_outputs:
            self.inputs["outputs"] = f"{outputs.__module__}.{getattr(outputs, '__qualname__', outputs)}"
        memory, starts, squash = world_model.memory, world_model.starts, world_model.actions.squash
        self.zeros = LinearController.zeros(memory.latent_size + memory.hidden_size, squash)
        """A linear controller with parameters of zero."""
        self.subspace: Subspace | None = None
        """Where to search, by the configuration."""
        if config.subspace:
            # The contexts' features are real ones; those at the start have h = 0.
            features = torch.cat([starts.z, starts.h], dim=1)[~starts.at_start]
            self.subspace = Subspace.of(features.numpy(), config.subspace, len(squash))
            if config.label_directions is not None:
                directions = _label_directions(config.label_directions, memory.latent_size)
                self.subspace = self.subspace.with_directions(features.numpy(), directions)
                self.inputs["label_directions_sha256"] = file_sha256(config.label_directions)
        on_gpu = torch.device(device).type != "cpu"
        where = {"workers": 1} if on_gpu else {"workers": config.workers, "engine": config.engine}
        self._stack = ExitStack()
        self._workers: parallel.Workers[_Item, RolloutScores] = self._stack.enter_context(
            parallel.start(_trying, (config, world_model, str(device), outputs), **where)
        )

    def __call__(self, candidates: NDArray[np.float64], generation: int) -> RolloutScores:
        """One generation: every candidate on the same starts and seeds.

        Args:
            candidates: (population, parameters).
            generation: decides the seeds.
        """
        shares = np.array_split(candidates.astype(np.float32), min(self._workers.count, len(candidates)))
        parts = parallel.in_order(self._workers, [(share, generation) for share in shares])
        return RolloutScores.join(parts, axis=0)

    def close(self) -> None:
        """End the processes."""
        self._stack.close()

    def __enter__(self) -> DreamTrials:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(config: EvolveConfig, world_model: WorldModel) -> None:
    name = world_model.world_name
    if config.hard_rollouts and not world_model.starts.hard.any():
        raise ConfigError(
            f"hard_rollouts: expected 0, got {config.hard_rollouts}; the bundle of {name} has no hard start states"
        )
    if config.action_penalty and not any(world_model.actions.penalty):
        raise ConfigError(f"action_penalty: expected 0, got {config.action_penalty}; no action of {name} has a penalty")
    if config.event_penalty and world_model.memory.event_head is None:
        raise ConfigError(f"event_penalty: expected 0, got {config.event_penalty}; M of {name} predicts no event")


_Item = tuple[NDArray[np.float32], int]
"""Candidates, (population, parameters), and the generation."""


def _trying(settings: tuple[EvolveConfig, WorldModel, str, Outputs]) -> Callable[[_Item], RolloutScores]:
    """From candidates to their scores; the dreams of each number of candidates are made once."""
    config, world_model, device, outputs = settings

    @functools.cache
    def cores(population: int) -> _Cores:
        return _cores(config, world_model, population, device)

    def tried(item: _Item) -> RolloutScores:
        candidates, generation = item
        return _try(cores(len(candidates)), candidates, config, generation, outputs)

    return tried


class _Cores(NamedTuple):
    """What a process tries its candidates in."""

    whole: DreamCore
    """Rollouts of whole episodes, candidate by candidate."""
    hard: DreamCore | None
    """Short ones from hard moments, where there are any."""


def _cores(config: EvolveConfig, world_model: WorldModel, population: int, device: str) -> _Cores:
    def core(rollouts: int, steps: int | Literal["world"]) -> DreamCore:
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
    return _Cores(core(config.rollouts, config.max_episode_steps or "world"), hard)


def _try(
    cores: _Cores, candidates: NDArray[np.float32], config: EvolveConfig, generation: int, outputs: Outputs
) -> RolloutScores:
    population = len(candidates)
    seeds = torch.tensor(rollout_seeds(config, generation))
    whole, hard = (part.repeat(population) for part in seeds.split([config.rollouts, config.hard_rollouts]))
    at_start = (torch.arange(config.rollouts) < round(config.beginning_share * config.rollouts)).repeat(population)
    if at_start.any():
        cores.whole.reset(at_start, seeds=whole, start="beginning")
    if not at_start.all():
        # From anywhere, too, a whole episode lies ahead: else a start shortly before its end would say little.
        cores.whole.reset(~at_start, seeds=whole, start="anywhere", progress=0.0)

    def score(core: DreamCore) -> RolloutScores:
        settings = {"progress_limit": config.progress_limit, "action_noise": config.action_noise}
        return dream_rollout(core, candidates, outputs=outputs, **settings, noise_seed=int(seeds[0]))

    if cores.hard is None:
        return score(cores.whole)
    cores.hard.reset(seeds=hard, start="hard", progress=0.0)
    return RolloutScores.join([score(cores.whole), score(cores.hard)], axis=1)
