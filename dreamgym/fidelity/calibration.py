"""Whether M's probabilities are what happens: reward, termination, and the quantiles of the latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.fidelity.held_out import SeenEpisode
from dreamgym.memory.mixture import mixture_cdf, mixture_log_likelihood
from dreamgym.memory.sequences import known_progress
from dreamgym.world_model import WorldModel

__all__ = ["Forecasts", "calibration", "familiarity", "forecast"]

FEWEST_WINDOWS = 10
QUANTILE_BINS = 20
PROGRESS_BINS = 10
TERMINATION_EDGES = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0)


class Forecasts(NamedTuple):
    """M's predictions one step ahead, teacher-forced on real episodes, and what happened; N steps."""

    progress: NDArray[np.float64]
    """Expected units of progress, (N,)."""
    made: NDArray[np.float64]
    """What the reward head should have predicted, (N,); NaN where that is not known (see
    :func:`~dreamgym.memory.sequences.known_progress`), and everywhere without such a head."""
    termination: NDArray[np.float64]
    """Probability that the step ends the episode otherwise than by completing it, (N,)."""
    ended: NDArray[np.float64]
    """1 where it did, (N,)."""
    quantiles: NDArray[np.float64]
    """Which quantile of M's prediction each next latent was, (N, Z)."""
    log_likelihood: NDArray[np.float64]
    """Of each next latent, nats, (N, Z)."""
    first: NDArray[np.float64]
    """1 where an episode begins, (N,)."""


@torch.no_grad()
def forecast(world_model: WorldModel, seen: Sequence[SeenEpisode], temperature: float = 1.0) -> Forecasts:
    """Run M along real episodes, and predict each step.

    From what was seen before it.
    """
    columns: list[tuple[Tensor, ...]] = []
    for each in seen:
        hidden, _ = world_model.memory(each.z[None, :-1], each.actions[None])
        prediction = world_model.memory.predict(hidden[0])
        following = each.z[1:]
        episode = each.episode
        made = torch.from_numpy(known_progress(each.progress, episode.total_units, each.rule, failed=episode.failed))
        columns.append(
            (
                prediction.reward,
                made if world_model.memory.reward_head is not None else torch.full_like(made, torch.nan),
                torch.sigmoid(prediction.termination_logit),
                each.failed,
                mixture_cdf(prediction.mixture, following, temperature),
                mixture_log_likelihood(prediction.mixture, following),
                torch.arange(len(made)) == 0,
            )
        )
    return Forecasts(*(torch.cat(column).double().numpy() for column in zip(*columns, strict=True)))


def familiarity(world_model: WorldModel, seen: Sequence[SeenEpisode]) -> dict[str, float]:
    """How likely M finds each player's episodes.

    Mean log likelihood of a latent, nats, by player.
    """
    players = dict.fromkeys(each.episode.player for each in seen)
    return {
        name: float(forecast(world_model, [each for each in seen if each.episode.player == name]).log_likelihood.mean())
        for name in players
    }


def calibration(forecasts: Forecasts, window: int) -> dict[str, Any]:
    """Predicted against actual, in bins, and one figure for each of the three.

    ``progress`` is None where no reward is predicted.

    Args:
        forecasts: of real episodes.
        window: steps of a second, over which rewards are summed up: which step pays is noise, how much a second pays is
            not.
    """
    return {
        "steps": len(forecasts.made),
        "progress": _progress(forecasts, window),
        "termination": _termination(forecasts),
        "latents": _latents(forecasts),
    }


def _progress(forecasts: Forecasts, window: int) -> dict[str, Any] | None:
    known = np.isfinite(forecasts.made)
    if not known.any():
        return None
    all_made, expected = forecasts.made[known], forecasts.progress[known]
    order = np.argsort(expected, kind="stable")
    bins = []
    for part in np.array_split(order, PROGRESS_BINS):
        if len(part):
            made = all_made[part]
            bins.append(
                {
                    "predicted": float(expected[part].mean()),
                    "actual": float(made.mean()),
                    "standard_error": float(made.std() / np.sqrt(len(part))),
                    "steps": len(part),
                }
            )
    total, size = float(all_made.sum()), float(np.abs(all_made).sum())
    return {
        "bins": bins,
        "predicted_total": float(expected.sum()),
        "actual_total": total,
        "ratio": float(expected.sum()) / total if total else None,
        "error_of_total": abs(float(expected.sum()) - total) / size if size else None,
        "mean_bin_error": float(np.mean([abs(entry["predicted"] - entry["actual"]) for entry in bins])),
        "window": window,
        "explained": _explained(forecasts, window),
    }


def _explained(forecasts: Forecasts, window: int) -> float | None:
    """Share of the variance between windows, each of one episode, that is foreseen; None for too few windows."""
    begins = np.flatnonzero(forecasts.first)
    lengths = np.diff(np.append(begins, len(forecasts.first)))
    whole = [begin + np.arange(length // window * window) for begin, length in zip(begins, lengths, strict=True)]
    steps = np.concatenate(whole).reshape(-1, window)
    sums = [values[steps].sum(axis=1) for values in (forecasts.progress, forecasts.made)]
    foreseen, happened = (values[np.isfinite(sums[1])] for values in sums)
    if len(happened) < FEWEST_WINDOWS or np.ptp(happened) == 0:
        return None
    return float(1.0 - np.mean((foreseen - happened) ** 2) / happened.var())


def _termination(forecasts: Forecasts) -> dict[str, Any]:
    edges, predicted, ended = np.array(TERMINATION_EDGES), forecasts.termination, forecasts.ended
    which = np.clip(np.digitize(predicted, edges) - 1, 0, len(edges) - 2)
    bins = []
    for index in range(len(edges) - 1):
        part = which == index
        if part.any():
            bins.append(
                {
                    "from": float(edges[index]),
                    "to": float(edges[index + 1]),
                    "predicted": float(predicted[part].mean()),
                    "actual": float(ended[part].mean()),
                    "steps": int(part.sum()),
                }
            )
    safe = np.clip(predicted, 1e-7, 1.0 - 1e-7)
    return {
        "bins": bins,
        "expected_terminations": float(predicted.sum()),
        "actual_terminations": int(ended.sum()),
        "log_loss": float(-np.mean(ended * np.log(safe) + (1 - ended) * np.log(1 - safe))),
        "log_loss_of_the_rate": _entropy(float(ended.mean())),
    }


def _entropy(rate: float) -> float:
    """Log loss of always saying the base rate, nats."""
    return float(sum(-share * np.log(share) for share in (rate, 1.0 - rate) if 0 < share < 1))


def _latents(forecasts: Forecasts) -> dict[str, Any]:
    quantiles = forecasts.quantiles
    histogram, edges = np.histogram(quantiles, bins=QUANTILE_BINS, range=(0.0, 1.0))
    shares = histogram / quantiles.size
    gap = np.abs(np.cumsum(shares) - edges[1:]).max()
    each = [np.histogram(column, bins=QUANTILE_BINS, range=(0.0, 1.0))[0] / len(column) for column in quantiles.T]
    gaps = [float(np.abs(np.cumsum(column) - edges[1:]).max()) for column in each]
    return {
        "histogram": shares.tolist(),
        "largest_gap": float(gap),
        "largest_gap_of_a_latent": max(gaps),
        "below_5_percent": float((quantiles < 0.05).mean()),
        "above_95_percent": float((quantiles > 0.95).mean()),
        "log_likelihood": float(forecasts.log_likelihood.mean()),
    }
