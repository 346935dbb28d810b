"""Whether anything is faster in the dream than in reality: progress in 100 steps without the cap, and lap times.

For worlds whose score is progress alone; see :attr:`dreamgym.worlds.base.ScoreRule.progress`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dreamgym.data.episodes import Episode
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.policies import Policy
from dreamgym.evaluate.scores import CURVE_STEPS, EpisodeScore
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import RewardRule, World, to_card

__all__ = ["check_speed", "has_progress", "uncapped"]

_LAPS = 16.0


def has_progress(world: World, rule: RewardRule) -> bool:
    """Whether speed can be compared.

    The world must tell progress, and this must be complete at some point.
    """
    return world.score.progress is not None and rule.cap is not None and rule.scale > 0


def uncapped(world_model: WorldModel) -> WorldModel:
    """The same dream with a lap too long for any to finish.

    The payment for a unit of progress shrinks with it.
    """
    rule = dataclasses.replace(world_model.rewards, unit=world_model.rewards.unit * _LAPS)
    return dataclasses.replace(world_model, card={**world_model.card, "rewards": to_card(rule)})


def check_speed(
    policies: Mapping[str, Policy],
    real: Iterable[EpisodeScore],
    episodes: Iterable[Episode],
    capped: Iterable[EpisodeScore],
    seeds: Sequence[int],
    world_model: WorldModel,
    temperature: float,
    *,
    max_episode_steps: int = 1000,
) -> dict[str, Any]:
    """The most progress in 100 steps, and the shortest complete episode.

    In reality and in the dream.

    Args:
        policies: by name; played again, in the dream without the cap.
        real: scores of real episodes.
        episodes: further real episodes, as recorded.
        capped: scores of dreams with the cap, for complete episodes.
        seeds: of the dreams.
        world_model: V and M.
        temperature: of the dreams.
        max_episode_steps: the time limit.
    """
    rule, real = world_model.rewards, list(real)

    def units(score: EpisodeScore) -> float:
        return score.fastest_window * score.units / rule.scale

    windows, laps = [units(score) for score in real], [score.length for score in real if score.complete]
    for episode in episodes:
        gained = np.concatenate([[0.0], np.cumsum(rule.units(episode.rewards, episode.total_units))])
        window = min(CURVE_STEPS, len(episode))
        windows.append(float((gained[window:] - gained[:-window]).max()))
        if episode.complete:
            laps.append(len(episode))
    endless = uncapped(world_model)
    dreamed = {
        name: max(
            units(score)
            for score in evaluate_dream(
                policy, seeds, world_model=endless, temperature=temperature, max_episode_steps=max_episode_steps
            )
        )
        for name, policy in policies.items()
    }
    fastest = max(dreamed, key=lambda name: dreamed[name])
    dream_laps = [score.length for score in capped if score.complete]
    return {
        "real_units_in_100_steps": max(windows),
        "dream_units_in_100_steps": dreamed[fastest],
        "dream_policy": fastest,
        "real_lap_steps": min(laps, default=None),
        "dream_lap_steps": min(dream_laps, default=None),
        "passes": dreamed[fastest] <= max(windows)
        and (not dream_laps or (bool(laps) and min(dream_laps) >= min(laps))),
    }
