"""Playing in the dream, all episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.dream.rollout import rollout
from dreamgym.dream.temperature import Temperature
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
    start: str | int = "beginning",
    max_episode_steps: int | None = None,
    precision: str = "float32",
) -> list[EpisodeScore]:
    """Play one dream for each seed.

    A row of the batch does not depend on its neighbours, so a seed's score is the same in any company as long as the
    policy treats rows alike.

    Args:
        policy: features, float32 (B, Z + H), to actions, (B, A); see :mod:`dreamgym.evaluate.policies`.
        seeds: of the dreams.
        world_model: the world model, a bundle's folder, or None for the one that :meth:`WorldModel.load` finds.
        temperature: None for the card's, a number, or (low, high) drawn from for each episode.
        start: ``"beginning"``, ``"anywhere"``, ``"hard"`` or an index into the bank of start states.
        max_episode_steps: the time limit; the world's when None.
        precision: of M's matrix products, ``"float32"``, ``"bfloat16"`` or ``"auto"``.

    Raises:
        ConfigError: no seeds.
        ActionError: the policy's actions are of the wrong shape, not finite or out of range.
        BundleError: no world model, or a damaged one.
    """
    if not len(seeds):
        raise ConfigError("seeds: expected at least one, got none")
    model = world_model if isinstance(world_model, WorldModel) else WorldModel.load(world_model)
    steps = max_episode_steps or model.max_episode_steps
    core = DreamCore(model, len(seeds), temperature=temperature, max_episode_steps=steps, precision=precision)
    core.reset(seeds=torch.tensor(list(seeds), dtype=torch.int64), start=start)
    begin_episodes(policy, seeds)
    terminated, complete = (torch.zeros(len(seeds), dtype=torch.bool) for _ in range(2))
    rewards = []

    def act(features: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(policy(features.numpy().copy()), np.float32))

    for step, running in rollout(core, act, hold=True):
        rewards.append(step.reward.numpy().copy())
        terminated |= step.terminated & running
        complete |= step.complete & running
    table = np.stack(rewards)  # (T, B)
    return [
        score_episode(
            seed,
            table[: int(core.elapsed[row]), row],
            progress=float(core.progress[row]),
            units=core.rewards.unit,
            terminated=bool(terminated[row]),
            complete=bool(complete[row]),
            max_episode_steps=steps,
            constant=core.rewards.constant,
        )
        for row, seed in enumerate(seeds)
    ]
