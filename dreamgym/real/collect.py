"""Recording real drives, in worker processes.

Episode i of a collection is a pure function of the configuration and i (its track, driver, length and every random
choice), so workers share nothing and a collection that was cut off goes on where it stopped.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from dreamgym.config import CollectConfig, claim_folder
from dreamgym.episodes import Episode, episode_paths, write_episode
from dreamgym.errors import ConfigError, WorkerError
from dreamgym.real.aimless import (
    AimlessFollower,
    CirclingFollower,
    LeavingFollower,
    ParkingFollower,
    StrayingAgent,
    TurningFollower,
)
from dreamgym.real.drivers import (
    Driver,
    JitteryFollower,
    RandomAgent,
    RecklessFollower,
    SmoothRandom,
    TrackFollower,
    WildFollower,
)
from dreamgym.real.missed import TileWatch
from dreamgym.real.preprocess import preprocess
from dreamgym.real.world import make_real, motion, recorded_versions
from dreamgym.seeds import COLLECTION_SEEDS, refuse_test_seeds

__all__ = ["DRIVERS", "DriverFactory", "collect", "drive", "plan"]

DriverFactory = Callable[[], Driver]

DRIVERS: Final[dict[str, DriverFactory]] = {
    "smooth_random": SmoothRandom,
    "random_agent": RandomAgent,
    "follower": TrackFollower,
    "wild_follower": WildFollower,
    "jittery_follower": JitteryFollower,
    "reckless_follower": RecklessFollower,
    "aimless_follower": AimlessFollower,
    "leaving_follower": LeavingFollower,
    "circling_follower": CirclingFollower,
    "parking_follower": ParkingFollower,
    "straying_agent": StrayingAgent,
    "turning_follower": TurningFollower,
}
"""Drivers by the names that a collection's mix uses."""

_EPISODES_A_SEED = 1_000_000


@dataclass(frozen=True)
class PlannedEpisode:
    """One entry of a collection's plan."""

    index: int
    seed: int
    driver: str
    length: int

    @property
    def file_name(self) -> str:
        """The shard's name."""
        return f"episode-{self.index:06d}.npz"


def plan(config: CollectConfig) -> Iterator[PlannedEpisode]:
    """The episodes of a collection, in order, until their lengths add up to the frames asked for."""
    names = sorted(name for name, share in config.mix.items() if share > 0)
    shares = np.array([config.mix[name] for name in names])
    first_seed = COLLECTION_SEEDS.start + config.seed * _EPISODES_A_SEED
    planned = 0
    for index in itertools.count():
        if planned >= config.frames:
            return
        rng = np.random.default_rng([config.seed, index])
        length = min(int(rng.choice(config.lengths)), max(config.frames - planned, 50))
        yield PlannedEpisode(index, first_seed + index, str(rng.choice(names, p=shares / shares.sum())), length)
        planned += length


def drive(driver: Driver, seed: int, length: int, *, driver_name: str = "", patience: int | None = None) -> Episode:
    """Drive one real episode and record it.

    Args:
        driver: chooses the actions.
        seed: of the track.
        length: time limit, frames.
        driver_name: recorded with the episode.
        patience: truncate after so many frames without a new tile; None for never.
    """
    env = make_real(max_episode_steps=length)
    try:
        observation, _ = env.reset(seed=seed)
        world = env.unwrapped
        driver.reset(world, np.random.default_rng([seed, 1]))
        frames, actions, rewards, motions = [preprocess(observation)], [], [], [motion(env)]
        watch = TileWatch(env)
        terminated = truncated = False
        since_progress = 0
        info: dict[str, object] = {}
        while not (terminated or truncated):
            action = driver.act(frames[-1])
            observation, reward, terminated, truncated, info = env.step(action)
            frames.append(preprocess(observation))
            actions.append(action)
            rewards.append(reward)
            motions.append(motion(env))
            watch.look()
            since_progress = 0 if float(reward) > 0 else since_progress + 1
            truncated = truncated or since_progress == patience
        return Episode(
            frames=np.stack(frames),
            actions=np.stack(actions).astype(np.float32),
            rewards=np.array(rewards, np.float32),
            terminated=terminated,
            truncated=truncated,
            lap_finished=bool(info.get("lap_finished", False)),
            lap_units=len(world.track),  # type: ignore[attr-defined]
            seed=seed,
            driver=driver_name,
            versions=recorded_versions(),
            motion=np.stack(motions),
            missed=watch.missed(),
        )
    finally:
        env.close()


_factories: Mapping[str, DriverFactory] = {}


def _initialize_worker(factories: Mapping[str, DriverFactory]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_follow_parent, daemon=True).start()
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    global _factories
    _factories = factories


def _follow_parent() -> None:
    """End with the parent, even one that was killed: a worker waiting for work would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _record(planned: PlannedEpisode, folder: Path, patience: int | None) -> tuple[int, float]:
    """Drive and write one planned episode; its length and return."""
    driver = _factories[planned.driver]()
    episode = drive(driver, planned.seed, planned.length, driver_name=planned.driver, patience=patience)
    write_episode(folder / planned.file_name, episode)
    return len(episode), float(episode.rewards.sum())


def collect(config: CollectConfig, factories: Mapping[str, DriverFactory] | None = None) -> Path:
    """Record the episodes of a plan that are not there yet.

    Args:
        config: what to record.
        factories: further drivers by name; each must be picklable, since workers are processes of their own.

    Returns:
        The folder of the episodes.

    Raises:
        ConfigError: a driver in the mix is unknown.
        WorkerError: a worker process died.
    """
    known = {**DRIVERS, **(factories or {})}
    unknown = sorted({name for name, share in config.mix.items() if share > 0} - set(known))
    if unknown:
        raise ConfigError(f"mix: unknown drivers {unknown}; there are {sorted(known)}")
    claim_folder(config.out, config, may_differ=("workers",))
    todo = list(plan(config))
    refuse_test_seeds((planned.seed for planned in todo), "collection")
    present = {path.name for path in episode_paths(config.out)}
    missing = [planned for planned in todo if planned.file_name not in present]
    total = sum(planned.length for planned in todo)
    done = total - sum(planned.length for planned in missing)
    with tqdm(total=total, initial=done, unit="frame", unit_scale=True, desc="collect", mininterval=2) as bar:
        for length in _record_all(missing, known, config):
            bar.update(length)
    return config.out


def _record_all(
    missing: list[PlannedEpisode], factories: Mapping[str, DriverFactory], config: CollectConfig
) -> Iterator[int]:
    if not missing:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # inherited by workers, which must not each spin on all cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    queue = iter(missing)
    with ProcessPoolExecutor(
        config.workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_initialize_worker,
        initargs=(factories,),
        max_tasks_per_child=200,  # Box2D leaks a little at every reset
    ) as pool:
        running: set[Future[tuple[int, float]]] = set()
        try:
            while True:
                for planned in itertools.islice(queue, 2 * config.workers - len(running)):
                    running.add(pool.submit(_record, planned, config.out, config.patience))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()[0]
        except BrokenProcessPool as error:
            raise WorkerError("a recording process died; run the same command again to go on") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
