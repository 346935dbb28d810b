"""One dream a step at a time with NumPy, on the core's own tensors: a quarter of the core's time, equal up to rounding.

The core pays for each of its sixty operations what torch charges for a call. Here are vectors instead of rows, NumPy's
cheaper calls, and as few of them as it takes, nearly all into buffers that are made once: two products take half of
the time. The noise is the core's to the bit, so a step agrees with the core's to 1e-5. Over many steps the two part as
any two roundings of a recurrent network do, at once where a component of the mixture, an end, or whether a step is paid
for hangs on the last bit of a number.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.dream.core import DreamCore
from dreamgym.dream.kernel import StepKernel, gate_weight, head_weight
from dreamgym.dream.tiles import Side
from dreamgym.errors import ConfigError
from dreamgym.memory.mdn_rnn import PROGRESS_FLOOR
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from dreamgym.world_model import LATENT_LIMIT

__all__ = ["FastStep", "FastStepper"]

_STEPS_OF_NOISE: Final = 256

Vector = NDArray[np.float32]

# Arrays, since a Python number costs a call as much again.
_ONE: Final = np.array(1.0, np.float32)
_HALF: Final = np.array(0.5, np.float32)
_LEAST: Final = np.array(LOG_SIGMA_MIN, np.float32)
_MOST: Final = np.array(LOG_SIGMA_MAX, np.float32)

_LARGE: Final = 80.0  # e to it is finite, and e to minus it is not zero
_MOST_SQUARES: Final = 1e30  # within float32


class FastStep(NamedTuple):
    """What a step gave; as :class:`~dreamgym.dream.core.DreamStep`, of one row."""

    reward: float
    terminated: bool
    lap_finished: bool


class _State(NamedTuple):
    """One of the core's two sides as vectors: a step reads the one and writes the other."""

    row: Vector
    """[z | h | 1 | a]."""
    z: Vector
    h: Vector
    hidden: Vector
    """[h | 1]."""
    action: Vector
    c: Vector
    features: Vector
    """[z | h]."""
    progress: Vector
    """(1,)."""


def _state(kernel: StepKernel, side: Side) -> _State:
    row, z, observation = side.rows.numpy()[0], kernel.latent_size, kernel.observation_size
    parts = row[:z], row[z:observation], row[z : observation + 1], row[observation + 1 :]
    return _State(row, *parts, side.c.numpy()[0], row[:observation], side.progress.numpy()[:1])


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
        said = 3 * k * z
        self._said = np.empty(said + kernel.factors * z + 2, np.float32)
        self._products = [torch.from_numpy(self._said)[None]]
        self._all_logits, self._ends = self._said[: k * z], self._said[-2:]
        self._logits = self._all_logits.reshape(k, z)
        self._components = self._said[k * z : said].reshape(2, k * z)  # means, log sigmas
        self._loadings = self._said[said:-2].reshape(-1, z)
        self._common = np.empty(z, np.float32)
        self._sums = np.tri(k, dtype=np.float32)  # times weights: their sums up to each
        self._weights, self._cumulative = np.empty((2, k, z), np.float32)
        self._below, self._total = self._cumulative[:-1], self._cumulative[-1]
        self._any_within = np.ones((k, z), np.bool_)  # the last component's always
        self._within = self._any_within[:-1]
        self._lanes, self._chosen = np.arange(z, dtype=np.intp), np.empty(z, np.intp)
        self._latents = np.array(z, np.intp)
        self._lap_units = core.world_model.lap_units
        self._elapsed = core._elapsed.numpy()
        self.temperature: Vector = core.temperature.numpy()
        """As the core's, a view of shape (1,)."""
        self._temper = -1, (_ONE, _ONE, 0.0)  # of which version
        self._noise: list[tuple[Vector, Vector, float]] = []  # of the steps to come, the next one last
        self._noise_of = -1  # which keys it was drawn with
        first, second = (_state(kernel, side) for side in core._sides)
        self._ways = (first, second), (second, first)

    def __reduce__(self) -> tuple[type[FastStepper], tuple[DreamCore]]:
        return FastStepper, (self.core,)  # its arrays are views of the core's tensors

    @property
    def progress(self) -> Vector:
        """As the core's, a view of shape (1,)."""
        return self._ways[self.core._now][0].progress

    def observe(self, obs_type: str) -> Vector:
        """What the controller sees, a copy: [z | h] for "features", (Z + H,), or z, (Z,)."""
        now = self._ways[self.core._now][0]
        return (now.features if obs_type == "features" else now.z).copy()

    def step(self, action: Vector) -> FastStep:
        """Advance by one frame.

        Args:
            action: the executed one, float32 of shape (A,), in the world's range.

        Raises:
            ResetNeededError: before the first reset.
            DivergedError: a number is no longer finite; nothing has advanced.
        """
        core = self.core
        core._require_started(None)
        now, then = self._ways[core._now]
        now.action[:] = action
        uniform, normal, end = self._next_noise()
        self._advance(now, then)
        self._draw(uniform, normal, then.z)
        units, logit = self._ends.tolist()
        before = now.progress.item()
        gained = _softplus(units)
        after = before if gained <= PROGRESS_FLOOR else min(before + gained / self._lap_units, 1.0)
        core.mark_diverged(None if math.isfinite(after + logit) and self._cut(then.z) else torch.tensor([True]))
        then.progress[0] = after
        self._elapsed[0] += 1
        core._now = 1 - core._now
        core.products = self._products
        self._noise.pop()
        if logit > end:
            return FastStep(core.world.leaving_reward, True, False)
        finished = after >= 1.0
        return FastStep(core.world.lap_reward * (after - before) + core.world.frame_cost, finished, finished)

    def _advance(self, now: _State, then: _State) -> None:
        """The LSTM into ``then``, and the heads into the buffers."""
        gates, sigmoids = self._gates, self._sigmoids
        np.tanh(np.dot(self._gate_weight, now.row, gates), gates)
        np.multiply(np.add(sigmoids, _ONE, sigmoids), _HALF, sigmoids)
        np.multiply(self._f, now.c, then.c)
        np.add(then.c, np.multiply(self._i, self._g, self._i), then.c)
        np.multiply(np.tanh(then.c, then.h), self._o, then.h)
        np.dot(self._head_weight, then.hidden, self._said)

    def _draw(self, uniform: Vector, normal: Vector, z: Vector) -> None:
        """Draw from the mixture at the present temperature into ``z``, (Z,)."""
        coldness, warmth, large = self._tempers()
        weights, chosen = np.multiply(self._logits, coldness, self._weights), self._chosen
        if np.dot(self._all_logits, self._all_logits) > large:  # at low temperatures: exp might overflow
            np.subtract(weights, np.maximum.reduce(weights, 0), weights)
        np.dot(self._sums, np.exp(weights, weights), self._cumulative)
        np.greater(self._below, np.multiply(self._total, uniform, z), self._within)
        np.add(np.multiply(self._any_within.argmax(0, chosen), self._latents, chosen), self._lanes, chosen)
        mean, sigma = self._components.take(chosen, 1)
        np.exp(np.minimum(np.maximum(sigma, _LEAST, out=sigma), _MOST, out=sigma), sigma)
        own, factors = normal[: len(z)], normal[len(z) :]
        noise = np.add(own, np.dot(factors, self._loadings, self._common), self._common)
        np.multiply(np.multiply(sigma, warmth, sigma), noise, sigma)
        np.add(mean, sigma, z)

    def _cut(self, z: Vector) -> bool:
        """Cut z to its limit; False for NaN, and nothing is cut."""
        if np.dot(z, z) <= LATENT_LIMIT**2:  # nearly always
            return True
        if np.isnan(z).any():
            return False
        self.core.clamped += int(np.count_nonzero(np.absolute(z) > LATENT_LIMIT))
        np.clip(z, -LATENT_LIMIT, LATENT_LIMIT, z)
        return True

    def _tempers(self) -> tuple[Vector, Vector, float]:
        """1 / temperature, the temperature's root, and the sum of squared logits that is safe for exp at it."""
        version = self.core._temperature._version
        if self._temper[0] != version:
            coldness, warmth = (each.numpy().reshape(()) for each in self.core.kernel.tempers(self.core.temperature))
            self._temper = version, (coldness, warmth, min((_LARGE / coldness.item()) ** 2, _MOST_SQUARES))
        return self._temper[1]

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
