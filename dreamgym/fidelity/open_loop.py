"""How fast an open-loop dream drifts from the real episode that it left: error against horizon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamgym.fidelity.held_out import SeenEpisode
from dreamgym.memory.imagine import dream_step
from dreamgym.vision.train import to_images
from dreamgym.world_model import WorldModel

__all__ = ["BURN_IN", "PIXEL_HORIZONS", "Windows", "cut_windows", "dream_on", "open_loop"]

BURN_IN = 30
"""Real frames that M follows before it dreams."""

PIXEL_HORIZONS = (1, 2, 5, 10, 20, 35, 50, 75, 100)
"""Steps at which pictures are compared."""


class Windows(NamedTuple):
    """W pieces of real episodes: ``BURN_IN`` + K steps, entry t before action t."""

    z: Tensor
    """(W, BURN_IN + K + 1, Z)."""
    other_z: Tensor
    """The same frames encoded with other noise."""
    action: Tensor
    """(W, BURN_IN + K, A)."""
    progress: Tensor
    """New units in each step, (W, BURN_IN + K)."""
    frames: Tensor
    """uint8 (W, BURN_IN + K + 1, 64, 64, 3)."""


def cut_windows(seen: Sequence[SeenEpisode], horizon: int, *, every: int = 100) -> Windows:
    """Windows that begin every so many frames.

    As many as the episodes hold; W may be 0.
    """
    length = BURN_IN + horizon
    parts = []
    for each in seen:
        episode = each.episode
        progress, frames = torch.from_numpy(each.progress), torch.from_numpy(episode.frames)
        for first in range(0, len(episode) - length + 1, every):
            steps, moments = slice(first, first + length), slice(first, first + length + 1)
            drawn = each.z[moments], each.other_z[moments]
            parts.append((*drawn, each.actions[steps], progress[steps], frames[moments]))
    return Windows(*(torch.stack(column) for column in zip(*parts, strict=True))) if parts else _no_windows()


def _no_windows() -> Windows:
    nothing = torch.zeros(0)
    return Windows(nothing, nothing, nothing, nothing, nothing)


@torch.no_grad()
def dream_on(world_model: WorldModel, windows: Windows, temperature: float, seed: int) -> tuple[Tensor, Tensor]:
    """Follow the real episode for ``BURN_IN`` steps, then dream with its actions.

    Returns:
        Latents after 1 ... K dreamed steps (W, K, Z), and the units of progress that M pays in each (W, K).
    """
    memory, generator = world_model.memory, torch.Generator().manual_seed(seed)
    _, state = memory(windows.z[:, :BURN_IN], windows.action[:, :BURN_IN])
    z = windows.z[:, BURN_IN]
    latents, progress = [], []
    for action in windows.action[:, BURN_IN:].unbind(1):
        z, state, prediction = dream_step(memory, z, action, state, temperature, generator)
        latents.append(z)
        progress.append(world_model.rewards.counted(prediction.reward))
    return torch.stack(latents, dim=1), torch.stack(progress, dim=1)


def open_loop(
    world_model: WorldModel, seen: Sequence[SeenEpisode], temperature: float, *, horizon: int = 100, seed: int = 0
) -> dict[str, Any]:
    """Error curves of the dream, and of what it must beat.

    Latents are compared by their root mean square difference over windows and latents, pictures in the same way in grey
    levels (0 to 255), progress by the mean absolute difference of the units made so far. ``hold`` keeps the last real
    frame; ``other`` is the real frame of another window: a dream that has forgotten everything but what the world looks
    like; ``vision`` is what V itself loses: the same frame looked at again, or its reconstruction.

    Returns:
        Lists over horizons for each curve, by quantity and name; ``windows`` is how many were averaged. Empty curves
        where no episode is long enough.
    """
    windows = cut_windows(seen, horizon)
    count = len(windows.z)
    if not count:
        return {"windows": 0, "temperature": temperature, "latent": {}, "pixel": {}, "progress": {}}
    dreamed, paid = dream_on(world_model, windows, temperature, seed)
    truth = windows.z[:, BURN_IN + 1 :]
    start = windows.z[:, BURN_IN : BURN_IN + 1]
    latent = {
        "dream": _rms(dreamed - truth),
        "hold": _rms(start - truth),
        "other": _rms(truth.roll(1, dims=0) - truth),
        "vision": _rms(windows.other_z[:, BURN_IN + 1 :] - truth),
    }
    made = windows.progress[:, BURN_IN:].cumsum(dim=1)
    rate = windows.progress[:, :BURN_IN].mean(dim=1, keepdim=True)
    steady = rate * torch.arange(1, horizon + 1)
    progress = {
        "dream": (paid.cumsum(dim=1) - made).abs().mean(dim=0).tolist(),
        "steady": (steady - made).abs().mean(dim=0).tolist(),
        "real": made.mean(dim=0).tolist(),
        "paid": paid.cumsum(dim=1).mean(dim=0).tolist(),
    }
    horizons = [step for step in PIXEL_HORIZONS if step <= horizon]
    return {
        "windows": count,
        "temperature": temperature,
        "horizons": list(range(1, horizon + 1)),
        "pixel_horizons": horizons,
        "latent": latent,
        "pixel": _pixel_errors(world_model, windows, dreamed, horizons),
        "progress": progress,
    }


def _rms(difference: Tensor) -> list[float]:
    """Root mean square over windows and latents, (W, K, Z) -> K numbers."""
    values: list[float] = difference.square().mean(dim=(0, 2)).sqrt().tolist()
    return values


@torch.no_grad()
def _pixel_errors(
    world_model: WorldModel, windows: Windows, dreamed: Tensor, horizons: list[int]
) -> dict[str, list[float]]:
    curves: dict[str, list[float]] = {"dream": [], "hold": [], "other": [], "vision": []}
    now = to_images(windows.frames[:, BURN_IN])
    for step in horizons:
        truth = to_images(windows.frames[:, BURN_IN + step])
        pictures = {
            "dream": world_model.vision.decode(dreamed[:, step - 1]),
            "hold": now,
            "other": truth.roll(1, dims=0),
            "vision": world_model.vision.decode(windows.z[:, BURN_IN + step]),
        }
        for name, picture in pictures.items():
            curves[name].append(float(255.0 * (picture - truth).square().mean().sqrt()))
    return curves
