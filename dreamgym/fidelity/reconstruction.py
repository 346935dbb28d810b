"""What V keeps of real frames, and the frames of which it keeps least."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.fidelity.held_out import SeenEpisode
from dreamgym.training import save_png
from dreamgym.vision.train import reconstruction_sheet, to_images
from dreamgym.world_model import WorldModel

__all__ = ["reconstruction", "save_worst_frames"]

EVERY: Final = 16
"""Every so many frames one is looked at: its neighbours hardly differ."""
MOVING: Final = 0.15
"""A pixel moves where it differs by more than this from the frame before, of 1: above what noise and V's blur do."""
WORST: Final = 20
APART: Final = 25
"""Frames between two of the worst of an episode, so that they are not one moment."""
LEAST_VARIANCE: Final = 1e-10
"""Of a value, in squares of 1: frames of less are alike, but for rounding."""
_CPU: Final = torch.device("cpu")


class _Frames(NamedTuple):
    """N frames with what V makes of them."""

    image: Tensor
    """(N, 3, 64, 64) in [0, 1]."""
    error: Tensor
    """Squared error of each value of the reconstruction, of the same shape."""
    moving: Tensor
    """Whether the pixel moved since the frame before, bool (N, 1, 64, 64)."""


@torch.no_grad()
def reconstruction(world_model: WorldModel, seen: Sequence[SeenEpisode]) -> dict[str, Any]:
    """Shares of the frames' variance that survive V, and the worst frames.

    Returns:
        ``explained``: 1 - squared error / variance around the mean frame, None where all frames are alike;
        ``explained_moving``: the same of pixels that moved, None where none did; ``worst``: player, seed, frame and
        squared error a frame, worst first.
    """
    parts, places = [], []
    for played in seen:
        picked = np.arange(1, len(played.episode.frames), EVERY)
        parts.append(_reconstructed(world_model, played, picked))
        places += [(played.episode, int(frame)) for frame in picked]
    image, error, moving = (torch.cat(column) for column in zip(*parts, strict=True))
    spread = (image - image.mean(dim=0)).square()
    each = error.sum(dim=(1, 2, 3))
    worst: list[dict[str, Any]] = []
    for index in each.argsort(descending=True).tolist():
        episode, frame = places[index]
        entry = {"player": episode.player, "seed": episode.seed, "frame": frame, "error": float(each[index])}
        if len(worst) < WORST and all(_apart(entry, other) for other in worst):
            worst.append(entry)
    varied, moved = float(spread.sum()), float((spread * moving).sum())
    return {
        "frames": len(image),
        "explained": 1.0 - float(error.sum()) / varied if varied > LEAST_VARIANCE * spread.numel() else None,
        "explained_moving": 1.0 - float((error * moving).sum()) / moved if moved > 0 else None,
        "worst": worst,
    }


def _reconstructed(world_model: WorldModel, played: SeenEpisode, picked: NDArray[np.int64]) -> _Frames:
    frames = played.episode.frames
    image, before = to_images(frames[picked], _CPU), to_images(frames[picked - 1], _CPU)
    moving = (image - before).abs().amax(dim=1, keepdim=True) > MOVING
    decoded = torch.cat([world_model.vision.decode(z) for z in played.z[picked].split(128)])
    return _Frames(image, (decoded - image).square(), moving)


def _apart(first: dict[str, Any], second: dict[str, Any]) -> bool:
    same = (first["player"], first["seed"]) == (second["player"], second["seed"])
    return not same or abs(first["frame"] - second["frame"]) >= APART


def save_worst_frames(path: Path, world_model: WorldModel, seen: Sequence[SeenEpisode], found: dict[str, Any]) -> None:
    """Write a picture of the worst frames above their reconstructions."""
    frames = {(each.episode.player, each.episode.seed): each.episode.frames for each in seen}
    worst = np.stack([frames[entry["player"], entry["seed"]][entry["frame"]] for entry in found["worst"]])
    save_png(path, reconstruction_sheet(world_model.vision, worst, _CPU), scale=2)
