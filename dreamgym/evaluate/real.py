"""Driving in reality, seen through V and M: one episode, or many by several processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym.dream.threads import one_thread_for_long
from dreamgym.encoder import LatentEncoder
from dreamgym.errors import ActionError, ConfigError
from dreamgym.evaluate.policies import Policy, begin_episodes
from dreamgym.evaluate.scores import EpisodeScore, score_episode
from dreamgym.evaluate.workers import Job, Task, drive_in_processes
from dreamgym.real.world import CAR_RACING, make_real
from dreamgym.world_model import WorldModel

__all__ = ["RealStep", "drive_real", "drive_tracks", "evaluate_real", "look"]

_TOLERANCE = 1e-6
_LOOK: Final = 1
"""The noise of looks; that of scores is 0."""


class RealStep(NamedTuple):
    """One step of a real drive, as an observer sees it."""

    frame: NDArray[np.uint8]
    """CarRacing's observation before the action, uint8 (96, 96, 3)."""
    features: NDArray[np.float32]
    """What the policy saw, (288,)."""
    action: NDArray[np.float32]
    """As executed, (3,)."""
    reward: float
    picture: NDArray[np.uint8] | None
    """As people see it, uint8 (400, 600, 3), where pictures were asked for."""


def drive_real(
    policy: Policy,
    seed: int,
    *,
    world_model: WorldModel,
    latent: str = "sample",
    exact_drawing: bool = True,
    max_episode_steps: int = 1000,
    noise: int = 0,
    on_step: Callable[[RealStep], None] | None = None,
    pictures: bool = False,
) -> EpisodeScore:
    """Drive one real track in this process.

    The environment is a new one, so that the drive is a function of the seed and the noise alone.

    Args:
        policy: features, float32 (1, 288), to actions, (1, 3).
        seed: of the track.
        world_model: V and M.
        latent: ``"sample"`` or ``"mean"``, as in :class:`~dreamgym.encoder.LatentEncoder`.
        exact_drawing: draw with the exact fast drawing; False for Gymnasium's own.
        max_episode_steps: the time limit.
        noise: which noise z has on this track, 0 or more: with another, the same track is seen a little otherwise.
        on_step: called after each step.
        pictures: draw for people as well, at every step.

    Raises:
        ActionError: the policy's action is of the wrong shape, not finite or out of range.
    """
    render_mode = "rgb_array" if pictures else None
    env = make_real(exact=exact_drawing, render_mode=render_mode, max_episode_steps=max_episode_steps)
    try:
        frame, info = env.reset(seed=seed)
        encoder = LatentEncoder(world_model, latent=latent)
        encoder.reset(frame[None], seeds=[seed + (noise << 32)])
        begin_episodes(policy, [seed])
        rewards = []
        terminated = truncated = False
        while not (terminated or truncated):
            features = encoder.features()
            action = _executed(policy(features))
            picture = np.asarray(env.render(), np.uint8) if pictures else None
            following, reward, terminated, truncated, info = env.step(action)
            rewards.append(float(reward))
            if on_step is not None:
                on_step(RealStep(frame, features[0], action, float(reward), picture))
            encoder.step(following[None], action[None])
            frame = following
        track = env.unwrapped.track  # type: ignore[attr-defined]
        return score_episode(
            seed,
            rewards,
            progress=env.unwrapped.tile_visited_count / len(track),  # type: ignore[attr-defined]
            lap_units=len(track),
            terminated=terminated,
            lap_finished=bool(info.get("lap_finished", False)),
            max_episode_steps=max_episode_steps,
            frame_cost=CAR_RACING.frame_cost,
        )
    finally:
        env.close()


def _executed(actions: NDArray[np.float32]) -> NDArray[np.float32]:
    """The action of a batch of one, cut to the range, float32 (3,)."""
    given = np.asarray(actions, np.float32)
    low, high = (np.array(end, np.float32) for end in (CAR_RACING.action_low, CAR_RACING.action_high))
    if given.shape != (1, len(low)):
        raise ActionError(f"expected the policy to give actions of shape (1, {len(low)}), got {given.shape}")
    cut: NDArray[np.float32] = np.clip(given[0], low, high)
    if not (np.abs(given[0] - cut) <= _TOLERANCE).all():
        raise ActionError(f"expected finite actions within {low.tolist()} .. {high.tolist()}, got {given[0].tolist()}")
    return cut


def evaluate_real(
    policy: Policy,
    seeds: Sequence[int],
    *,
    workers: int = 2,
    world_model: WorldModel | Path | str | None = None,
    latent: str = "sample",
    exact_drawing: bool = True,
    max_episode_steps: int = 1000,
) -> list[EpisodeScore]:
    """Drive one real track for each seed; the scores do not depend on the number of workers.

    Args:
        policy: features, float32 (1, 288), to actions, (1, 3); picklable where there are several workers.
        seeds: of the tracks.
        workers: processes driving at once, each on one thread; 1 drives in this process.
        world_model: the world model, a bundle's folder, or None for the one that :meth:`WorldModel.load` finds.
        latent: ``"sample"`` or ``"mean"``, as in :class:`~dreamgym.encoder.LatentEncoder`.
        exact_drawing: draw with the exact fast drawing; False for Gymnasium's own.
        max_episode_steps: the time limit.

    Returns:
        A score for each seed, in their order.

    Raises:
        ConfigError: no seeds, fewer than one worker, or a policy that cannot be sent to a process.
        WorkerError: a process died, or stopped answering.
        BundleError: no world model, or a damaged one.
        ActionError: the policy's action is of the wrong shape, not finite or out of range.
    """
    return drive_tracks(
        [policy],
        [(0, seed) for seed in seeds],
        workers=workers,
        world_model=world_model,
        latent=latent,
        exact_drawing=exact_drawing,
        max_episode_steps=max_episode_steps,
    )


def look(policy: Policy, seeds: Sequence[int], *, workers: int, world_model: Path | str | None) -> list[float]:
    """Returns on real tracks that something is chosen by.

    z's noise is other than in :func:`evaluate_real`, so that what was chosen for luck with the noise does not have the
    same luck again where it is scored.

    Args:
        policy: as in :func:`evaluate_real`, and so on.
        seeds: of the tracks.
        workers: processes driving at once.
        world_model: a bundle's folder, or None for the one that :meth:`WorldModel.load` finds.

    Raises:
        WorkerError: a process died, or stopped answering.
    """
    tasks = [(0, seed) for seed in seeds]
    drives = drive_tracks([policy], tasks, workers=workers, world_model=world_model, noise=_LOOK)
    return [drive.score for drive in drives]


def drive_tracks(
    policies: Sequence[Policy],
    tasks: Sequence[Task],
    *,
    workers: int = 2,
    world_model: WorldModel | Path | str | None = None,
    latent: str = "sample",
    exact_drawing: bool = True,
    max_episode_steps: int = 1000,
    noise: int = 0,
    on_episode: Callable[[Task, EpisodeScore], None] | None = None,
) -> list[EpisodeScore]:
    """Drive real tracks with several policies; see :func:`evaluate_real`.

    Args:
        policies: what drives.
        tasks: pairs of a policy, by its place in ``policies``, and a track's seed.
        workers: as in :func:`evaluate_real`, and so on.
        world_model: the world model.
        latent: ``"sample"`` or ``"mean"``.
        exact_drawing: draw with the exact fast drawing.
        max_episode_steps: the time limit.
        noise: as in :func:`drive_real`.
        on_episode: called after each drive, in the order in which they end.

    Returns:
        A score for each task, in their order.
    """
    if not len(tasks):
        raise ConfigError("seeds: expected at least one, got none")
    if workers < 1:
        raise ConfigError(f"workers: expected a positive number, got {workers}")
    world = world_model if isinstance(world_model, WorldModel) else WorldModel.load(world_model)
    job = Job(drive_real, policies, world, latent, exact_drawing, max_episode_steps, noise)
    scores: dict[int, EpisodeScore] = {}
    total = len(tasks) * max_episode_steps
    with tqdm(total=total, unit="frame", unit_scale=True, desc="drive", mininterval=2) as bar:

        def finished(index: int, score: EpisodeScore) -> None:
            scores[index] = score
            bar.update(max_episode_steps - score.length)  # frames that need not be driven any more
            mean = np.mean([done.score for done in scores.values()])
            bar.set_postfix_str(f"{len(scores)}/{len(tasks)} tracks, mean {mean:.0f}", refresh=False)
            if on_episode is not None:
                on_episode(tasks[index], score)

        if min(workers, len(tasks)) == 1:
            with one_thread_for_long():
                for index, task in enumerate(tasks):
                    finished(index, job(task, bar.update))
        else:
            drive_in_processes(job, tasks, min(workers, len(tasks)), bar.update, finished)
    return [scores[index] for index in range(len(tasks))]
