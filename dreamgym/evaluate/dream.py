"""Driving in the dream, all episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.dream.options import Temperature
from dreamgym.errors import ConfigError
from dreamgym.evaluate.policies import Policy, begin_episodes
from dreamgym.evaluate.scores import EpisodeScore, score_episode
from dreamgym.world_model import WorldModel

__all__ = ["evaluate_dream"]


def evaluate_dream(
    policy: Policy,
    seeds: Sequence[int],
    *,
    world_model: WorldModel | Path | str | None = None,
    temperature: Temperature = None,
    start: str | int = "line",
    max_episode_steps: int = 1000,
    precision: str = "float32",
) -> list[EpisodeScore]:
    """Drive one dream for each seed.

    A row of the batch does not depend on its neighbours, so a seed's score is the same in any company as long as the
    policy treats rows alike.

    Args:
        policy: features, float32 (B, 288), to actions, (B, 3); see :mod:`dreamgym.evaluate.policies`.
        seeds: of the dreams.
        world_model: the world model, a bundle's folder, or None for the one that :meth:`WorldModel.load` finds.
        temperature: None for the card's, a number, or (low, high) drawn from for each episode.
        start: ``"line"``, ``"anywhere"``, ``"hard"`` or an index into the bank of start states.
        max_episode_steps: the time limit.
        precision: of M's matrix products, ``"float32"`` or ``"bfloat16"``.

    Raises:
        ConfigError: no seeds.
        ActionError: the policy's actions are of the wrong shape, not finite or out of range.
        BundleError: no world model, or a damaged one.
    """
    if not len(seeds):
        raise ConfigError("seeds: expected at least one, got none")
    world = world_model if isinstance(world_model, WorldModel) else WorldModel.load(world_model)
    core = DreamCore(
        world, len(seeds), temperature=temperature, max_episode_steps=max_episode_steps, precision=precision
    )
    core.reset(seeds=torch.tensor(list(seeds), dtype=torch.int64), start=start)
    begin_episodes(policy, seeds)
    active = torch.ones(len(seeds), dtype=torch.bool)
    terminated, lapped = torch.zeros_like(active), torch.zeros_like(active)
    rewards = []
    while active.any():
        actions = np.asarray(policy(core.features.numpy().copy()), np.float32)
        step = core.step(torch.from_numpy(actions), active)
        rewards.append(step.reward.numpy().copy())
        terminated |= step.terminated & active
        lapped |= step.lap_finished & active
        active = active & ~(step.terminated | step.truncated)
    table = np.stack(rewards)  # (T, B)
    return [
        score_episode(
            seed,
            table[: int(core.elapsed[row]), row],
            progress=float(core.progress[row]),
            lap_units=world.lap_units,
            terminated=bool(terminated[row]),
            lap_finished=bool(lapped[row]),
            max_episode_steps=max_episode_steps,
            frame_cost=core.world.frame_cost,
        )
        for row, seed in enumerate(seeds)
    ]
