"""The command ``dreamgym demo``."""

from __future__ import annotations

import time
from typing import Any, Final, Literal

import torch

from dreamgym._compat import require_pygame
from dreamgym.config import DemoConfig, EvolveConfig, claim_folder, write_json
from dreamgym.control.evolution import evolve
from dreamgym.control.linear import LinearController
from dreamgym.control.rollouts import RolloutScores
from dreamgym.dream_trials import DreamTrials
from dreamgym.errors import ConfigError, InstallationError
from dreamgym.evaluate.command import columns, provenance
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.real import drive_tracks
from dreamgym.evaluate.scores import EpisodeScore, summarize
from dreamgym.seeds import FIDELITY_SEEDS
from dreamgym.world_model import WorldModel, locate

__all__ = ["run"]

TRACKS: Final = FIDELITY_SEEDS[-10:]
"""Real tracks that nothing is chosen on and no result is reported of."""

FILMED_TRACK: Final = TRACKS[0]
"""The one that the film shows."""

DREAMS: Final = 64
"""Dreams that a controller's mean is taken over."""

COMPONENTS: Final = 64
"""Principal components of its features that the driver is evolved in; see ``dreamgym evolve``."""


def run(config: DemoConfig, *, max_episode_steps: int = 1000) -> None:
    """Evolve a driver in the dream, drive reality with it and with the shipped one, print a table, write a film.

    Running it again in the same folder evolves its driver further.

    Args:
        config: the settings.
        max_episode_steps: the time limit of real drives and of the dreams that are compared with them.

    Raises:
        ConfigError: a number out of range.
        InstallationError: ffmpeg or pygame is missing.
        BundleError: no world model, or a damaged one.
        OutputFolderError: the output folder holds something else.
        WorkerError: a driving process died or stopped answering, or ffmpeg failed.
    """
    _check(config)
    world = WorldModel.load(config.world_model)
    claim_folder(config.out, config, may_differ=("seconds", "tracks", "workers"))
    fresh, dream_rate, generations = _evolve(config)
    drivers = {"evolved just now": fresh}
    if world.controller is not None:
        drivers["the world model's own"] = world.controller
    dreams = {
        name: evaluate_dream(driver, range(DREAMS), world_model=world, max_episode_steps=max_episode_steps)
        for name, driver in drivers.items()
    }
    real, real_rate = _drive(config, drivers, world, max_episode_steps)
    from dreamgym.demo.film import film

    filmed = film(world.controller or fresh, world, FILMED_TRACK, config.out, max_episode_steps=max_episode_steps)
    print(_table(dreams, real, dream_rate, real_rate))
    print(f"evolved for {generations} generations, {config.seconds:g} s; {len(real['evolved just now'])} real tracks")
    print(f"film: {config.out / 'demo.mp4'} (return {filmed.score:.0f}) and {config.out / 'demo.gif'}")
    report = {
        **provenance(config, locate(config.world_model), world),
        "dream": {name: summarize(scores) for name, scores in dreams.items()},
        "reality": {name: summarize(scores) for name, scores in real.items()},
        "generations": generations,
        "dream_steps_per_second": dream_rate,
        "real_steps_per_second": real_rate,
        "filmed_return": filmed.score,
    }
    write_json(config.out / "demo.json", report)


def _check(config: DemoConfig) -> None:
    """Find out now, not after two minutes of evolution."""
    if not 1 <= config.tracks <= len(TRACKS):
        raise ConfigError(f"tracks: expected 1 to {len(TRACKS)}, got {config.tracks}")
    if not config.seconds > 0:
        raise ConfigError(f"seconds: expected a positive number, got {config.seconds}")
    require_pygame()
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise InstallationError(
            f"the film needs imageio-ffmpeg and its ffmpeg ({error}); run: pip install 'dreamgym[train]'"
        ) from error


def _precision() -> Literal["float32", "bfloat16"]:
    """bfloat16 where the CPU multiplies it faster than float32."""
    capabilities = torch.cpu.get_capabilities()
    fast = any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return "bfloat16" if fast else "float32"


def _evolve(config: DemoConfig) -> tuple[LinearController, float, int]:
    """A controller evolved from zeros for ``config.seconds``, the dream's steps a second, and the generations."""
    has_hard_starts = bool(WorldModel.load(config.world_model).starts.hard.any())
    settings = EvolveConfig(
        out=config.out / "evolve",
        world_model=config.world_model,
        generations=10_000,
        population=64,
        rollouts=4,
        line_share=1.0,
        # Most are short and begin at real bends: a dream alone has too few, and its drivers are lost in the first.
        hard_rollouts=24 if has_hard_starts else 0,
        smoothness=1.0,
        effort=0.1,
        subspace=COMPONENTS,
        pace_limit=1.15,
        missed_cost=30.0,
        precision=_precision(),
        seed=config.seed,
        workers=config.workers,
    )
    steps, done, started = 0, 0, time.monotonic()

    def count(generation: int, _: LinearController, scores: RolloutScores) -> None:
        nonlocal steps, done
        steps += int(scores.lengths.sum())
        done = generation + 1

    with DreamTrials(settings) as trials:
        controller = evolve(
            settings, trials, subspace=trials.subspace, deadline=started + config.seconds, on_generation=count
        )
    return controller, steps / (time.monotonic() - started), done


def _drive(
    config: DemoConfig, drivers: dict[str, LinearController], world: WorldModel, max_episode_steps: int
) -> tuple[dict[str, list[EpisodeScore]], float]:
    """Every driver's real drives, and reality's steps a second."""
    names, seeds = list(drivers), TRACKS[: config.tracks]
    tasks = [(index, seed) for index in range(len(names)) for seed in seeds]
    started = time.monotonic()
    scores = drive_tracks(
        list(drivers.values()), tasks, workers=config.workers, world_model=world, max_episode_steps=max_episode_steps
    )
    rate = sum(score.length for score in scores) / (time.monotonic() - started)
    count = len(seeds)
    return {name: scores[index * count : (index + 1) * count] for index, name in enumerate(names)}, rate


def _table(
    dreams: dict[str, list[EpisodeScore]], real: dict[str, list[EpisodeScore]], dream_rate: float, real_rate: float
) -> str:
    def cell(scores: list[EpisodeScore]) -> str:
        figures: dict[str, Any] = summarize(scores)
        return f"{figures['mean']:.0f} ± {figures['std']:.0f}"

    rows = [("mean return", "in the dream", "in reality")]
    rows += [(name, cell(dreams[name]), cell(real[name])) for name in dreams]
    rows.append(("steps a second", f"{dream_rate:,.0f}", f"{real_rate:,.0f}"))
    return columns(rows)
