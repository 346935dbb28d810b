"""Real drives that M has never seen, recorded once and encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dreamgym.controller_driver import ControllerDriver
from dreamgym.episodes import Episode, read_episode, write_episode
from dreamgym.real.collect import drive
from dreamgym.real.drivers import Driver, OrnsteinUhlenbeck, SmoothRandom, TrackFollower, WildFollower
from dreamgym.world_model import LATENT_LIMIT, WorldModel

__all__ = ["Racer", "SeenEpisode", "StraightOn", "encode", "held_out_drivers", "record_drives"]


class StraightOn:
    """Full gas, straight off the playfield: the one sure way to see an episode end without a lap."""

    def reset(self, env: object, rng: np.random.Generator) -> None:
        """See :class:`~dreamgym.real.drivers.Driver`."""

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`~dreamgym.real.drivers.Driver`."""
        return np.array([0.0, 1.0, 0.0], np.float32)


class Racer(TrackFollower):
    """A follower that knows the track and takes it as fast as it can be taken, or a little faster."""

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """See :class:`~dreamgym.real.drivers.Driver`."""
        super().reset(env, rng)
        self._top_speed, self._grip = 150.0, rng.uniform(1.3, 2.2)
        self._lookahead, self._steer_gain, self._damping, self._offset = 4.0, 2.5, 0.2, 0.0
        self._noise = OrnsteinUhlenbeck(rng, np.full(3, 0.1), np.zeros(3))


def held_out_drivers(bundle: Path) -> dict[str, Callable[[], Driver]]:
    """Factories of the drivers, by the names that the drives are filed under."""
    return {
        "controller": lambda: ControllerDriver(bundle, action_noise=(0.0, 0.1)),
        "follower": TrackFollower,
        "wild_follower": WildFollower,
        "smooth_random": SmoothRandom,
        "straight_on": StraightOn,
    }


def record_drives(
    folder: Path, drivers: Mapping[str, Callable[[], Driver]], seeds: Sequence[int], *, length: int = 1000
) -> list[Episode]:
    """Drive every track with every driver, but for the drives that are in the folder already.

    Args:
        folder: of the episodes, a shard each.
        drivers: factories by name.
        seeds: of the tracks, and of the drivers' choices.
        length: time limit, frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, seed in tqdm([(name, seed) for name in drivers for seed in seeds], desc="record", unit="drive"):
        path = folder / f"episode-{name}-{seed}.npz"
        if not path.exists():
            write_episode(path, drive(drivers[name](), seed, length, driver_name=name))
        found.append(read_episode(path))
    return found


@dataclass(frozen=True)
class SeenEpisode:
    """A real episode and what V makes of it; T actions, T + 1 frames and latents."""

    episode: Episode
    z: Tensor
    """Drawn from V's posterior as in use, (T + 1, Z)."""
    other_z: Tensor
    """Drawn again: how far apart two looks at one frame are, (T + 1, Z)."""

    @property
    def actions(self) -> Tensor:
        """(T, A)."""
        return torch.from_numpy(self.episode.actions)

    @property
    def left_world(self) -> Tensor:
        """1 in a step that ended the episode without a lap, (T,)."""
        flags = torch.zeros(len(self.episode))
        flags[-1] = float(self.episode.terminated and not self.episode.lap_finished)
        return flags


@torch.no_grad()
def encode(world: WorldModel, episodes: Sequence[Episode], seed: int) -> list[SeenEpisode]:
    """What V sees of the episodes, with noise from ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    seen = []
    for episode in episodes:
        parts = [world.vision.encode(to_images(frames)) for frames in np.array_split(episode.frames, _parts(episode))]
        mean = torch.cat([part[0] for part in parts])
        sigma = torch.exp(0.5 * torch.cat([part[1] for part in parts])) * world.latent_noise
        draws = [
            (mean + sigma * torch.randn(mean.shape, generator=generator)).clamp(-LATENT_LIMIT, LATENT_LIMIT)
            for _ in range(2)
        ]
        seen.append(SeenEpisode(episode, *draws))
    return seen


def _parts(episode: Episode) -> int:
    return -(-len(episode.frames) // 128)


def to_images(frames: NDArray[np.uint8]) -> Tensor:
    """Frames as V takes them: uint8 (B, 64, 64, 3) -> float32 (B, 3, 64, 64) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).contiguous().float().div_(255.0)
