"""What a round came to: figures, pictures, and a page to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dreamgym.collect.controller_player import ControllerPlayer
from dreamgym.config import PipelineConfig
from dreamgym.controller.linear import LinearController
from dreamgym.data.episodes import Episode
from dreamgym.data.seeds import FIDELITY_SEEDS
from dreamgym.evaluate import evaluate_dream, evaluate_real
from dreamgym.evaluate.scores import EpisodeScore, standard_deviation
from dreamgym.fidelity import verdict
from dreamgym.fidelity.command import predictions
from dreamgym.fidelity.held_out import encode, record_episodes
from dreamgym.fidelity.plots import plot_calibration
from dreamgym.files import read_text, write_text
from dreamgym.pipeline.page import render_page
from dreamgym.pipeline.rounds import Round
from dreamgym.training import save_png
from dreamgym.vision.train import evaluate_vision, reconstruction_sheet
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import find

__all__ = ["DREAM_SEEDS", "MODEL_SEEDS", "measure", "write_page"]

DREAM_SEEDS = FIDELITY_SEEDS[:64]
MODEL_SEEDS = FIDELITY_SEEDS[50:54]
"""Seeds of the real episodes that V's reconstructions and M's calibration are measured on."""
HORIZON = 50
"""Steps of the dreams that M's memory is judged by."""
TEMPERATURES = (0.5, 1.0, 1.5)


def measure(
    config: PipelineConfig,
    this: Round,
    real_seeds: Sequence[int],
    *,
    dream_seeds: Sequence[int],
    model_seeds: Sequence[int],
) -> dict[str, Any]:
    """The round's controller in reality and in the dream.

    And how well V and M see what it does there.

    Writes the page's pictures too.

    Args:
        config: the run's.
        this: the round.
        real_seeds: seeds of the real episodes to play.
        dream_seeds: seeds of the dreams, all from the start, at each of ``TEMPERATURES``.
        model_seeds: seeds of the real episodes that V and M are measured on.
    """
    world, controller = WorldModel.load(this.world), LinearController.load(this.controller)
    real = evaluate_real(
        controller, real_seeds, workers=config.workers, engine=config.engine, world_model=world, world=config.world
    )
    dreamed = {
        str(temperature): evaluate_dream(controller, dream_seeds, world_model=world, temperature=temperature)
        for temperature in TEMPERATURES
    }
    reality, player = find(config.world), partial(ControllerPlayer, this.world, this.controller)
    length = world.max_episode_steps
    episodes = record_episodes(this.held_out, {"controller": player}, model_seeds, length=length, world=reality)
    seen = encode(world, episodes, config.seed)
    found = predictions(world, reality, seen, horizon=HORIZON, seed=config.seed)
    plot_calibration(this.picture("calibration"), found["calibration"])
    promised = dreamed.get(str(world.temperature)) or evaluate_dream(controller, dream_seeds, world_model=world)
    returns = {"real": _mean(real), "dream": _mean(promised)}
    findings = verdict.diagnose({**found, "controller": returns}, fps=world.fps)
    return {
        "round": this.number,
        "real": _figures([score.score for score in real]),
        "dream": {name: _figures([score.score for score in scores]) for name, scores in dreamed.items()},
        "real_scores": [score.score for score in real],
        "validation_runs": validation_runs(this.evolution),
        "frames": world.card["data"]["frames"],
        "world_model_sha256": world.card["sha256"],
        "vision": _reconstruct(this, world, episodes, reality),
        "calibration": found["calibration"],
        "verdict": verdict.to_json(findings),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def validation_runs(evolution: Path) -> list[dict[str, float]]:
    """The validation runs of an evolution: after how many generations, and the mean score."""
    entries = map(json.loads, read_text(evolution / "generations.jsonl").splitlines())
    return [
        {"generations": entry["generation"] + 1, "mean": float(np.mean(entry["validation"]))}
        for entry in entries
        if "validation" in entry
    ]


def write_page(this: Round, reports: Sequence[Mapping[str, Any]]) -> None:
    """Write the round's page.

    Args:
        this: the round.
        reports: of all rounds up to this one.
    """
    strips = sorted(this.memory.parent.glob("dream-*.png"))
    pictures = {
        "reconstructions": this.picture("reconstructions"),
        "dream": strips[-1] if strips else None,
        "calibration": this.picture("calibration"),
    }
    page = render_page(
        reports,
        **{name: path.relative_to(this.run).as_posix() for name, path in pictures.items() if path and path.exists()},
    )
    write_text(this.page, page)


def _reconstruct(this: Round, world: WorldModel, episodes: Sequence[Episode], reality: World) -> dict[str, float]:
    frames = np.concatenate([episode.frames[::8] for episode in episodes])
    cpu = torch.device("cpu")
    figures = evaluate_vision(world.vision, frames, cpu, reality)
    save_png(this.picture("reconstructions"), reconstruction_sheet(world.vision, frames, cpu), scale=2)
    return {name.removeprefix("held_out_"): value for name, value in figures.items()}


def _mean(scores: Sequence[EpisodeScore]) -> float:
    return float(np.mean([score.score for score in scores]))


def _figures(scores: Sequence[float]) -> dict[str, float | None]:
    return {"mean": float(np.mean(scores)), "std": standard_deviation(scores), "best": float(np.max(scores))}
