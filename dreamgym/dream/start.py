"""Where an episode of the dream begins: the start of a real one, somewhere in the bank, or a real frame."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import Tensor

from dreamgym.dream.noise import normals, row_keys, uniforms
from dreamgym.dream.options import start_candidates
from dreamgym.errors import ConfigError, ObservationError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT
from dreamgym.vision.vae import sample_posterior
from dreamgym.world_model import StartBank, WorldModel
from dreamgym.worlds.base import FRAME_SHAPE

__all__ = ["Start", "StartRequest", "new_streams", "require_rows", "start_noise", "start_state"]


class StartRequest(NamedTuple):
    """Where to begin, as asked for; see :meth:`dreamgym.dream.core.DreamCore.reset`."""

    start: str | int = "beginning"
    observation: Tensor | None = None
    state: tuple[Tensor, Tensor] | None = None
    progress: float | None = None


class Start(NamedTuple):
    """Where n rows begin, float32."""

    z: Tensor
    """(n, Z)."""
    h: Tensor
    """(n, H)."""
    c: Tensor
    """(n, H)."""
    progress: Tensor
    """(n,)."""


def new_streams(seed: Tensor, episode: Tensor, seeded: Tensor, seeds: Tensor | None) -> tuple[Tensor, Tensor]:
    """Each row's seed and episode number for the episode about to begin.

    int64 of shape (n,).

    Args:
        seed: before, int64 (n,).
        episode: before, int64 (n,).
        seeded: whether the row ever had a seed, bool (n,).
        seeds: new ones, int64 (n,), or None to go on.
    """
    if seeds is not None:
        return seeds.clone(), torch.zeros_like(episode)
    if seeded.all():
        return seed, episode + 1
    # Neither torch's nor NumPy's global generator is the dream's to advance.
    fresh = torch.frombuffer(bytearray(os.urandom(8 * len(seed))), dtype=torch.int64).to(seed.device)
    fresh = fresh & ((1 << 63) - 1)
    return torch.where(seeded, seed, fresh), torch.where(seeded, episode + 1, 0)


def start_noise(seed: Tensor, episode: Tensor, latent_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """A reset's noise: for the choice of the start, the temperature, and z.

    Uniform (n,), uniform (n,) and normal (n, Z).

    Draws are named -1, -2, ...; those of the steps count from 0 up.
    """
    pairs = (latent_size + 1) // 2
    counters = -torch.arange(1, 3 + 2 * pairs, dtype=torch.int32, device=seed.device)
    uniform = uniforms(row_keys(seed, episode), counters)
    return uniform[:, 0], uniform[:, 1], normals(uniform[:, 2:])[:, :latent_size]


def require_rows(request: StartRequest, num_envs: int) -> None:
    """Raise :class:`~dreamgym.errors.ObservationError` where frames or states are neither one nor one for each row."""
    batches = {"observation": (request.observation, 4)}
    if request.state is not None:
        batches |= {name: (part, 2) for name, part in zip("hc", request.state, strict=True)}
    for name, (value, batched) in batches.items():
        if value is not None and value.ndim == batched and len(value) != num_envs:
            raise ObservationError(
                f"{name}: expected one for all environments, or one for each of the {num_envs}, also for those that do "
                f"not begin; got {len(value)}"
            )


def start_state(
    request: StartRequest, bank: StartBank, world_model: WorldModel, rows: Tensor, choice: Tensor, normal: Tensor
) -> Start:
    """Where each row begins.

    Args:
        request: what was asked for.
        bank: the start states, on the dream's device.
        world_model: V and the card.
        rows: indices of the rows that begin, int64 (n,).
        choice: uniform, (n,).
        normal: standard normal, (n, Z).

    Raises:
        ConfigError: unknown start, or a progress outside [0, 1] or above the cap of the reward rule.
        ObservationError: a frame or state of another shape or type, or not finite.
    """
    count, device = len(rows), bank.z.device
    if request.observation is None:
        candidates = start_candidates(request.start, bank)
        chosen = candidates[(choice * len(candidates)).long()]
        z, h, c, progress = bank.z[chosen], bank.h[chosen], bank.c[chosen], bank.progress[chosen]
    else:
        mean, log_variance = _encode(world_model, request.observation, rows)
        noise = world_model.latent_noise * normal
        z = sample_posterior(mean.to(device), log_variance.to(device), noise).clamp(-LATENT_LIMIT, LATENT_LIMIT)
        h = torch.zeros(count, bank.h.shape[1], dtype=torch.float32, device=device)
        c, progress = torch.zeros_like(h), torch.zeros(count, dtype=torch.float32, device=device)
    if request.state is not None:
        h, c = (_hidden(part, name, bank.h.shape[1], rows) for part, name in zip(request.state, "hc", strict=True))
    if request.progress is not None:
        cap = world_model.rewards.cap
        most = 1.0 if cap is None else min(cap, 1.0)  # beyond it there is nothing to be paid for
        if not 0.0 <= request.progress <= most:
            raise ConfigError(f"progress is the share of an episode made, in [0, {most:g}]; got {request.progress!r}")
        progress = torch.full((count,), float(request.progress), dtype=torch.float32, device=device)
    return Start(z, h, c, progress)


def _encode(world_model: WorldModel, frames: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """V's posterior of one frame, (1, Z), or of one for each row, (n, Z)."""
    if frames.dtype != torch.uint8 or frames.shape[-3:] != FRAME_SHAPE or frames.ndim not in (3, 4):
        raise ObservationError(
            f"expected a preprocessed frame, uint8 of shape {FRAME_SHAPE}; got {frames.dtype} of {tuple(frames.shape)}"
        )
    if frames.ndim == 4:
        frames = frames[rows.to(frames.device)]
    vision = world_model.vision
    images = frames.reshape(-1, *FRAME_SHAPE).permute(0, 3, 1, 2).contiguous().to(vision.mean.weight.device)
    # One frame at a time, so that no row can depend on how many there are.
    encoded = [vision.encode(image[None].float() / 255.0) for image in images]
    means, log_variances = zip(*encoded, strict=True)
    return torch.cat(means), torch.cat(log_variances)


def _hidden(value: Tensor, name: str, size: int, rows: Tensor) -> Tensor:
    """M's h or c for each row, (n, H), from one for all or one for each."""
    if value.shape[-1:] != (size,) or value.ndim not in (1, 2) or not value.is_floating_point():
        raise ObservationError(
            f"expected {name} as float of shape ({size},); got {value.dtype} of {tuple(value.shape)}"
        )
    if not torch.isfinite(value).all() or (name == "h" and value.abs().max() > 1.0):
        raise ObservationError(f"expected a finite {name}{' within +-1' if name == 'h' else ''}; got {value}")
    value = value.to(rows.device, torch.float32)
    return value.expand(len(rows), size) if value.ndim == 1 else value[rows]
