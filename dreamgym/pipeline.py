"""From nothing to a driver: ``dreamgym train all``.

Every stage has a folder of its own and goes on where it stopped, so the whole does as well: running the same command
again skips what is done. A round evolves C in the dream, drives in reality with it, and shows M what happened:

    episodes/aimless, scripted -> vision -> latents/aimless, scripted -> memory-0 -> world-0 -> evolve-0
    -> episodes/drives-1 -> latents/drives-1 -> memory-1 -> world-1 -> evolve-1 -> ...
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dreamgym.assemble import assemble
from dreamgym.config import (
    CollectConfig,
    EvolveConfig,
    MemoryConfig,
    PipelineConfig,
    VisionConfig,
    claim_folder,
    write_json,
)
from dreamgym.control.evolution import evolve
from dreamgym.control.linear import LinearController
from dreamgym.control.rollouts import RolloutScores, real_scores
from dreamgym.dream_trials import DreamTrials
from dreamgym.evaluate import evaluate_dream, evaluate_real
from dreamgym.memory.train import train_memory
from dreamgym.real.collect import collect
from dreamgym.recording import controller_drivers
from dreamgym.seeds import FIDELITY_SEEDS, VALIDATION_SEEDS
from dreamgym.training import choose_device
from dreamgym.vision.encode import encode_episodes
from dreamgym.vision.train import train_vision
from dreamgym.world_model import WorldModel

__all__ = ["Round", "run", "train_all"]

AIMLESS = "aimless"
ADMISSIBLE_CHANGES = ("rounds", "workers", "stop_at")
"""Fields of the configuration that a run may go on with changed."""


@dataclass(frozen=True)
class Round:
    """Where one round's things are."""

    run: Path
    number: int

    @property
    def memory(self) -> Path:
        """M's folder."""
        return self.run / f"memory-{self.number}"

    @property
    def world(self) -> Path:
        """The bundle."""
        return self.run / f"world-{self.number}"

    @property
    def evolution(self) -> Path:
        """C's folder."""
        return self.run / f"evolve-{self.number}"

    @property
    def controller(self) -> Path:
        """C's file."""
        return self.evolution / "controller.safetensors"

    @property
    def drives(self) -> str:
        """The name of the folders with real drives that M learns from in this round, in addition to earlier ones."""
        return f"drives-{self.number}" if self.number else "scripted"

    @property
    def latents(self) -> tuple[Path, ...]:
        """The folders that M learns from in this round, the latest drives last."""
        rounds = (Round(self.run, number).drives for number in range(self.number + 1))
        return tuple(self.run / "latents" / name for name in (AIMLESS, *rounds))

    @property
    def report(self) -> Path:
        """The round's figures."""
        return self.run / f"round-{self.number}.json"


def train_all(config: PipelineConfig) -> Path:
    """Run, or go on with, the whole procedure.

    Returns:
        The bundle of the round whose controller did best on the validation tracks, with that controller in it.

    Raises:
        OutputFolderError: the output folder holds something else.
    """
    claim_folder(config.out, config, may_differ=ADMISSIBLE_CHANGES)
    collect_aimless(config)
    collect_scripted(config)
    vision = train_vision(vision_config(config))
    reports = []
    for number in range(config.rounds):
        this = Round(config.out, number)
        if not this.report.exists():
            run_round(config, this, vision)
        reports.append(json.loads(this.report.read_text(encoding="utf-8")))
        print(_summary(reports[-1]), flush=True)
        if reports[-1]["real"]["mean"] >= config.stop_at:
            break
    best = max(reports, key=lambda report: report["real"]["mean"])
    final = config.out / "world"
    world = WorldModel.load(Round(config.out, best["round"]).world)
    world.controller = LinearController.load(Round(config.out, best["round"]).controller)
    world.card["scores"] = {"validation": best["real"], "dream": best["dream"]}
    world.save(final)
    return final


def collect_aimless(config: PipelineConfig) -> Path:
    """Record a driver that gives up, in many short episodes: most of what it does is soon seen."""
    return collect(
        CollectConfig(
            out=config.out / "episodes" / AIMLESS,
            frames=config.aimless_frames,
            mix={"aimless_follower": 1.0},
            lengths=(150, 150, 300, 500, 1000),
            workers=config.workers,
            seed=config.seed,
        )
    )


def collect_scripted(config: PipelineConfig) -> Path:
    """Record the scripted drivers' episodes."""
    return collect(
        CollectConfig(
            out=config.out / "episodes" / "scripted",
            frames=config.first_frames,
            workers=config.workers,
            seed=config.seed,
        )
    )


def vision_config(config: PipelineConfig) -> VisionConfig:
    """V's training."""
    return VisionConfig(
        episodes=(config.out / "episodes" / "scripted",),
        out=config.out / "vision",
        steps=config.vision_steps,
        reconstruction_weight=config.reconstruction_weight,
        checkpoint_every=700,
        seed=config.seed,
    )


def collect_drives(config: PipelineConfig, this: Round) -> Path:
    """Record real drives of the controller of the round before: as it is, and disturbed in weights and actions."""
    before = Round(this.run, this.number - 1)
    return collect(
        CollectConfig(
            out=config.out / "episodes" / this.drives,
            frames=config.round_frames,
            mix={"controller": 0.5, "disturbed_controller": 0.3, "jittery_follower": 0.05, "reckless_follower": 0.15},
            workers=config.workers,
            seed=config.seed + this.number,
            lengths=(500, 1000),
            patience=200,
            controller=before.controller,
            world_model=before.world,
        ),
        controller_drivers(before.world, before.controller),
    )


def run_round(config: PipelineConfig, this: Round, vision: Path) -> None:
    """Collect, retrain M, evolve C, and measure; writes the round's report."""
    started = time.monotonic()
    if this.number:
        collect_drives(config, this)
    for folder in this.latents[-1:] if this.number else this.latents:  # the frames of earlier rounds may be gone
        encode_episodes(config.out / "episodes" / folder.name, vision, folder, device=choose_device("auto"))
    memory = train_memory(memory_config(config, this, vision))
    assemble(
        this.world,
        vision=vision,
        memory=memory,
        latents=this.latents,
        temperature=config.temperature,
        latent_noise=config.latent_noise,
        seed=config.seed,
    )
    controller = evolve_round(config, this)
    report = measure(config, this, controller)
    report["seconds"] = time.monotonic() - started
    write_json(this.report, report)


def memory_config(config: PipelineConfig, this: Round, vision: Path) -> MemoryConfig:
    """M's training: from nothing in the first round, later on from the round before, with more of the recent drives."""
    return MemoryConfig(
        latents=this.latents,
        out=this.memory,
        vision=vision,
        steps=config.memory_round_steps if this.number else config.memory_steps,
        checkpoint_every=1000,
        initial=Round(this.run, this.number - 1).memory / "memory.safetensors" if this.number else None,
        learning_rate=1e-3 if this.number else 2e-3,
        recent_share=0.4 if this.number else 0.0,
        recent_folders=max(1, min(this.number, 3)),
        latent_noise=config.latent_noise,
        input_noise=config.input_noise,
        seed=config.seed + this.number,
    )


def evolve_round(config: PipelineConfig, this: Round) -> LinearController:
    """Evolve C in this round's dream, from the controller of the round before."""
    settings = EvolveConfig(
        out=this.evolution,
        world_model=this.world,
        generations=config.generations,
        population=config.population,
        rollouts=config.rollouts,
        hard_rollouts=config.hard_rollouts,
        sigma=0.05 if this.number and not config.from_zero else 0.1,
        initial=Round(this.run, this.number - 1).controller if this.number and not config.from_zero else None,
        smoothness=config.smoothness,
        effort=config.effort,
        subspace=config.subspace,
        pace_limit=config.pace_limit,
        validate_every=config.validate_every,
        line_share=config.line_share,
        temperature=(config.temperature, config.temperature),
        precision="bfloat16",
        seed=config.seed + this.number,
        workers=config.workers,
    )

    def validate(controller: LinearController) -> RolloutScores:
        return real_scores(controller, VALIDATION_SEEDS, workers=config.workers, world_model=this.world)

    with DreamTrials(settings, choose_device("auto")) as trials:
        return evolve(settings, trials, subspace=trials.subspace, validate=validate)


def measure(config: PipelineConfig, this: Round, controller: LinearController) -> dict[str, Any]:
    """The controller on the real validation tracks, and in the dream at several temperatures."""
    world = WorldModel.load(this.world)
    real = evaluate_real(controller, VALIDATION_SEEDS, workers=config.workers, world_model=this.world)
    dreams = {}
    for temperature in (0.5, 1.0, 1.5):
        scores = evaluate_dream(controller, FIDELITY_SEEDS[:64], world_model=world, temperature=temperature)
        dreams[str(temperature)] = _figures([score.score for score in scores])
    figures = _figures([score.score for score in real])
    return {"round": this.number, "real": figures, "dream": dreams, "real_scores": [score.score for score in real]}


def _figures(scores: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(scores)), "std": float(np.std(scores)), "best": float(np.max(scores))}


def _summary(report: dict[str, Any]) -> str:
    dream = ", ".join(f"{figures['mean']:.0f} at tau {tau}" for tau, figures in report["dream"].items())
    real = report["real"]
    figures = f"{real['mean']:.0f} +- {real['std']:.0f} (best {real['best']:.0f})"
    return f"round {report['round']}: real {figures}; dream {dream}"


def run(config: PipelineConfig) -> None:
    """The command ``dreamgym train all``."""
    print(f"world model and driver: {train_all(config)}")
