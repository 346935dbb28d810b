"""From nothing to a controller: ``dreamgym train all``.

Every stage has a folder of its own and goes on where it stopped, so the whole does as well: running the same command
again skips what is done. A round evolves C in the dream, plays in reality with it, and shows M what happened there. For
CarRacing:

    episodes/scripted -> vision
    episodes/aimless, scripted -> latents/aimless, scripted -> memory-0 -> world-0 -> evolve-0
    -> episodes/episodes-1 -> latents/episodes-1 -> memory-1 -> world-1 -> evolve-1 -> ...
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamgym.config import PipelineConfig
from dreamgym.controller.linear import LinearController
from dreamgym.data.seeds import VALIDATION_SEEDS
from dreamgym.dream.core import compiled_tile
from dreamgym.errors import BundleError
from dreamgym.evaluate.scores import mean_and_spread, rounded
from dreamgym.fidelity import verdict
from dreamgym.fidelity.plots import require_matplotlib
from dreamgym.files import claim_folder, write_json
from dreamgym.pipeline.report import DREAM_SEEDS, MODEL_SEEDS, measure, write_page
from dreamgym.pipeline.rounds import Round
from dreamgym.pipeline.stages import check, evolve_controller, learn_worlds
from dreamgym.training import choose_device
from dreamgym.world_model import WorldModel

__all__ = ["run", "train_all"]

ADMISSIBLE_CHANGES = ("rounds", "workers", "engine", "stop_at", "evolve_round_generations")
"""Fields of the configuration that a run may go on with changed."""


def train_all(config: PipelineConfig) -> Path:
    """Run, or go on with, the whole procedure.

    A finished round is its configuration, its controller (``evolve-N/controller.safetensors``) and its scores
    (``round-N.json``). From these alone the next one can be begun: what it needs of the earlier rounds' recordings, V
    and M is made again from the same seeds.

    Returns:
        The bundle of the round whose controller did best in the validation episodes, with that controller in it.

    Raises:
        ConfigError: a setting out of range, or ``config.evolve.fast`` where there is a GPU.
        InstallationError: matplotlib is missing, for the pages, or numba with ``config.evolve.fast``.
        OutputFolderError: the output folder holds something else.
    """
    check(config)
    require_matplotlib()
    if config.evolve.fast:
        compiled_tile(choose_device("auto"))
    with claim_folder(config.out, config, may_differ=ADMISSIBLE_CHANGES):
        return _train_all(config)


def _train_all(config: PipelineConfig) -> Path:
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
    # Of all of them: who runs it again with fewer rounds has asked for no worse a controller.
    every = [this.read_report() for this in Round.finished(config.out)]
    best = max(every, key=lambda report: report["real"]["mean"])
    if "verdict" in best:  # reports of earlier versions have none
        print(verdict.render(verdict.from_json(best["verdict"])), flush=True)
    return _keep(config, best)


def run_round(config: PipelineConfig, this: Round) -> None:
    """Collect, retrain M, evolve C, and measure; writes the round's report."""
    started = time.monotonic()
    this.page.unlink(missing_ok=True)
    learn_worlds(config, this)
    real_seeds = VALIDATION_SEEDS[: config.evolve.validation_episodes]
    evolve_controller(config, this, real_seeds)
    report = measure(config, this, real_seeds, dream_seeds=DREAM_SEEDS, model_seeds=MODEL_SEEDS)
    write_json(this.report, {**report, "seconds": time.monotonic() - started})


def _keep(config: PipelineConfig, best: Mapping[str, Any]) -> Path:
    this, final = Round(config.out, best["round"]), config.out / "world"
    if not this.world.exists():
        if _is_of(final, best):
            return final
        learn_worlds(config, this)
    world = WorldModel.load(this.world)
    world.controller = LinearController.load(this.controller)
    world.card["scores"] = {"validation": best["real"], "dream": best["dream"]}
    world.save(final)
    return final


def _is_of(bundle: Path, report: Mapping[str, Any]) -> bool:
    """Whether a bundle holds a round's world model and scores."""
    try:
        card = WorldModel.load(bundle).card
    except BundleError:  # none, or a damaged one, which is made anew
        return False
    wanted = report.get("world_model_sha256", {None: None})
    same = all(card["sha256"].get(name) == sha256 for name, sha256 in wanted.items())
    return same and card.get("scores", {}).get("validation") == report["real"]


def _summary(reports: Sequence[Mapping[str, Any]], config: PipelineConfig) -> str:
    report = reports[-1]
    dreams = {tau: figures["mean"] for tau, figures in report["dream"].items()}
    dream = ", ".join(f"{rounded(mean)} at tau {tau}" for tau, mean in dreams.items())
    real = report["real"]
    figures = f"{mean_and_spread(real)} (best {rounded(real['best'])})"
    minutes = sum(entry["seconds"] for entry in reports) / 60
    left = (config.rounds - len(reports)) * reports[-1]["seconds"] / 60
    clock = f"{minutes:.0f} min so far" + (f", {left:.0f} or less to go" if left else "")
    return f"round {report['round']}: real {figures}; dream {dream}; {clock}"


def run(config: PipelineConfig) -> None:
    """The command ``dreamgym train all``."""
    print(f"world model and controller: {train_all(config)}")
