"""From nothing to a driver: ``dreamgym train all``.

Every stage has a folder of its own and goes on where it stopped, so the whole does as well: running the same command
again skips what is done. A round evolves C in the dream, drives in reality with it, and shows M what happened there:

    episodes/scripted -> vision
    episodes/aimless, scripted -> latents/aimless, scripted -> memory-0 -> world-0 -> evolve-0
    -> episodes/drives-1 -> latents/drives-1 -> memory-1 -> world-1 -> evolve-1 -> ...
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamgym.config import PipelineConfig, claim_folder, write_json
from dreamgym.control.linear import LinearController
from dreamgym.dream.core import compiled_tile
from dreamgym.fidelity.plots import require_matplotlib
from dreamgym.pipeline.report import DREAMS, DRIVES, measure, write_page
from dreamgym.pipeline.rounds import Round
from dreamgym.pipeline.stages import check, evolve_controller, learn_worlds
from dreamgym.seeds import VALIDATION_SEEDS
from dreamgym.training import choose_device
from dreamgym.world_model import WorldModel

__all__ = ["run", "train_all"]

TRACKS = VALIDATION_SEEDS[:16]
"""Real tracks that every round is measured on."""
ADMISSIBLE_CHANGES = ("rounds", "workers", "stop_at")
"""Fields of the configuration that a run may go on with changed."""


def train_all(config: PipelineConfig) -> Path:
    """Run, or go on with, the whole procedure.

    A finished round is its configuration, its controller (``evolve-N/controller.safetensors``) and its scores
    (``round-N.json``). From these alone the next one can be begun: what it needs of the earlier rounds' recordings, V
    and M is made again from the same seeds.

    Returns:
        The bundle of the round whose controller did best on the validation tracks, with that controller in it.

    Raises:
        ConfigError: a setting out of range, or ``config.fast`` where there is a GPU.
        InstallationError: matplotlib is missing, for the pages, or numba with ``config.fast``.
        OutputFolderError: the output folder holds something else.
    """
    check(config)
    require_matplotlib()
    if config.fast:
        compiled_tile(choose_device("auto"))
    claim_folder(config.out, config, may_differ=ADMISSIBLE_CHANGES)
    reports: list[dict[str, Any]] = []
    for number in range(config.rounds):
        this = Round(config.out, number)
        if not this.report.exists():
            run_round(config, this)
        reports.append(this.read_report())
        if not this.page.exists():
            write_page(this, reports)
        print(_summary(reports, config), flush=True)
        if reports[-1]["real"]["mean"] >= config.stop_at:
            break
    # Of all of them: who runs it again with fewer rounds has asked for no worse a driver.
    every = [this.read_report() for this in Round.finished(config.out)]
    return _keep(config, max(every, key=lambda report: report["real"]["mean"]))


def run_round(config: PipelineConfig, this: Round) -> None:
    """Collect, retrain M, evolve C, and measure; writes the round's report."""
    started = time.monotonic()
    this.page.unlink(missing_ok=True)
    learn_worlds(config, this)
    evolve_controller(config, this, TRACKS)
    report = measure(config, this, TRACKS, dreams=DREAMS, drives=DRIVES)
    write_json(this.report, {**report, "seconds": time.monotonic() - started})


def _keep(config: PipelineConfig, best: Mapping[str, Any]) -> Path:
    this, final = Round(config.out, best["round"]), config.out / "world"
    if not this.world.exists():
        learn_worlds(config, this)
    world = WorldModel.load(this.world)
    world.controller = LinearController.load(this.controller)
    world.card["scores"] = {"validation": best["real"], "dream": best["dream"]}
    world.save(final)
    return final


def _summary(reports: Sequence[Mapping[str, Any]], config: PipelineConfig) -> str:
    report = reports[-1]
    dream = ", ".join(f"{figures['mean']:.0f} at tau {tau}" for tau, figures in report["dream"].items())
    real = report["real"]
    figures = f"{real['mean']:.0f} +- {real['std']:.0f} (best {real['best']:.0f})"
    minutes = sum(entry["seconds"] for entry in reports) / 60
    left = (config.rounds - len(reports)) * reports[-1]["seconds"] / 60
    clock = f"{minutes:.0f} min so far" + (f", {left:.0f} or less to go" if left else "")
    return f"round {report['round']}: real {figures}; dream {dream}; {clock}"


def run(config: PipelineConfig) -> None:
    """The command ``dreamgym train all``."""
    print(f"world model and driver: {train_all(config)}")
