"""One dream a step at a time with NumPy, on the core's own tensors: a third of the core's time, equal up to rounding.

The core pays for each of its sixty operations what torch charges for a call. Here are vectors instead of rows and
NumPy's cheaper calls. The noise is the core's to the bit, so a step agrees with the core's to 1e-5. Over many steps the
two part as any two roundings of a recurrent network do, at once where a component of the mixture, or an end, hangs on
the last bit of a number.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.dream.core import DreamCore
from dreamgym.dream.kernel import gate_weight, head_weight
from dreamgym.errors import ConfigError
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from dreamgym.world_model import LATENT_LIMIT

__all__ = ["FastStep", "FastStepper"]

_STEPS_OF_NOISE: Final = 64

Vector = NDArray[np.float32]


class FastStep(NamedTuple):
    """What a step gave; as :class:`~dreamgym.dream.core.DreamStep`, of one row."""

    reward: float
    terminated: bool
    lap_finished: bool


class FastStepper:
    """Steps a core of one row in its place; everything else (resets, temperatures, saved states) stays the core's.

    Args:
        core: of one row, float32, on the CPU, without a time limit.

    Raises:
        ConfigError: another core.
    """

    def __init__(self, core: DreamCore) -> None:
        kernel = core.kernel
        if core.num_envs != 1 or kernel.dtype is not torch.float32 or core.device.type != "cpu":
            raise ConfigError(
                f'fast=True is for precision="float32" and device="cpu"; got {kernel.precision!r}, {str(core.device)!r}'
            )
        self.core = core
        memory = core.world_model.memory
        z, h, k = kernel.latent_size, kernel.hidden_size, kernel.mixtures
        with torch.no_grad():
            i, f, g, o = gate_weight(memory).cpu().numpy().reshape(4, h, -1)
            # A sigmoid is (1 + tanh(x / 2)) / 2, so one tanh does for all; gate_weight holds -2 times g's.
            self._gate_weight: Vector = np.concatenate([0.5 * i, 0.5 * f, 0.5 * o, -0.5 * g])
            self._head_weight: Vector = head_weight(memory).cpu().numpy().copy()
        self._gates = np.empty(4 * h, np.float32)
        self._sigmoids = self._gates[: 3 * h]
        self._i, self._f, self._o, self._g = np.split(self._gates, 4)
        self._next_c, self._hidden = np.empty(h, np.float32), np.ones(h + 1, np.float32)
        self._next_h = self._hidden[:h]
        self._said = np.empty(3 * k * z + 2, np.float32)
        self._products = [torch.from_numpy(self._said)[None]]
        self._elapsed = core._elapsed.numpy()
        self._logits = self._said[: k * z].reshape(k, z)
        self._means, self._log_sigmas = self._said[k * z : -2].reshape(2, k * z)
        self._lanes, self._latents = np.arange(z), z
        self._lap_units = core.world_model.lap_units
        self._temper = -1, np.float32(1.0), np.float32(1.0)  # of which version: 1 / temperature, and its root
        self._noise: list[tuple[Vector, Vector, float]] = []  # of the steps to come, the next one last
        self._noise_of = -1  # which keys it was drawn with
        self._sides = [tuple(part.numpy()[0:1].reshape(-1) for part in side) for side in core._sides]

    def __reduce__(self) -> tuple[type[FastStepper], tuple[DreamCore]]:
        return FastStepper, (self.core,)  # its arrays are views of the core's tensors

    def step(self, action: Vector) -> FastStep:
        """Advance by one frame.

        Args:
            action: the executed one, float32 of shape (A,), in the world's range.

        Raises:
            ResetNeededError: before the first reset.
            DivergedError: a number is no longer finite; nothing has advanced.
        """
        core, size = self.core, self._latents
        core._require_started(None)
        row, c, progress = self._sides[core._now]
        row[-len(action) :] = action
        uniform, normal, end = self._next_noise()
        self._advance(row, c)
        z = self._draw(uniform, normal)
        widest = np.maximum.reduce(np.absolute(z)).item()  # NaN if there is one
        units, logit = self._said[-2:].tolist()
        before = progress.item()
        after = min(before + _softplus(units) / self._lap_units, 1.0)
        sound = not math.isnan(widest) and math.isfinite(after + logit)
        core.mark_diverged(None if sound else torch.tensor([True]))
        if widest > LATENT_LIMIT:
            core.clamped += int(np.count_nonzero(np.absolute(z) > LATENT_LIMIT))
            z = np.clip(z, -LATENT_LIMIT, LATENT_LIMIT)
        row[:size], row[size : size + len(c)], c[:], progress[0] = z, self._next_h, self._next_c, after
        self._elapsed[0] += 1
        core.products = self._products
        self._noise.pop()
        if logit > end:
            return FastStep(core.world.leaving_reward, True, False)
        finished = after >= 1.0
        return FastStep(core.world.lap_reward * (after - before) + core.world.frame_cost, finished, finished)

    def _advance(self, row: Vector, c: Vector) -> None:
        """The LSTM and the heads, into the buffers."""
        np.tanh(np.dot(self._gate_weight, row, out=self._gates), out=self._gates)
        np.multiply(np.add(self._sigmoids, 1.0, out=self._sigmoids), 0.5, out=self._sigmoids)
        np.multiply(self._f, c, out=self._next_c)
        np.add(self._next_c, np.multiply(self._i, self._g, out=self._i), out=self._next_c)
        np.multiply(np.tanh(self._next_c, out=self._next_h), self._o, out=self._next_h)
        np.dot(self._head_weight, self._hidden, out=self._said)

    def _draw(self, uniform: Vector, normal: Vector) -> Vector:
        """z from the mixture at the present temperature, (Z,)."""
        version = self.core._temperature._version
        if self._temper[0] != version:
            coldness, warmth = self.core.kernel.tempers(self.core.temperature)
            self._temper = version, np.float32(coldness.item()), np.float32(warmth.item())
        _, cold, warm = self._temper
        weights = np.multiply(self._logits, cold)
        weights -= np.maximum.reduce(weights, axis=0)
        cumulative = np.add.accumulate(np.exp(weights, out=weights), axis=0)
        chosen = np.add.reduce(cumulative[:-1] <= uniform * cumulative[-1], axis=0)  # component of each latent
        chosen *= self._latents
        chosen += self._lanes
        sigma = np.minimum(np.maximum(self._log_sigmas[chosen], LOG_SIGMA_MIN), LOG_SIGMA_MAX)
        np.multiply(np.exp(sigma, out=sigma), warm, out=sigma)
        drawn: Vector = self._means[chosen]
        drawn += np.multiply(sigma, normal, out=sigma)
        return drawn

    def _next_noise(self) -> tuple[Vector, Vector, float]:
        core = self.core
        if not self._noise or self._noise_of != core.streams:
            elapsed = core._elapsed[:1] + torch.arange(_STEPS_OF_NOISE - 1, -1, -1)
            uniform, normal, end = core.kernel.noise(core._keys[:1].repeat(_STEPS_OF_NOISE, 1), elapsed)
            self._noise = list(zip(uniform.numpy(), normal.numpy(), end.tolist(), strict=True))
            self._noise_of = core.streams
        return self._noise[-1]


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))
