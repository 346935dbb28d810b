"""The fixed policies' returns in reality and in the dream, and how well they agree."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym.config import whole_lines
from dreamgym.errors import EpisodeFileError, OutputFolderError
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.policies import Policy
from dreamgym.evaluate.real import drive_tracks
from dreamgym.evaluate.scores import EpisodeScore, summarize
from dreamgym.world_model import WorldModel

__all__ = ["Scores", "agreement", "dream_returns", "overpaid", "real_returns", "spearman"]

Scores = Mapping[str, list[EpisodeScore]]
"""Episodes by policy."""
CLEARLY_DRIVING = 500.0


def real_returns(
    policies: Mapping[str, Policy],
    seeds: Sequence[int],
    world: WorldModel,
    log: Path,
    *,
    workers: int,
    max_episode_steps: int = 1000,
) -> Scores:
    """Drive every real track with every policy, but for the drives that are in the log already.

    Args:
        policies: by name.
        seeds: of the tracks.
        world: V and M, which the policies see through.
        log: a JSONL file, a line a drive, that a drive is appended to when it ends.
        workers: processes driving at once.
        max_episode_steps: the time limit.

    Returns:
        For each policy a score for each seed, in their order.

    Raises:
        OutputFolderError: the log's drives saw through another world model.
        WorkerError: a driving process died; what was driven is in the log.
    """
    names = list(policies)
    known = _read(log, digest(world))
    tasks = [(names.index(name), seed) for name in names for seed in seeds if (name, seed) not in known]
    if tasks:
        with open(log, "a", encoding="utf-8") as file:

            def keep(task: tuple[int, int], score: EpisodeScore) -> None:
                name = names[task[0]]
                known[name, score.seed] = score
                entry = {"world_model": digest(world), "policy": name, **dataclasses.asdict(score)}
                file.write(json.dumps(entry) + "\n")
                file.flush()

            drive_tracks(
                list(policies.values()),
                tasks,
                workers=workers,
                world_model=world,
                max_episode_steps=max_episode_steps,
                on_episode=keep,
            )
    return {name: [known[name, seed] for seed in seeds] for name in names}


def digest(world: WorldModel) -> str:
    """Which world model this is: a hash of its files' hashes, or of M's weights where it was never saved."""
    hashes = world.card.get("sha256")
    if hashes is None:
        weights = [value.numpy().tobytes() for value in world.memory.state_dict().values()]
        return hashlib.sha256(b"".join(weights)).hexdigest()
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _read(log: Path, wanted: str) -> dict[tuple[str, int], EpisodeScore]:
    found = {}
    for line in whole_lines(log):  # a line that a kill cut off is driven again
        try:
            entry = json.loads(line)
            world, name = entry.pop("world_model"), entry.pop("policy")
            score = EpisodeScore(**{**entry, "curve": tuple(entry["curve"])})
        except (ValueError, KeyError, TypeError) as error:
            raise EpisodeFileError(f"{log} is damaged ({error}); delete it to have its drives driven again") from error
        if world != wanted:
            raise OutputFolderError(f"{log} holds drives through another world model; choose another output folder")
        found[name, score.seed] = score
    return found


def dream_returns(
    policies: Mapping[str, Policy],
    seeds: Sequence[int],
    world: WorldModel,
    temperature: float,
    *,
    max_episode_steps: int = 1000,
) -> Scores:
    """Every policy in the dream at a temperature, on the same seeds."""
    bar = tqdm(policies.items(), desc=f"dream at {temperature:g}", unit="policy", mininterval=2)
    return {
        name: evaluate_dream(
            policy, seeds, world_model=world, temperature=temperature, max_episode_steps=max_episode_steps
        )
        for name, policy in bar
    }


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse], np.float64)


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0  # nothing varies, so nothing is told
    return float(np.corrcoef(first, second)[0, 1])


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, in [-1, 1]; 0 where one of the two does not vary."""
    return _correlation(_ranks(np.asarray(first, np.float64)), _ranks(np.asarray(second, np.float64)))


def _mean(scores: Sequence[EpisodeScore]) -> float:
    return float(np.mean([score.score for score in scores]))


def agreement(real: Scores, dream: Scores) -> dict[str, float]:
    """How well the dream's mean returns tell reality's, over policies.

    Returns:
        ``spearman``, ``pearson``, ``bias`` (dream less reality, mean over policies), ``mean_absolute_difference``, and
        the number of policies and of those above 500 in reality.
    """
    names = list(real)
    ours = np.array([_mean(real[name]) for name in names])
    theirs = np.array([_mean(dream[name]) for name in names])
    return {
        "spearman": spearman(ours.tolist(), theirs.tolist()),
        "pearson": _correlation(ours, theirs),
        "bias": float((theirs - ours).mean()),
        "mean_absolute_difference": float(np.abs(theirs - ours).mean()),
        "policies": len(names),
        "policies_above_500": int((ours > CLEARLY_DRIVING).sum()),
    }


def overpaid(real: Scores, dream: Scores) -> list[dict[str, Any]]:
    """Whether policies that reality pays nothing get more in the dream: at most the real mean plus two standard errors.

    Returns:
        One entry a policy: name, summaries of both, standard error of the difference of their means, and whether it
        passes.
    """
    table = []
    for name in real:
        ours, theirs = summarize(real[name]), summarize(dream[name])
        error = float(np.hypot(ours["standard_error"], theirs["standard_error"]))
        passes = theirs["mean"] <= ours["mean"] + 2 * error
        table.append({"policy": name, "real": ours, "dream": theirs, "standard_error": error, "passes": passes})
    return table
