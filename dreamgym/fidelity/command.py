"""The command ``dreamgym fidelity``: what is measured, in order, and the report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from dreamgym.config import FidelityConfig
from dreamgym.config.checks import require_seed
from dreamgym.data.episodes import Episode
from dreamgym.data.seeds import FIDELITY_SEEDS
from dreamgym.dream.temperature import parse_temperature
from dreamgym.errors import BundleNotFoundError, ConfigError
from dreamgym.evaluate.policies import Policy
from dreamgym.evaluate.scores import EpisodeScore, summarize
from dreamgym.fidelity import verdict
from dreamgym.fidelity.calibration import calibration, familiarity, forecast
from dreamgym.fidelity.held_out import CONTROLLER, SeenEpisode, encode, held_out_players, record_episodes
from dreamgym.fidelity.open_loop import BURN_IN, open_loop
from dreamgym.fidelity.page import render_page
from dreamgym.fidelity.plots import plot_calibration, plot_open_loop, plot_returns, plot_survival, require_matplotlib
from dreamgym.fidelity.policies import fixed_policies
from dreamgym.fidelity.reconstruction import reconstruction, save_worst_frames
from dreamgym.fidelity.returns import Scores, agreement, dream_returns, overpaid, real_returns
from dreamgym.fidelity.speed_check import check_speed, has_progress
from dreamgym.fidelity.survival import is_survival, survival
from dreamgym.files import claim_folder, file_sha256, read_object, write_json, write_text
from dreamgym.reporting import provenance
from dreamgym.world_model import WorldModel, locate
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import require_described

__all__ = ["measure", "predictions", "run"]

EPISODES_FROM = 50
"""Seeds of recorded episodes begin here among ``FIDELITY_SEEDS``; those of the policies' episodes are before it."""
PAGE: Final = "report.md"
"""Written last."""
RACES = 3
"""Fast episodes for each seed of the policies: the fastest is an extreme, which policies have many dreams to find."""


def run(config: FidelityConfig) -> None:
    """Measure, write ``report.json``, ``report.md`` and plots, and print what was found.

    Running it again in the same folder goes on where it stopped: real episodes are kept as they end.

    Raises:
        OutputFolderError: the output folder holds something else, or episodes through another world model.
        BundleNotFoundError: no world model, or one without a controller.
        InstallationError: matplotlib or scipy is missing.
        ConfigError: a number out of range, or an unknown world.
        WorkerError: a playing process died or stopped answering.
    """
    require_matplotlib()
    model = WorldModel.load(config.world_model, world=config.world)
    if model.controller is None:
        raise BundleNotFoundError("fidelity compares handicapped controllers, and the world model has no controller")
    world = require_described(config.world, model.world_name)
    report = measure(config, model, world, fixed_policies(model.controller, world, model.vision.latent_size))
    first = report["agreement"][0]
    print(
        f"Spearman's rho over {first['policies']} policies: "
        + ", ".join(f"{entry['spearman']:.3f} at temperature {entry['temperature']:g}" for entry in report["agreement"])
    )
    print(verdict.render(verdict.diagnose(report, fps=world.fps)))
    print(f"report: {config.out / PAGE}")


def measure(
    config: FidelityConfig,
    world_model: WorldModel,
    world: World,
    policies: Mapping[str, Policy],
    *,
    max_episode_steps: int | None = None,
    horizon: int = 100,
) -> dict[str, Any]:
    """Everything that the report holds, written to ``config.out`` as well.

    Args:
        config: how much of it.
        world_model: V and M, loaded from ``config.world_model``.
        world: that the world model is of.
        policies: to compare returns of, by name; those that have the name of a probe of the world are one. Where a run
            goes on, a name must mean the policy that it meant.
        max_episode_steps: the time limit of every episode and dream; the world's when None.
        horizon: steps dreamed open loop.
    """
    _check(config)
    inputs = {
        "world_model_sha256": file_sha256(locate(config.world_model, config.world) / "card.json"),
        "max_episode_steps": str(max_episode_steps or world.max_episode_steps),
    }
    with claim_folder(config.out, config, may_differ=("workers", "engine"), inputs=inputs):
        return _measure(config, world_model, world, policies, max_episode_steps, horizon)


def _measure(
    config: FidelityConfig,
    world_model: WorldModel,
    world: World,
    policies: Mapping[str, Policy],
    max_episode_steps: int | None,
    horizon: int,
) -> dict[str, Any]:
    if (config.out / PAGE).exists():
        report = read_object(config.out / "report.json")
        if {entry["policy"] for entry in report["policies"]} == set(policies):
            return report
    started, steps = time.monotonic(), max_episode_steps or world.max_episode_steps
    bad = [name for name in world.probes if name in policies]
    dream_seeds = range(config.seed, config.seed + config.dream_episodes)
    real = _real(config, world_model, world, policies, FIDELITY_SEEDS[: config.episodes], steps)
    dreams = {
        value: dream_returns(policies, dream_seeds, world_model, value, max_episode_steps=steps)
        for value in dict.fromkeys([world_model.temperature, *config.temperatures])
    }
    default = dreams[world_model.temperature]
    probes = {name: policies[name] for name in bad}
    folder = locate(config.world_model, config.world)
    seeds = FIDELITY_SEEDS[EPISODES_FROM : EPISODES_FROM + max(1, config.episodes // 2)]
    players = held_out_players(folder, world)
    episodes = record_episodes(config.out / "episodes", players, seeds, length=steps, world=world)
    seen = encode(world_model, episodes, config.seed)
    report = {
        **provenance(config, world, world_model, folder),
        "temperature": world_model.temperature,
        **_returns(real, dreams),
        "bad_policies": _overpaid(config, world_model, world, probes, steps),
        **predictions(world_model, world, seen, horizon=horizon, seed=config.seed),
    }
    if has_progress(world, world_model.rewards):
        races = _races(config, world, steps)
        scores = (_all(real), [*episodes, *races], _all(default))
        report["speed"] = check_speed(
            policies, *scores, dream_seeds, world_model, world_model.temperature, max_episode_steps=steps
        )
    if is_survival(world_model.rewards):
        report["survival"] = survival(real, default, steps)
    report["verdict"] = verdict.to_json(verdict.diagnose(report, fps=world.fps))
    report["seconds"] = round(time.monotonic() - started, 1)
    save_worst_frames(config.out / "worst_frames.png", world_model, seen, report["reconstruction"])
    _write(config.out, report, real, dreams, bad)
    return report


def predictions(
    world_model: WorldModel, world: World, seen: Sequence[SeenEpisode], *, horizon: int, seed: int
) -> dict[str, Any]:
    """What V keeps of held-out episodes, and M foresees in them.

    A verdict is mostly made from this.

    Args:
        world_model: V and M.
        world: that they are of.
        seen: the episodes.
        horizon: steps dreamed open loop.
        seed: of the open-loop dreams.
    """
    skilled = (CONTROLLER, *world.fidelity.skilled)
    followed = [each for each in seen if not world.fidelity.skilled or each.episode.player in skilled]
    curves = open_loop(world_model, followed, world_model.temperature, horizon=horizon, seed=seed)
    return {
        "reconstruction": reconstruction(world_model, seen),
        "open_loop": {"burn_in": BURN_IN, **curves},
        "calibration": calibration(forecast(world_model, seen), world.fps),
        "familiarity": familiarity(world_model, seen),
    }


def _real(
    config: FidelityConfig,
    world_model: WorldModel,
    world: World,
    policies: Mapping[str, Policy],
    seeds: Sequence[int],
    steps: int,
) -> Scores:
    log = config.out / "real.jsonl"
    return real_returns(
        policies,
        seeds,
        world_model,
        log,
        workers=config.workers,
        engine=config.engine,
        world=world,
        max_episode_steps=steps,
    )


def _overpaid(
    config: FidelityConfig, world_model: WorldModel, world: World, probes: Mapping[str, Policy], steps: int
) -> list[dict[str, Any]]:
    """More episodes and dreams than other policies have: what these are paid too much may be a point or two."""
    if not probes:
        return []
    real = _real(config, world_model, world, probes, FIDELITY_SEEDS[: config.bad_episodes], steps)
    seeds = range(config.seed, config.seed + config.bad_dream_episodes)
    dream = dream_returns(probes, seeds, world_model, world_model.temperature, max_episode_steps=steps)
    return overpaid(real, dream)


def _races(config: FidelityConfig, world: World, steps: int) -> list[Episode]:
    players = {name: world.players[name] for name in world.fidelity.fast}
    seeds = FIDELITY_SEEDS[-RACES * config.episodes :]
    return record_episodes(config.out / "races", players, seeds, length=steps, world=world)


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


def _check(config: FidelityConfig) -> None:
    for name in ("episodes", "bad_episodes"):
        if not 2 <= (value := getattr(config, name)) <= EPISODES_FROM:
            raise ConfigError(f"{name}: expected 2 to {EPISODES_FROM}, got {value}")
    for name in ("dream_episodes", "bad_dream_episodes"):
        if (value := getattr(config, name)) < 2:
            raise ConfigError(f"{name}: expected 2 or more, got {value}")
    require_seed(config)
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


def _write(out: Path, report: dict[str, Any], real: Scores, dreams: Mapping[float, Scores], bad: Sequence[str]) -> None:
    correlations = {entry["temperature"]: entry["spearman"] for entry in report["agreement"]}
    dreamed = {value: _means(dream) for value, dream in dreams.items()}
    plot_returns(out / "returns.png", _means(real), dreamed, correlations, bad)
    if report["open_loop"]["windows"]:
        plot_open_loop(out / "open_loop.png", report["open_loop"])
    plot_calibration(out / "calibration.png", report["calibration"])
    if "survival" in report:
        plot_survival(out / "survival.png", report["survival"])
    write_json(out / "report.json", report)
    write_text(out / PAGE, render_page(report))
