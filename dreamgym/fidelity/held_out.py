"""Real episodes that M has never seen, recorded once and encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dreamgym.collect.collect import record_episode
from dreamgym.collect.controller_player import ControllerPlayer
from dreamgym.data.episodes import Episode, read_episode, write_episode
from dreamgym.memory.mdn_rnn import LATENT_LIMIT
from dreamgym.vision.train import to_images
from dreamgym.vision.vae import sample_posterior
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import Player, RewardRule, World
from dreamgym.worlds.recording import LONGEST

__all__ = ["CONTROLLER", "SeenEpisode", "encode", "held_out_players", "record_episodes"]

CONTROLLER: Final = "controller"
"""The name under which the bundle's own controller plays."""
_FRAMES_AT_ONCE: Final = 128
_CPU: Final = torch.device("cpu")


def held_out_players(bundle: Path, world: World) -> dict[str, Callable[[], Player]]:
    """Factories of the players whose episodes predictions are held against, by name."""
    names = world.fidelity.players or tuple(world.players)
    players = {name: world.players[name] for name in names}
    return {CONTROLLER: lambda: ControllerPlayer(bundle, action_noise=(0.0, 0.1)), **players}


def record_episodes(
    folder: Path,
    players: Mapping[str, Callable[[], Player]],
    seeds: Sequence[int],
    *,
    length: int,
    world: World | None = None,
) -> list[Episode]:
    """Record every seed with every player, unless it is there already.

    Args:
        folder: of the episodes, a shard each.
        players: factories by name.
        seeds: of the environment, and of the players' choices.
        length: time limit, steps.
        world: which one; the default one when None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, seed in tqdm([(name, seed) for name in players for seed in seeds], desc="record", unit="episode"):
        path = folder / f"episode-{name}-{seed}.npz"
        if not path.exists():
            write_episode(
                path, record_episode(players[name](), seed, min(length, LONGEST), player_name=name, world=world)
            )
        found.append(read_episode(path))
    return found


@dataclass(frozen=True)
class SeenEpisode:
    """A real episode and its latents.

    T actions, T + 1 frames and latents.
    """

    episode: Episode
    z: Tensor
    """Drawn from V's posterior as in use, (T + 1, Z)."""
    other_z: Tensor
    """Drawn again: how far apart two encodings of one frame are, (T + 1, Z)."""
    rule: RewardRule
    """What a step pays."""

    @property
    def actions(self) -> Tensor:
        """(T, A)."""
        return torch.from_numpy(self.episode.actions)

    @property
    def progress(self) -> NDArray[np.float32]:
        """What the reward head should have predicted of each step, (T,)."""
        return self.rule.units(self.episode.rewards, self.episode.total_units)

    @property
    def failed(self) -> Tensor:
        """1 in a step that ended the episode otherwise than by completing it, (T,)."""
        flags = torch.zeros(len(self.episode))
        flags[-1] = float(self.episode.failed)
        return flags


@torch.no_grad()
def encode(world_model: WorldModel, episodes: Sequence[Episode], seed: int) -> list[SeenEpisode]:
    """What V sees of the episodes, with noise from ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    seen = []
    for episode in episodes:
        parts = [
            world_model.vision.encode(to_images(episode.frames[first : first + _FRAMES_AT_ONCE], _CPU))
            for first in range(0, len(episode.frames), _FRAMES_AT_ONCE)
        ]
        mean, log_variance = (torch.cat(column) for column in zip(*parts, strict=True))
        noise = [world_model.latent_noise * torch.randn(mean.shape, generator=generator) for _ in range(2)]
        z, other = (sample_posterior(mean, log_variance, each).clamp(-LATENT_LIMIT, LATENT_LIMIT) for each in noise)
        seen.append(SeenEpisode(episode, z, other, world_model.rewards))
    return seen
