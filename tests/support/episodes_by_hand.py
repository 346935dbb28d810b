"""Scores and episodes made by hand, and episodes that happen exactly as M says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dreamgym.data.episodes import Episode
from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.fidelity.held_out import SeenEpisode
from dreamgym.memory.mixture import common_noise, sample_mixture
from dreamgym.world_model import WorldModel


def score(value: float, seed: int = 0, window: float = 100.0, lap: int | None = None) -> EpisodeScore:
    return EpisodeScore(seed, value, lap or 1000, lap is not None, False, 0.5, 280.0, (value,), window)


def make_episode(steps: int, seed: int = 0, **changes: Any) -> Episode:
    rng = np.random.default_rng(seed)
    fields = {
        "frames": rng.integers(0, 256, (steps + 1, 64, 64, 3), dtype=np.uint8),
        "actions": rng.uniform([-1, 0, 0], 1, (steps, 3)).astype(np.float32),
        "rewards": np.where(rng.random(steps) < 0.3, 9.9, -0.1).astype(np.float32),  # of 100 tiles
        "terminated": False,
        "truncated": True,
        "complete": False,
        "total_units": 100,
        "seed": seed,
        "player": "follower",
    }
    return Episode(**{**fields, **changes})


def seen_by(world: WorldModel, steps: int, seed: int = 0) -> SeenEpisode:
    """An episode that happens exactly as M says, latents and all."""
    episode = make_episode(steps, seed)
    generator = torch.Generator().manual_seed(seed)
    actions = torch.from_numpy(episode.actions)
    state, z, latents = world.memory.initial_state(1), world.starts.z[:1], [world.starts.z[:1]]
    for action in actions:
        state = world.memory.step(z, action[None], state)
        prediction = world.memory.predict(state.h)
        uniform = torch.rand(z.shape, generator=generator)
        normal = torch.randn(1, z.shape[1] + world.memory.factors, generator=generator)
        z = sample_mixture(prediction.mixture, torch.ones(1, 1), uniform, common_noise(normal, prediction.loadings))
        latents.append(z)
    return SeenEpisode(episode, torch.cat(latents), torch.cat(latents), world.rewards)
