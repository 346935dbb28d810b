"""What is kept of an episode, and of many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CURVE_STEPS",
    "EpisodeScore",
    "decimals",
    "mean_and_spread",
    "rounded",
    "score_episode",
    "score_from_json",
    "standard_deviation",
    "summarize",
]

CURVE_STEPS: Final = 100
"""Steps between the points of an episode's curve."""


@dataclass(frozen=True)
class EpisodeScore:
    """One episode, dreamed or real."""

    seed: int
    score: float
    """Undiscounted return."""
    length: int
    """Steps."""
    complete: bool
    """Whether it ended by being completed, as a track is by a lap."""
    failed: bool
    """Whether it ended otherwise than by being completed or at the time limit."""
    progress: float
    """Share made of what completes an episode, in [0, 1]; 0 in worlds without progress."""
    units: float
    """Units in a progress of 1, such as the tiles of the track; in dreams the mean over the training data."""
    curve: tuple[float, ...]
    """Return after 100, 200, ... steps; constant from the end of the episode on."""
    fastest_window: float
    """The most that any 100 steps in a row paid for progress (what every step pays left out)."""


def score_from_json(entry: Mapping[str, Any]) -> EpisodeScore:
    """An episode's score from its entries in a file.

    Raises:
        KeyError: one is missing.
        TypeError: one is no number, or there are others.
    """
    score = EpisodeScore(**{**entry, "curve": tuple(entry["curve"])})
    if not all(isinstance(value, float | int) for value in (*score.curve, *{**vars(score), "curve": 0}.values())):
        raise TypeError(f"expected numbers, got {entry}")
    return score


def score_episode(
    seed: int,
    rewards: Sequence[float] | NDArray[np.floating],
    *,
    progress: float,
    units: float,
    terminated: bool,
    complete: bool,
    max_episode_steps: int,
    constant: float,
) -> EpisodeScore:
    """Sum up an episode from its rewards.

    Args:
        seed: of the episode.
        rewards: of its steps, (T,).
        progress: share made of what completes an episode.
        units: in a progress of 1.
        terminated: whether the world ended it.
        complete: whether it was completed.
        max_episode_steps: the time limit.
        constant: what every step pays.
    """
    paid = np.asarray(rewards, np.float64)
    total = np.cumsum(paid)
    marks = np.arange(CURVE_STEPS, max_episode_steps + 1, CURVE_STEPS)
    curve = total[np.minimum(marks, len(paid)) - 1]
    gained = np.concatenate([[0.0], np.cumsum(np.maximum(paid - constant, 0.0))])
    window = min(CURVE_STEPS, len(paid))
    return EpisodeScore(
        seed=int(seed),
        score=float(total[-1]),
        length=len(paid),
        complete=bool(complete),
        failed=bool(terminated and not complete),
        progress=float(progress),
        units=float(units),
        curve=tuple(round(float(value), 3) for value in curve),
        fastest_window=float((gained[window:] - gained[:-window]).max()),
    )


def standard_deviation(values: Sequence[float] | NDArray[np.floating]) -> float | None:
    """Estimated standard deviation, with n - 1; None for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def decimals(*values: float) -> int:
    """Decimals that show values of this size.

    None from 10 on, else two significant digits of the largest.
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 0 if largest >= 10.0 or largest == 0.0 else min(1 - math.floor(math.log10(largest)), 6)


def rounded(value: float, sign: str = "") -> str:
    """One value with its :func:`decimals`; with the sign "+", positive ones have theirs."""
    return f"{value:{sign}.{decimals(value)}f}"


def mean_and_spread(figures: Mapping[str, Any], least: int = 0) -> str:
    """Mean and standard deviation of a summary, as text.

    ``909 ± 5``, ``0.42 ± 0.10``, or ``909`` where there is no deviation.

    Args:
        figures: of :func:`summarize`.
        least: decimals at least; more where :func:`decimals` has more.
    """
    digits = max(least, decimals(figures["mean"], figures["std"] or 0.0))
    mean = f"{figures['mean']:.{digits}f}"
    return mean if figures["std"] is None else f"{mean} ± {figures['std']:.{digits}f}"


def summarize(scores: Sequence[EpisodeScore], solved: float | None = None) -> dict[str, Any]:
    """Mean, standard deviation over episodes (None for one episode), quartiles and shares, as plain numbers.

    Args:
        scores: of the episodes.
        solved: the return above which an episode counts as solved; None for no such share.
    """
    returns = np.array([score.score for score in scores])
    spread = standard_deviation(returns)
    complete = [score.length for score in scores if score.complete]
    low, median, high = np.percentile(returns, [25, 50, 75])
    return {
        "episodes": len(scores),
        "mean": float(returns.mean()),
        "std": spread,
        "standard_error": None if spread is None else spread / float(np.sqrt(len(returns))),
        "min": float(returns.min()),
        "lower_quartile": float(low),
        "median": float(median),
        "upper_quartile": float(high),
        "max": float(returns.max()),
        "share_solved": None if solved is None else float((returns > solved).mean()),
        "share_complete": len(complete) / len(scores),
        "share_failed": float(np.mean([score.failed for score in scores])),
        "mean_complete_steps": float(np.mean(complete)) if complete else None,
        "mean_progress": float(np.mean([score.progress for score in scores])),
        "mean_curve": [round(float(value), 3) for value in np.mean([score.curve for score in scores], axis=0)],
    }
