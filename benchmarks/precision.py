"""Whether the fast precision dreams the same dream: what the bundle's controller meets in each, beside chance."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.dreams import modes
from benchmarks.machine import available_threads
from benchmarks.measuring import Case, Shared
from dreamgym.controller.linear import LinearController
from dreamgym.dream.core import DreamCore
from dreamgym.dream.rollout import rollout
from dreamgym.world_model import WorldModel

__all__ = ["Statistics", "gather", "precision_cases"]


class Statistics(NamedTuple):
    """Of many episodes; each a mean over episodes, or over the latents of their steps."""

    episode_return: float
    """Undiscounted."""
    return_deviation: float
    """Its standard deviation over episodes."""
    length: float
    """Steps."""
    latent_size: float
    """Mean square of a latent."""
    heaviest: float
    """Mean weight of the heaviest component of a mixture, at temperature 1."""


@torch.no_grad()
def gather(core: DreamCore, controller: LinearController, seed: int, steps: int) -> Statistics:
    """Drive every row from the start to its end.

    Args:
        core: the dreams.
        controller: drives.
        seed: of the first row; row i takes seed + i.
        steps: at most, of an episode.
    """
    count = core.num_envs
    weights, bias = torch.from_numpy(controller.weights).T.contiguous(), torch.from_numpy(controller.bias)
    core.reset(seeds=torch.arange(seed, seed + count), start="beginning")
    returns, lengths = torch.zeros(count), torch.zeros(count)
    sums, samples = torch.zeros(2, dtype=torch.float64), 0

    def act(features: Tensor) -> Tensor:
        return core.world_model.actions.from_outputs(torch.addmm(bias, features, weights))

    for frame, (step, running) in zip(range(steps), rollout(core, act), strict=False):
        returns += step.reward * running
        lengths += running
        if frame % 20 == 0:
            sums += _latents(core, running)
            samples += int(running.sum())
    size, heaviest = (sums / max(samples, 1)).tolist()
    return Statistics(float(returns.mean()), float(returns.std()), float(lengths.mean()), size, heaviest)


def _latents(core: DreamCore, running: Tensor) -> Tensor:
    """Sums over rows of the mean square of their latents and of the mean weight of the heaviest components, (2,)."""
    weights = torch.softmax(core.last_prediction.mixture[running][:, 0], dim=1)  # (n, K, Z)
    heaviest = weights.amax(dim=1).mean(dim=1).sum()
    return torch.stack([core.z[running].square().mean(dim=1).sum(), heaviest]).double()


@contextlib.contextmanager
def precision_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """Each statistic in each precision, other seeds in each round: the rounds' range is what chance does."""
    world_model = WorldModel.load()
    controller, steps = world_model.controller, 50 if quick else 1000
    if controller is None:
        yield []
        return
    cases = []
    for mode, options in modes().items():
        core = DreamCore(world_model, 64 if quick else 1024, max_episode_steps=steps, **options)
        runs = Shared(functools.partial(_drive, core, controller, steps))
        for name in Statistics._fields:
            title = f"{name.replace('_', ' ')}, {mode}"
            threads = available_threads()[-1]
            cases.append(Case(title, "", runs.reader(operator.attrgetter(name)), threads=threads, warm_up=False))
    yield cases


def _drive(core: DreamCore, controller: LinearController, steps: int, turn: int) -> Statistics:
    return gather(core, controller, 100_000 * turn, steps)
