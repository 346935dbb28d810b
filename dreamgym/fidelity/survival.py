"""Share of episodes that are still alive after so many steps, for worlds whose score is how long an episode lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.fidelity.returns import Scores
from dreamgym.worlds.base import RewardRule

__all__ = ["is_survival", "share_alive", "survival"]

_POINTS: Final = 61
"""Of a curve, from the first step to the time limit."""


def is_survival(rule: RewardRule) -> bool:
    """Whether nothing but an episode's length decides its return."""
    return rule.head == "none" or rule.scale == 0


def share_alive(scores: Sequence[EpisodeScore], steps: Sequence[int]) -> list[float]:
    """Share of the episodes that have not failed after each number of steps.

    An episode that reached the time limit, or was complete, is alive to the end.
    """
    lengths = np.array([score.length if score.failed else np.inf for score in scores])
    return [float((lengths > step).mean()) for step in steps]


def survival(real: Scores, dream: Scores, max_episode_steps: int) -> dict[str, Any]:
    """Curves by policy.

    Returns:
        ``steps`` and, for each policy, its name, the curves ``real`` and ``dream`` and their ``largest_gap``.
    """
    steps = np.linspace(0, max_episode_steps, min(_POINTS, max_episode_steps + 1)).round().astype(int).tolist()
    policies = []
    for name in real:
        ours, theirs = share_alive(real[name], steps), share_alive(dream[name], steps)
        gap = float(np.abs(np.subtract(ours, theirs)).max())
        policies.append({"policy": name, "real": ours, "dream": theirs, "largest_gap": gap})
    return {"steps": steps, "policies": policies}
