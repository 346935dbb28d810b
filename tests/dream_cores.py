"""Batched dreams, how the tests drive them, and the sizes of toy models that they are tried with."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.world_model import WorldModel

SIZES = [{}, {"latent_size": 5, "hidden_size": 7, "mixtures": 2}, {"latent_size": 6, "hidden_size": 10, "mixtures": 1}]


def drive(seeds: Tensor, frame: int) -> Tensor:
    """Actions that depend on the row's seed and the frame alone, float32 (B, 3)."""
    phase = ((seeds[:, None] * 7 + torch.arange(3) * 3 + frame) % 11).float() / 11
    return torch.stack([2 * phase[:, 0] - 1, phase[:, 1], phase[:, 2]], dim=1)


def started(world_model: WorldModel, count: int, **options: object) -> DreamCore:
    """A dream of ``count`` rows, reset with the seeds 0, 1, ..."""
    core = DreamCore(world_model, count, **options)  # type: ignore[arg-type]
    core.reset(seeds=torch.arange(count))
    return core


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether two saved states are equal to the bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
