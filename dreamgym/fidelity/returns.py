"""The fixed policies' returns in reality and in the dream, and how well they agree."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dreamgym.errors import OutputFolderError
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.episode import RealSettings
from dreamgym.evaluate.policies import Policy
from dreamgym.evaluate.real import play_episodes
from dreamgym.evaluate.scores import EpisodeScore, score_from_json, summarize
from dreamgym.files import append_line, read_log
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World

__all__ = ["Scores", "agreement", "dream_returns", "overpaid", "real_returns"]

Scores = Mapping[str, list[EpisodeScore]]
"""Episodes by policy."""


def real_returns(
    policies: Mapping[str, Policy],
    seeds: Sequence[int],
    world_model: WorldModel,
    log: Path,
    *,
    workers: int | None,
    engine: str = "local",
    world: World,
    max_episode_steps: int,
) -> Scores:
    """Play every real seed with every policy, unless the log has it.

    Args:
        policies: by name.
        seeds: of the environment.
        world_model: V and M, which the policies see through.
        log: a JSONL file, a line an episode, appended to when one ends.
        workers: processes playing at once.
        engine: where they run.
        world: the description of the real environment.
        max_episode_steps: the time limit.

    Returns:
        For each policy a score for each seed, in their order.

    Raises:
        OutputFolderError: the log's episodes saw through another world model.
        WorkerError: a playing process died; what was played is in the log.
    """
    names = list(policies)
    known = _read(log, digest(world_model))
    tasks = [(names.index(name), seed) for name in names for seed in seeds if (name, seed) not in known]
    if tasks:

        def keep(task: tuple[int, int], score: EpisodeScore) -> None:
            name = names[task[0]]
            known[name, score.seed] = score
            entry = {"world_model": digest(world_model), "policy": name, **dataclasses.asdict(score)}
            append_line(log, json.dumps(entry))

        play_episodes(
            list(policies.values()),
            tasks,
            workers=workers,
            engine=engine,
            world_model=world_model,
            world=world,
            settings=RealSettings(max_episode_steps=max_episode_steps),
            on_episode=keep,
        )
    return {name: [known[name, seed] for seed in seeds] for name in names}


def digest(world_model: WorldModel) -> str:
    """Which world model this is, as a hash.

    Of its files' hashes, or of M's weights where it was never saved.
    """
    hashes = world_model.card.get("sha256")
    if hashes is None:
        weights = [value.numpy().tobytes() for value in world_model.memory.state_dict().values()]
        return hashlib.sha256(b"".join(weights)).hexdigest()
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _read(log: Path, wanted: str) -> dict[tuple[str, int], EpisodeScore]:
    def parse(entry: dict[str, Any], _: int) -> tuple[str, EpisodeScore]:
        world, name = (entry.pop(key) for key in ("world_model", "policy"))
        score = score_from_json(entry)
        if not isinstance(name, str):
            raise TypeError(f"expected a policy's name, got {name}")
        if world != wanted:
            raise OutputFolderError(f"{log} holds episodes through another world model; choose another output folder")
        return name, score

    # A line that a kill cut off is played again.
    found = read_log(log, parse, "move it elsewhere to have its episodes played again")
    return {(name, score.seed): score for name, score in found}


def dream_returns(
    policies: Mapping[str, Policy],
    seeds: Sequence[int],
    world_model: WorldModel,
    temperature: float,
    *,
    max_episode_steps: int,
) -> Scores:
    """Every policy in the dream at a temperature, on the same seeds."""
    bar = tqdm(policies.items(), desc=f"dream at {temperature:g}", unit="policy", mininterval=2)
    return {
        name: evaluate_dream(
            policy, seeds, world_model=world_model, temperature=temperature, max_episode_steps=max_episode_steps
        )
        for name, policy in bar
    }


def _mean(scores: Sequence[EpisodeScore]) -> float:
    return float(np.mean([score.score for score in scores]))


def agreement(real: Scores, dream: Scores) -> dict[str, float]:
    """How well the dream's mean returns tell reality's, over policies.

    Returns:
        ``spearman``, ``pearson``, ``bias`` (dream less reality, mean over policies), ``mean_absolute_difference``, the
        number of policies, and of those in the upper half of the range of real means.
    """
    from scipy.stats import pearsonr, spearmanr

    names = list(real)
    ours = np.array([_mean(real[name]) for name in names])
    theirs = np.array([_mean(dream[name]) for name in names])
    varied = bool(np.ptp(ours) and np.ptp(theirs))  # where nothing varies, nothing is told
    return {
        "spearman": float(spearmanr(ours, theirs).statistic) if varied else 0.0,
        "pearson": float(pearsonr(ours, theirs).statistic) if varied else 0.0,
        "bias": float((theirs - ours).mean()),
        "mean_absolute_difference": float(np.abs(theirs - ours).mean()),
        "policies": len(names),
        "policies_in_upper_half": int((ours > (ours.min() + ours.max()) / 2.0).sum()),
    }


def overpaid(real: Scores, dream: Scores) -> list[dict[str, Any]]:
    """Whether policies that should score badly get more in the dream.

    More than in reality, that is.

    They may get the real mean plus two standard errors.

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
