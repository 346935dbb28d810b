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

from dreamgym.config import PipelineConfig, write_text
from dreamgym.control.linear import LinearController
from dreamgym.controller_driver import ControllerDriver
from dreamgym.episodes import Episode
from dreamgym.evaluate import evaluate_dream, evaluate_real
from dreamgym.fidelity.calibration import calibration, forecast
from dreamgym.fidelity.drives import encode, record_drives
from dreamgym.fidelity.plots import plot_calibration
from dreamgym.pipeline.page import render_page
from dreamgym.pipeline.rounds import Round
from dreamgym.seeds import FIDELITY_SEEDS
from dreamgym.training import save_png
from dreamgym.vision.train import evaluate_vision, reconstruction_sheet
from dreamgym.world_model import WorldModel

__all__ = ["DREAMS", "DRIVES", "measure", "write_page"]

DREAMS = FIDELITY_SEEDS[:64]
DRIVES = FIDELITY_SEEDS[50:54]
"""Tracks of the real drives that V's reconstructions and M's calibration are measured on."""
TEMPERATURES = (0.5, 1.0, 1.5)


def measure(
    config: PipelineConfig, this: Round, tracks: Sequence[int], *, dreams: Sequence[int], drives: Sequence[int]
) -> dict[str, Any]:
    """The round's controller in reality and in the dream, and how well V and M see the way it drives there.

    Writes the page's pictures too.

    Args:
        config: the run's.
        this: the round.
        tracks: real tracks to drive.
        dreams: seeds of the dreams, all from the line, at each of ``TEMPERATURES``.
        drives: real tracks of the drives that V and M are measured on.
    """
    world, controller = WorldModel.load(this.world), LinearController.load(this.controller)
    real = evaluate_real(controller, tracks, workers=config.workers, world_model=this.world)
    dreamed = {
        str(temperature): evaluate_dream(controller, dreams, world_model=world, temperature=temperature)
        for temperature in TEMPERATURES
    }
    driver = partial(ControllerDriver, this.world, this.controller)
    episodes = record_drives(this.held_out, {"controller": driver}, drives)
    forecasts = calibration(forecast(world, encode(world, episodes, config.seed)))
    plot_calibration(this.picture("calibration"), forecasts)
    return {
        "round": this.number,
        "real": _figures([score.score for score in real]),
        "dream": {name: _figures([score.score for score in scores]) for name, scores in dreamed.items()},
        "real_scores": [score.score for score in real],
        "looks": looks(this.evolution),
        "frames": world.card["data"]["frames"],
        "vision": _reconstruct(this, world, episodes),
        "calibration": forecasts,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def looks(evolution: Path) -> list[dict[str, float]]:
    """The looks at the validation tracks that an evolution took: after how many generations, and the mean score."""
    entries = map(json.loads, (evolution / "generations.jsonl").read_text(encoding="utf-8").splitlines())
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


def _reconstruct(this: Round, world: WorldModel, episodes: Sequence[Episode]) -> dict[str, float]:
    frames = np.concatenate([episode.frames[::8] for episode in episodes])
    cpu = torch.device("cpu")
    error, divergence = evaluate_vision(world.vision, frames, cpu)
    save_png(this.picture("reconstructions"), reconstruction_sheet(world.vision, frames, cpu), scale=2)
    return {"squared_error": error, "kl": divergence}


def _figures(scores: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(scores)), "std": float(np.std(scores)), "best": float(np.max(scores))}
