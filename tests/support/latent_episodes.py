"""Encoded episodes made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamgym.data.latents import LatentEpisode
from dreamgym.memory.trainee import Trainee
from dreamgym.worlds.base import ModelSizes
from dreamgym.worlds.registry import find

STUCK_FROM, LENGTH = 120, 300


def toy_latents() -> LatentEpisode:
    """A unit every fifth frame until frame 120 and none from there on; a sharp bend in frames 60 to 110."""
    frames = np.arange(LENGTH)
    motion = np.tile(np.array([1.2, 0.1, 0.0, 0.0], np.float32), (LENGTH + 1, 1))
    motion[60:110, 2] = 3.0  # rad/s
    return LatentEpisode(
        path=Path("x"),
        mean=np.zeros((LENGTH + 1, 4), np.float16),
        log_variance=np.zeros((LENGTH + 1, 4), np.float16),
        actions=np.zeros((LENGTH, 3), np.float32),
        progress=((frames % 5 == 0) & (frames < STUCK_FROM)).astype(np.float32),
        failed=False,
        total_units=250,
        labels={"motion": motion},
    )


def trainee() -> Trainee:
    return Trainee(find(), ModelSizes(latents=2, hidden_units=4))


def toy_episode(length: int, offset: float) -> LatentEpisode:
    steps = np.arange(length + 1, dtype=np.float32)
    return LatentEpisode(
        path=Path("x"),
        mean=np.stack([np.full(length + 1, offset), steps], axis=1).astype(np.float16) / 64,
        log_variance=np.full((length + 1, 2), -np.inf, np.float16),
        actions=np.repeat(steps[:-1, None], 3, axis=1),
        progress=steps[:-1],
        failed=True,
        total_units=250,
    )
