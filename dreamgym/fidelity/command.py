"""The command ``dreamgym fidelity``: what is measured, in order, and the report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamgym.config import FidelityConfig, claim_folder, write_json, write_text
from dreamgym.dream.options import parse_temperature
from dreamgym.episodes import Episode
from dreamgym.errors import BundleNotFoundError, ConfigError
from dreamgym.evaluate.command import provenance
from dreamgym.evaluate.policies import Policy
from dreamgym.evaluate.scores import EpisodeScore, summarize
from dreamgym.fidelity.calibration import calibration, forecast
from dreamgym.fidelity.drives import Racer, encode, held_out_drivers, record_drives
from dreamgym.fidelity.open_loop import BURN_IN, open_loop
from dreamgym.fidelity.page import render_page
from dreamgym.fidelity.plots import plot_calibration, plot_open_loop, plot_returns, require_matplotlib
from dreamgym.fidelity.policies import bad_policies, fixed_policies
from dreamgym.fidelity.race import race
from dreamgym.fidelity.returns import Scores, agreement, dream_returns, overpaid, real_returns
from dreamgym.seeds import FIDELITY_SEEDS
from dreamgym.world_model import WorldModel, locate

__all__ = ["measure", "run"]

OPEN_LOOP_DRIVERS = ("controller", "follower")
DRIVES_FROM = 50
"""The recorded drives' tracks begin here among ``FIDELITY_SEEDS``; the policies' tracks are before it."""
RACES = 3
"""Races for each track of the policies: the fastest is an extreme, and the policies have many dreams to find theirs."""


def run(config: FidelityConfig) -> None:
    """Measure, write ``report.json``, ``report.md`` and plots, and print what was found.

    Running it again in the same folder goes on where it stopped: real drives are kept as they end.

    Raises:
        OutputFolderError: the output folder holds something else, or drives through another world model.
        BundleNotFoundError: no world model, or one without a controller.
        InstallationError: matplotlib is missing.
        ConfigError: a number out of range.
        WorkerError: a driving process died or stopped answering.
    """
    require_matplotlib()
    world = WorldModel.load(config.world_model)
    if world.controller is None:
        raise BundleNotFoundError("fidelity compares handicapped controllers, and the world model has no controller")
    policies = fixed_policies(world.controller, world.vision.latent_size)
    report = measure(config, world, policies, bad=list(bad_policies()))
    first = report["agreement"][0]
    print(
        f"Spearman's rho over {first['policies']} policies ({first['policies_above_500']} above 500 in reality): "
        + ", ".join(f"{entry['spearman']:.3f} at temperature {entry['temperature']:g}" for entry in report["agreement"])
    )
    failing = [entry["policy"] for entry in report["bad_policies"] if not entry["passes"]]
    print(f"bad policies that the dream pays too much: {', '.join(failing) if failing else 'none'}")
    print(f"report: {config.out / 'report.md'}")


def measure(
    config: FidelityConfig,
    world: WorldModel,
    policies: Mapping[str, Policy],
    *,
    bad: Sequence[str],
    max_episode_steps: int = 1000,
    horizon: int = 100,
) -> dict[str, Any]:
    """Everything that the report holds, written to ``config.out`` as well.

    Args:
        config: how much of it.
        world: the world model, loaded from ``config.world_model``.
        policies: to compare returns of, by name.
        bad: those that must earn nothing.
        max_episode_steps: the time limit of every drive and dream.
        horizon: steps dreamed open loop.
    """
    _check(config)
    claim_folder(config.out, config, may_differ=("workers",))
    started, default = time.monotonic(), world.temperature
    seeds, steps = range(config.seed, config.seed + config.dream_episodes), max_episode_steps
    tracks, log = FIDELITY_SEEDS[: config.episodes], config.out / "real.jsonl"
    real = real_returns(policies, tracks, world, log, workers=config.workers, max_episode_steps=steps)
    dreams = {
        value: dream_returns(policies, seeds, world, value, max_episode_steps=steps)
        for value in dict.fromkeys([default, *config.temperatures])
    }
    idle = {name: policies[name] for name in bad}
    paid_too_much = _overpaid(config, world, idle, log, max_episode_steps=steps)
    folder = locate(config.world_model)
    tracks = FIDELITY_SEEDS[DRIVES_FROM : DRIVES_FROM + max(1, config.episodes // 2)]
    drives = record_drives(config.out / "drives", held_out_drivers(folder), tracks, length=steps)
    tracks = FIDELITY_SEEDS[-RACES * config.episodes :]
    races = record_drives(config.out / "races", {"racer": Racer}, tracks, length=steps)
    scores = (_all(real), [*drives, *races], _all(dreams[default]))
    report = {
        **provenance(config, folder, world),
        "temperature": default,
        **_returns(real, dreams),
        "bad_policies": paid_too_much,
        "race": race(policies, *scores, seeds, world, default, max_episode_steps=steps),
        **_predictions(world, drives, horizon, config.seed),
        "seconds": round(time.monotonic() - started, 1),
    }
    _write(config.out, report, real, dreams, bad)
    return report


def _overpaid(
    config: FidelityConfig, world: WorldModel, policies: Mapping[str, Policy], log: Path, *, max_episode_steps: int
) -> list[dict[str, Any]]:
    """More drives and dreams than other policies have: what these are paid too much may be a point or two."""
    tracks, seeds = FIDELITY_SEEDS[: config.bad_episodes], range(config.seed, config.seed + config.bad_dream_episodes)
    real = real_returns(policies, tracks, world, log, workers=config.workers, max_episode_steps=max_episode_steps)
    return overpaid(real, dream_returns(policies, seeds, world, world.temperature, max_episode_steps=max_episode_steps))


def _returns(real: Scores, dreams: Mapping[float, Scores]) -> dict[str, Any]:
    return {
        "agreement": [{"temperature": value, **agreement(real, dream)} for value, dream in dreams.items()],
        "policies": [
            {
                "policy": name,
                "real": summarize(real[name]),
                "dream": [summarize(dream[name]) for dream in dreams.values()],
            }
            for name in real
        ],
    }


def _predictions(world: WorldModel, drives: Sequence[Episode], horizon: int, seed: int) -> dict[str, Any]:
    seen = encode(world, drives, seed)
    followed = [drive for drive in seen if drive.episode.driver in OPEN_LOOP_DRIVERS]
    curves = open_loop(world, followed, world.temperature, horizon=horizon, seed=seed)
    return {"open_loop": {"burn_in": BURN_IN, **curves}, "calibration": calibration(forecast(world, seen))}


def _check(config: FidelityConfig) -> None:
    for name in ("episodes", "bad_episodes"):
        if not 2 <= (value := getattr(config, name)) <= DRIVES_FROM:
            raise ConfigError(f"{name}: expected 2 to {DRIVES_FROM}, got {value}")
    for name in ("dream_episodes", "bad_dream_episodes"):
        if (value := getattr(config, name)) < 2:
            raise ConfigError(f"{name}: expected 2 or more, got {value}")
    if config.seed < 0:
        raise ConfigError(f"seed: expected 0 or more, got {config.seed}")
    for temperature in config.temperatures:
        parse_temperature(temperature, 1.0)


def _all(scores: Scores) -> list[EpisodeScore]:
    return [score for part in scores.values() for score in part]


def _means(scores: Scores) -> dict[str, tuple[float, float]]:
    """Each policy's mean return and its standard error."""
    found = {}
    for name, part in scores.items():
        returns = np.array([score.score for score in part])
        found[name] = (float(returns.mean()), float(returns.std(ddof=1) / np.sqrt(len(returns))))
    return found


def _write(
    out: Path,
    report: dict[str, Any],
    real: Scores,
    dreams: Mapping[float, Scores],
    bad: Sequence[str],
) -> None:
    correlations = {entry["temperature"]: entry["spearman"] for entry in report["agreement"]}
    plot_returns(
        out / "returns.png",
        _means(real),
        {value: _means(dream) for value, dream in dreams.items()},
        correlations,
        bad,
    )
    if report["open_loop"]["windows"]:
        plot_open_loop(out / "open_loop.png", report["open_loop"])
    plot_calibration(out / "calibration.png", report["calibration"])
    write_json(out / "report.json", report)
    write_text(out / "report.md", render_page(report))
