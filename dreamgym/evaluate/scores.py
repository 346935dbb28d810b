"""What is kept of an episode, and of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["CURVE_STEPS", "WINNING_SCORE", "EpisodeScore", "score_episode", "summarize"]

CURVE_STEPS: Final = 100
"""Steps between the points of an episode's curve."""

WINNING_SCORE: Final = 900.0
"""What CarRacing has always called solved."""


@dataclass(frozen=True)
class EpisodeScore:
    """One drive, dreamed or real."""

    seed: int
    score: float
    """Undiscounted return."""
    length: int
    """Steps."""
    lap_finished: bool
    left_playfield: bool
    """Whether the episode ended otherwise than by a lap or the time limit."""
    progress: float
    """Share of the lap made: tiles touched of the tiles there are, in [0, 1]."""
    lap_units: float
    """Tiles in the lap: the track's, or the dream's mean."""
    curve: tuple[float, ...]
    """Return after 100, 200, ... steps; constant from the end of the episode on."""
    fastest_window: float
    """The most that any 100 steps in a row paid for progress (the frames' cost left out)."""


def score_episode(
    seed: int,
    rewards: Sequence[float] | NDArray[np.floating],
    *,
    progress: float,
    lap_units: float,
    terminated: bool,
    lap_finished: bool,
    max_episode_steps: int,
    frame_cost: float = -0.1,
) -> EpisodeScore:
    """Sum up an episode from its rewards, (length,)."""
    paid = np.asarray(rewards, np.float64)
    total = np.cumsum(paid)
    marks = np.arange(CURVE_STEPS, max_episode_steps + 1, CURVE_STEPS)
    curve = total[np.minimum(marks, len(paid)) - 1]
    gained = np.concatenate([[0.0], np.cumsum(np.maximum(paid - frame_cost, 0.0))])
    window = min(CURVE_STEPS, len(paid))
    return EpisodeScore(
        seed=int(seed),
        score=float(total[-1]),
        length=len(paid),
        lap_finished=bool(lap_finished),
        left_playfield=bool(terminated and not lap_finished),
        progress=float(progress),
        lap_units=float(lap_units),
        curve=tuple(round(float(value), 3) for value in curve),
        fastest_window=float((gained[window:] - gained[:-window]).max()),
    )


def summarize(scores: Sequence[EpisodeScore]) -> dict[str, Any]:
    """Mean, standard deviation over episodes, quartiles and shares, as plain numbers."""
    returns = np.array([score.score for score in scores])
    laps = [score.length for score in scores if score.lap_finished]
    low, median, high = np.percentile(returns, [25, 50, 75])
    return {
        "episodes": len(scores),
        "mean": float(returns.mean()),
        "std": float(returns.std()),
        "standard_error": float(returns.std(ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else None,
        "min": float(returns.min()),
        "lower_quartile": float(low),
        "median": float(median),
        "upper_quartile": float(high),
        "max": float(returns.max()),
        "share_over_900": float((returns > WINNING_SCORE).mean()),
        "share_of_laps": len(laps) / len(scores),
        "share_leaving": float(np.mean([score.left_playfield for score in scores])),
        "mean_lap_steps": float(np.mean(laps)) if laps else None,
        "mean_progress": float(np.mean([score.progress for score in scores])),
        "mean_curve": [round(float(value), 3) for value in np.mean([score.curve for score in scores], axis=0)],
    }
