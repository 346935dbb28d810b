"""The command ``dreamgym demo``."""

from __future__ import annotations

import time
from typing import Final

from dreamgym._compat import require_pygame
from dreamgym.config import DemoConfig, EvolveConfig
from dreamgym.controller.cma_es import evolve
from dreamgym.controller.fitness import RolloutScores
from dreamgym.controller.linear import LinearController
from dreamgym.data.seeds import FIDELITY_SEEDS
from dreamgym.errors import ConfigError
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.episode import RealSettings
from dreamgym.evaluate.real import play_episodes
from dreamgym.evaluate.scores import EpisodeScore, mean_and_spread, rounded, summarize
from dreamgym.evolve.dream_rollouts import DreamTrials
from dreamgym.files import claim_folder, whole_lines, write_json
from dreamgym.reporting import provenance, text_table
from dreamgym.world_model import WorldModel, locate
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import require_described

__all__ = ["run"]

SEEDS: Final = FIDELITY_SEEDS[-10:]
"""Of real episodes that nothing is chosen on and no result is reported of. The film shows the first."""

DREAMS: Final = 64
"""Dreams that a controller's mean is taken over."""

COMPONENTS: Final = 64
"""Principal components of its features that the controller is evolved in; see ``dreamgym evolve``."""


def run(config: DemoConfig, *, max_episode_steps: int | None = None) -> None:
    """Evolve a controller in the dream, then play reality with it.

    And with the shipped one; print a table, and write a film.

    Running it again in the same folder evolves its controller further.

    Args:
        config: the settings.
        max_episode_steps: the time limit of real episodes and of the dreams that are compared with them; None for the
            world's.

    Raises:
        ConfigError: a number out of range, or no such world.
        InstallationError: ffmpeg or pygame is missing.
        BundleError: no world model, or a damaged one.
        OutputFolderError: the output folder holds something else.
        WorkerError: a playing process died or stopped answering, or ffmpeg failed.
    """
    _check(config)
    world_model = WorldModel.load(config.world_model, world=config.world)
    world = require_described(config.world, world_model.world_name)
    steps = max_episode_steps or world_model.max_episode_steps
    with claim_folder(config.out, config, may_differ=("seconds", "episodes", "workers")):
        _demonstrate(config, world_model, world, steps)


def _demonstrate(config: DemoConfig, world_model: WorldModel, world: World, steps: int) -> None:
    from dreamgym.demo.film import film

    fresh, dream_rate, generations = _evolve(config, world_model)
    controllers = {"evolved just now": fresh}
    if world_model.controller is not None:
        controllers["the world model's own"] = world_model.controller
    dreams = {
        name: evaluate_dream(each, range(DREAMS), world_model=world_model, max_episode_steps=steps)
        for name, each in controllers.items()
    }
    real, real_rate = _play(config, controllers, world_model, world, steps)
    filmed = film(world_model.controller or fresh, world_model, world, SEEDS[0], config.out, max_steps=steps)
    print(_table(dreams, real, dream_rate, real_rate))
    print(f"evolved for {config.seconds:g} s, {generations} generations in all; {config.episodes} real episodes")
    print(f"film: {config.out / 'demo.mp4'} (return {rounded(filmed)}) and {config.out / 'demo.gif'}")
    report = {
        **provenance(config, world, world_model, locate(config.world_model, config.world)),
        "dream": {name: summarize(scores) for name, scores in dreams.items()},
        "reality": {name: summarize(scores) for name, scores in real.items()},
        "generations": generations,
        "dream_steps_per_second": dream_rate,
        "real_steps_per_second": real_rate,
        "filmed_return": filmed,
    }
    write_json(config.out / "demo.json", report)


def _check(config: DemoConfig) -> None:
    """Find out now, not after two minutes of evolution."""
    if not 1 <= config.episodes <= len(SEEDS):
        raise ConfigError(f"episodes: expected 1 to {len(SEEDS)}, got {config.episodes}")
    if not config.seconds > 0:
        raise ConfigError(f"seconds: expected a positive number, got {config.seconds}")
    require_pygame()
    from dreamgym.play.video import require_ffmpeg

    require_ffmpeg()


def _evolve(config: DemoConfig, world_model: WorldModel) -> tuple[LinearController, float, int]:
    """A controller evolved for ``config.seconds``, the dream's steps a second, and the generations in all.

    It goes on from the folder's, or else begins with zeros.
    """
    has_progress = world_model.rewards.cap is not None
    settings = EvolveConfig(
        out=config.out / "evolve",
        world_model=locate(config.world_model, config.world),
        generations=10_000,
        population=64,
        rollouts=4,
        beginning_share=1.0,
        # Most are short and begin at real bends: a dream alone has too few, and its controllers are lost in the first.
        hard_rollouts=24 if bool(world_model.starts.hard.any()) else 0,
        smoothness=1.0,
        action_penalty=0.1 if any(world_model.actions.penalty) else 0.0,
        subspace=COMPONENTS,
        progress_limit=1.15 if has_progress else float("inf"),
        event_penalty=0.0 if world_model.memory.event_head is None else 30.0,
        precision="auto",
        seed=config.seed,
        workers=config.workers,
    )
    steps, started = 0, time.monotonic()

    def count(generation: int, _: LinearController, scores: RolloutScores) -> None:
        nonlocal steps
        steps += int(scores.lengths.sum())

    with DreamTrials(settings) as trials:
        controller = evolve(
            settings,
            trials,
            inputs=trials.inputs,
            subspace=trials.subspace,
            deadline=started + config.seconds,
            on_generation=count,
        )
    return controller, steps / (time.monotonic() - started), len(whole_lines(settings.out / "generations.jsonl"))


def _play(
    config: DemoConfig,
    controllers: dict[str, LinearController],
    world_model: WorldModel,
    world: World,
    max_episode_steps: int,
) -> tuple[dict[str, list[EpisodeScore]], float]:
    """Every controller's real episodes, and reality's steps a second."""
    seeds = SEEDS[: config.episodes]
    tasks = [(index, seed) for index in range(len(controllers)) for seed in seeds]
    started = time.monotonic()
    scores = play_episodes(
        list(controllers.values()),
        tasks,
        workers=config.workers,
        world_model=world_model,
        world=world,
        settings=RealSettings(max_episode_steps=max_episode_steps),
    )
    rate = sum(score.length for score in scores) / (time.monotonic() - started)
    count = len(seeds)
    return {name: scores[index * count : (index + 1) * count] for index, name in enumerate(controllers)}, rate


def _table(
    dreams: dict[str, list[EpisodeScore]], real: dict[str, list[EpisodeScore]], dream_rate: float, real_rate: float
) -> str:
    def cell(scores: list[EpisodeScore]) -> str:
        return mean_and_spread(summarize(scores))

    rows = [("mean return", "in the dream", "in reality")]
    rows += [(name, cell(dreams[name]), cell(real[name])) for name in dreams]
    rows.append(("steps a second", f"{dream_rate:,.0f}", f"{real_rate:,.0f}"))
    return text_table(rows)
