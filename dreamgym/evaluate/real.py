"""Playing many real episodes, by several processes: with policies, or with a world's own players."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from dreamgym.collect.collect import record_episode
from dreamgym.data.seeds import refuse_test_seeds
from dreamgym.errors import ConfigError
from dreamgym.evaluate.episode import AS_IN_USE, RealSettings, play_episode
from dreamgym.evaluate.policies import Policy
from dreamgym.evaluate.scores import EpisodeScore, rounded, score_episode
from dreamgym.parallel import start
from dreamgym.threads import one_thread_for_long
from dreamgym.world_model import StartBank, WorldModel
from dreamgym.worlds.base import World
from dreamgym.worlds.real_envs import RealEnvs
from dreamgym.worlds.registry import find, require_described

__all__ = [
    "Task",
    "evaluate_player",
    "evaluate_real",
    "play_episodes",
    "validation_returns",
]

Task = tuple[int, int]
"""A policy, by its place among several, and an episode's seed."""
T = TypeVar("T")

_VALIDATION: Final = 1
"""The noise of validation runs; that of scores is 0."""


def evaluate_real(
    policy: Policy,
    seeds: Sequence[int],
    *,
    workers: int | None = None,
    engine: str = "local",
    world_model: WorldModel | Path | str | None = None,
    world: World | str | None = None,
    settings: RealSettings = AS_IN_USE,
    on_episode: Callable[[EpisodeScore], None] | None = None,
) -> list[EpisodeScore]:
    """Play one real episode for each seed.

    The scores do not depend on the number of workers.

    Args:
        policy: features, float32 (1, Z + H), to actions, (1, A); picklable where there are several workers.
        seeds: of the episodes.
        workers: processes playing at once, each on one thread; 1 plays in this process. None for one for each
            processor.
        engine: where they run, see :func:`dreamgym.parallel.start`.
        world_model: the world model, a bundle's folder, or None for the one that :meth:`WorldModel.load` finds.
        world: the description of the real environment, or its name; the registered one that the world model names when
            None.
        settings: see :class:`RealSettings`.
        on_episode: called after each episode, in the order in which they end.

    Returns:
        A score for each seed, in their order.

    Raises:
        ConfigError: no seeds, fewer than one worker, an unknown world, or a policy that cannot be sent to a process.
        WorkerError: a process died, or stopped answering.
        BundleError: no world model, a damaged one, or one of other frames or actions than the description's.
        ActionError: the policy's action is of the wrong shape, not finite or out of range.
    """
    tasks = [(0, seed) for seed in seeds]
    return play_episodes(
        [policy],
        tasks,
        workers=workers,
        engine=engine,
        world_model=world_model,
        world=world,
        settings=settings,
        on_episode=_of_scores(on_episode),
    )


def validation_returns(
    policy: Policy,
    seeds: Sequence[int],
    *,
    workers: int | None,
    engine: str = "local",
    world_model: Path | str | None,
    world: World | str | None = None,
) -> list[float]:
    """Returns of a validation run: real episodes by which something is chosen.

    z's noise is other than in :func:`evaluate_real`, so that what was chosen for luck with the noise does not have the
    same luck again where it is scored.

    Args:
        policy: as in :func:`evaluate_real`, and so on.
        seeds: of the episodes.
        workers: processes playing at once.
        engine: where they run.
        world_model: a bundle's folder, or None for the one that :meth:`WorldModel.load` finds.
        world: the description of the real environment.

    Raises:
        SeedError: a seed that is kept for tests.
        WorkerError: a process died, or stopped answering.
    """
    refuse_test_seeds(seeds, "choosing")
    scores = evaluate_real(
        policy,
        seeds,
        workers=workers,
        engine=engine,
        world_model=world_model,
        world=world,
        settings=RealSettings(noise=_VALIDATION),
    )
    return [score.score for score in scores]


def play_episodes(
    policies: Sequence[Policy],
    tasks: Sequence[Task],
    *,
    workers: int | None = None,
    engine: str = "local",
    world_model: WorldModel | Path | str | None = None,
    world: World | str | None = None,
    settings: RealSettings = AS_IN_USE,
    on_episode: Callable[[Task, EpisodeScore], None] | None = None,
) -> list[EpisodeScore]:
    """Play real episodes with several policies; see :func:`evaluate_real`.

    Args:
        policies: what plays.
        tasks: pairs of a policy, by its place in ``policies``, and an episode's seed.
        workers: as in :func:`evaluate_real`.
        engine: likewise.
        world_model: the world model.
        world: the description of the real environment.
        settings: see :class:`RealSettings`.
        on_episode: called after each episode, in the order in which they end.

    Returns:
        A score for each task, in their order.
    """
    model = world_model if isinstance(world_model, WorldModel) else WorldModel.load(world_model)
    found = find(world) if world else require_described(None, model.world_name)
    model.require_fit(found)
    job = _Job(policies, _without_starts(model), found, settings)
    return _scored(_player_of, job, tasks, settings.limit(found), on_episode, workers=workers, engine=engine)


def evaluate_player(
    name: str,
    seeds: Sequence[int],
    world: World | str,
    *,
    workers: int | None = None,
    engine: str = "local",
    settings: RealSettings = AS_IN_USE,
    on_episode: Callable[[EpisodeScore], None] | None = None,
) -> list[EpisodeScore]:
    """Play one real episode for each seed with a world's own player.

    It needs no world model.

    Args:
        name: of the player, among ``world.players``.
        seeds: of the episodes, and of the player's choices.
        world: the description of the real environment.
        workers: processes playing at once.
        engine: where they run.
        settings: see :class:`RealSettings`; its time limit and its drawing count.
        on_episode: called after each episode, in the order in which they end.

    Raises:
        ConfigError: no such player, no seeds, or fewer than one worker.
        WorkerError: a process died, or stopped answering.
    """
    found = find(world)
    if name not in found.players:
        raise ConfigError(f"player: expected one of {list(found.players)}, got {name!r}")
    steps = settings.limit(found)
    job, kept = (name, found, settings), _of_scores(on_episode)
    return _scored(_own_player_of, job, list(seeds), steps, kept, workers=workers, engine=engine)


def _of_scores(on_episode: Callable[[EpisodeScore], None] | None) -> Callable[[Any, EpisodeScore], None] | None:
    return None if on_episode is None else lambda _, score: on_episode(score)


@dataclass(frozen=True)
class _Job:
    """All that a worker needs to play with policies."""

    policies: Sequence[Policy]
    world_model: WorldModel
    world: World
    settings: RealSettings


def _player_of(job: _Job) -> Callable[[Task], EpisodeScore]:
    envs = RealEnvs(job.world, exact_drawing=job.settings.exact_drawing)

    def play(task: Task) -> EpisodeScore:
        number, seed = task
        return play_episode(job.policies[number], seed, job.world_model, job.world, job.settings, envs)

    return play


def _own_player_of(job: tuple[str, World, RealSettings]) -> Callable[[int], EpisodeScore]:
    name, world, settings = job
    steps = settings.limit(world)
    envs = RealEnvs(world, exact_drawing=settings.exact_drawing)

    def play(seed: int) -> EpisodeScore:
        episode = record_episode(world.players[name](), seed, steps, player_name=name, envs=envs)
        made = world.rewards.units(episode.rewards, episode.total_units).sum()
        return score_episode(
            seed,
            episode.rewards,
            progress=0.0 if world.score.progress is None else float(made) / episode.total_units,
            units=episode.total_units,
            terminated=episode.terminated,
            complete=episode.complete,
            max_episode_steps=steps,
            constant=world.rewards.constant,
        )

    return play


def _without_starts(world_model: WorldModel) -> WorldModel:
    """V and M alone: who plays in reality needs no start states, which are most of what a process would be sent."""
    nothing = torch.zeros(0)
    starts = StartBank(nothing, nothing, nothing, nothing, nothing.bool(), nothing.bool())
    return replace(world_model, starts=starts, controller=None)


def _scored(
    build: Callable[[Any], Callable[[T], EpisodeScore]],
    job: Any,
    tasks: Sequence[T],
    steps: int,
    on_episode: Callable[[T, EpisodeScore], None] | None,
    *,
    workers: int | None,
    engine: str,
) -> list[EpisodeScore]:
    """The scores of all tasks, in their order."""
    if not len(tasks):
        raise ConfigError("seeds: expected at least one, got none")
    count = None if workers is None else min(workers, len(tasks))
    scores: dict[int, EpisodeScore] = {}
    with (
        start(build, job, workers=count, engine=engine) as pool,
        one_thread_for_long() if pool.count == 1 else nullcontext(),
        tqdm(total=len(tasks) * steps, unit="frame", unit_scale=True, desc="play", mininterval=2) as bar,
    ):
        for index, score in pool.results(tasks):
            scores[index] = score
            bar.update(steps)  # of an episode that ended early, the rest need not be played
            mean = float(np.mean([done.score for done in scores.values()]))
            bar.set_postfix_str(f"{len(scores)}/{len(tasks)} episodes, mean {rounded(mean)}", refresh=False)
            if on_episode is not None:
                on_episode(tasks[index], score)
    return [scores[index] for index in range(len(tasks))]
