"""Whether anything is faster in the dream than a car can be: tiles in 100 steps, with the lap's cap off, and laps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dreamgym.episodes import Episode
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.policies import Policy
from dreamgym.evaluate.scores import CURVE_STEPS, EpisodeScore
from dreamgym.real.world import CAR_RACING
from dreamgym.world_model import WorldModel

__all__ = ["race", "uncapped"]

_LAPS = 16.0


def uncapped(world: WorldModel) -> WorldModel:
    """The same dream with a lap so long that none can finish it: the payment for a unit of progress shrinks with it."""
    return dataclasses.replace(world, card={**world.card, "lap_units": world.lap_units * _LAPS})


def _units(score: EpisodeScore) -> float:
    """The most units of progress in 100 steps."""
    return score.fastest_window * score.lap_units / CAR_RACING.lap_reward


def race(
    policies: Mapping[str, Policy],
    real: Iterable[EpisodeScore],
    drives: Iterable[Episode],
    capped: Iterable[EpisodeScore],
    seeds: Sequence[int],
    world: WorldModel,
    temperature: float,
    *,
    max_episode_steps: int = 1000,
) -> dict[str, Any]:
    """The fastest 100 steps and the fastest lap in reality and in the dream.

    Args:
        policies: by name; driven again, in the dream without the cap.
        real: scores of real drives.
        drives: further real drives, as recorded.
        capped: scores of dreams with the cap, for the laps.
        seeds: of the dreams.
        world: the world model.
        temperature: of the dreams.
        max_episode_steps: the time limit.
    """
    real = list(real)
    windows, laps = [_units(score) for score in real], [score.length for score in real if score.lap_finished]
    for episode in drives:
        gained = np.concatenate([[0.0], np.cumsum(episode.progress)])
        window = min(CURVE_STEPS, len(episode))
        windows.append(float((gained[window:] - gained[:-window]).max()))
        if episode.lap_finished:
            laps.append(len(episode))
    endless = uncapped(world)
    dreamed = {
        name: max(
            _units(score)
            for score in evaluate_dream(
                policy, seeds, world_model=endless, temperature=temperature, max_episode_steps=max_episode_steps
            )
        )
        for name, policy in policies.items()
    }
    fastest = max(dreamed, key=lambda name: dreamed[name])
    dream_laps = [score.length for score in capped if score.lap_finished]
    return {
        "real_tiles_in_100_steps": max(windows),
        "dream_tiles_in_100_steps": dreamed[fastest],
        "dream_policy": fastest,
        "real_lap_steps": min(laps, default=None),
        "dream_lap_steps": min(dream_laps, default=None),
        "passes": dreamed[fastest] <= max(windows)
        and (not dream_laps or (bool(laps) and min(dream_laps) >= min(laps))),
    }
