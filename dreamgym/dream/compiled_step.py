"""The dream's step in loops that numba compiles: ``fast=True``, for batches and for a single environment.

A step is two matrix products and some sixty passes over small tensors. Each pass costs torch a call and the memory a
round trip, and all of them wait for Python's interpreter lock. Here they are two loops that hold no lock: :func:`cell`
between the two products and :func:`draw` after them. For a single row the products are loops too.

Row independence. The inner loops run within a row, over contiguous numbers, so an element lies at the same place of the
same vector instruction whatever row it belongs to. Of the liberties of fast arithmetic only one is taken: that a
multiplication may be fused with an addition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

import numba
import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.dream import noise, reward, vector_math
from dreamgym.dream.reward import RowRule, pay_row
from dreamgym.dream.row_tiles import Batch, Buffer, Faults, StepResult, Tile
from dreamgym.dream.step import MemoryStep
from dreamgym.dream.vector_math import ONE, TWO, exp, gated_tanh, log, normal, number, rounded, uniform
from dreamgym.memory import mixture
from dreamgym.memory.mdn_rnn import LATENT_LIMIT
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from dreamgym.worlds.base import RewardRule

__all__ = ["UNROLLED", "BufferArrays", "CompiledTile", "cell", "draw", "readable", "row_product", "single_step"]

F = TypeVar("F", bound=Callable[..., Any])
Array = NDArray[Any]

_LARGEST_INVERSE = np.float32(1e30)
_LEAST, _MOST = np.float32(LOG_SIGMA_MIN), np.float32(LOG_SIGMA_MAX)
_LIMIT = np.float32(LATENT_LIMIT)
_ZERO = np.float32(0.0)
UNROLLED: Final = 4
"""Inputs of :func:`row_product` at once."""

_COMPILED_IN = tuple(Path(module.__file__ or "") for module in (vector_math, noise, mixture, reward))
"""Sources, other than this one, of what the loops are made of."""


def _loop(function: F) -> F:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder to keep compiled loops in
        return cast(F, numba.njit(**options)(function))
    _distinguish(compiled)
    _take_turns(compiled)
    return cast(F, compiled)


def _distinguish(compiled: Any) -> None:
    """Have compiled loops found again only for the same sources: numba itself looks at this file alone."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _COMPILED_IN) + repr(_LIMIT).encode()).hexdigest()
    cache = compiled._cache
    key = cache._index_key
    cache._index_key = lambda *arguments: (*key(*arguments), digest)


def _take_turns(compiled: Any) -> None:
    """Have processes use the folder of compiled loops one at a time: two that save at once choose the same file."""
    cache = compiled._cache

    def alone(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            folder = Path(cache._cache_path)
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".dreamgym-loops.lock"):
                return function(*arguments)

        return call

    cache.load_overload, cache.save_overload = alone(cache.load_overload), alone(cache.save_overload)


_pay = cast(Any, numba.njit(nogil=True, error_model="numpy")(pay_row))


@_loop
def cell(gates: Any, c: Any, next_c: Any, next_rows: Any, first: int) -> None:
    """The LSTM's gates, cell and hidden state.

    Args:
        gates: what the product says of input, forget, cell (times -2) and output, (B, 4 H), of int16 or float32.
        c: float32 (B, H).
        next_c: the same; written.
        next_rows: of the other buffer, float32 (B, row_size); h is written.
        first: the column where h begins.
    """
    size = c.shape[1]
    for row in range(len(c)):
        i_row, f_row = gates[row, :size], gates[row, size : 2 * size]
        g_row, o_row = gates[row, 2 * size : 3 * size], gates[row, 3 * size : 4 * size]
        before, after, hidden = c[row], next_c[row], next_rows[row, first : first + size]
        for j in range(size):
            f = ONE / (ONE + exp(-number(f_row[j])))
            now = gated_tanh(number(i_row[j]), number(g_row[j])) + f * before[j]
            after[j] = now
            hidden[j] = gated_tanh(number(o_row[j]), -TWO * now)


@_loop
def draw(
    head_outputs: Any, keys: Any, elapsed: Any, temperature: Any, progress: Any, rule: Any, sizes: Any, next_rows: Any,
    next_progress: Any, reward: Any, terminated: Any, complete: Any, clipped: Any, non_finite: Any,
) -> tuple[int, int]:  # fmt: skip
    """Draw z from the mixture, as in :mod:`dreamgym.memory.mixture`; then progress, reward and end.

    Args:
        head_outputs: (B, (3 K + F) Z + 2), of int16 or float32.
        keys: int32 (B, 2); see :func:`dreamgym.dream.noise.row_keys`.
        elapsed: int64 (B,).
        temperature: float32 (B,).
        progress: float32 (B,).
        rule: the :class:`~dreamgym.dream.reward.RowRule`.
        sizes: K, F and Z.
        next_rows: of the other buffer, float32 (B, row_size); z is written.
        next_progress: float32 (B,); written.
        reward: float32 (B,); written.
        terminated: ended by M's draw or complete, bool (B,); written.
        complete: bool (B,); written.
        clipped: latents clipped to +-10, int64 (B,); written.
        non_finite: whether the row is not finite, bool (B,); written.

    Returns:
        How many latents were clipped and how many rows are not finite, in all.
    """
    k_size, f_size, z_size = sizes
    noise_size = 2 * z_size + f_size + 1
    has_reward = head_outputs.shape[1] - (3 * k_size + f_size) * z_size == 2
    uniforms = np.empty(noise_size, np.float32)
    weights = np.empty((k_size, z_size), np.float32)
    scratch = np.empty((5, z_size), np.float32)
    top, below, mean, log_sigma, drawn = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    all_clipped, all_non_finite = 0, 0
    for row in range(len(elapsed)):
        heads = head_outputs[row]
        counter = np.uint32(elapsed[row] * noise_size)
        for j in range(noise_size):
            uniforms[j] = uniform(np.uint32(keys[row, 0]), np.uint32(keys[row, 1]), np.uint32(counter + np.uint32(j)))

        inverse_temperature = min(ONE / temperature[row], _LARGEST_INVERSE)
        root_temperature = np.sqrt(temperature[row])
        top[:] = -np.inf
        for k in range(k_size):
            logits = heads[k * z_size : (k + 1) * z_size]
            for j in range(z_size):
                logit = number(logits[j])
                top[j] = logit if logit > top[j] else top[j]
        below[:] = _ZERO  # for now the sum of the weights
        for k in range(k_size):
            logits, weight = heads[k * z_size : (k + 1) * z_size], weights[k]
            for j in range(z_size):
                weight[j] = exp((number(logits[j]) - top[j]) * inverse_temperature)  # the greatest is exactly 1
                below[j] += weight[j]

        # Invert the cumulative weights: the component is the first one that the uniform draw lies below.
        for j in range(z_size):
            top[j] = uniforms[j] * below[j]
            below[j] = _ZERO
        for k in range(k_size):
            means = heads[(k_size + k) * z_size : (k_size + k + 1) * z_size]
            log_sigmas = heads[(2 * k_size + k) * z_size : (2 * k_size + k + 1) * z_size]
            weight = weights[k]
            for j in range(z_size):
                reached = not (below[j] > top[j])  # nor where it is not a number, which then shows
                mean[j] = number(means[j]) if reached else mean[j]
                log_sigma[j] = number(log_sigmas[j]) if reached else log_sigma[j]
                below[j] += weight[j]
        z, normals = next_rows[row, :z_size], uniforms[z_size : 2 * z_size]
        for j in range(z_size):
            top[j] = normal(normals[j])
        for f in range(f_size):
            factor = normal(uniforms[2 * z_size + f])
            loadings = heads[(3 * k_size + f) * z_size : (3 * k_size + f + 1) * z_size]
            for j in range(z_size):
                top[j] += factor * number(loadings[j])
        for j in range(z_size):
            sigma = exp(min(max(log_sigma[j], _LEAST), _MOST)) * root_temperature
            drawn[j] = mean[j] + sigma * top[j]
            z[j] = min(max(drawn[j], -_LIMIT), _LIMIT)
        times_clipped, total = 0, _ZERO
        for j in range(z_size):
            times_clipped += drawn[j] != z[j]
            total += drawn[j]

        output, end_logit = number(heads[-2]) if has_reward else _ZERO, number(heads[-1])
        last = uniforms[noise_size - 1]
        failed = last == _ZERO or end_logit > log(last / (ONE - last))
        after, paid, done = _pay(rule, output, progress[row], failed)
        next_progress[row], reward[row] = after, paid
        terminated[row], complete[row] = failed or done, done
        clipped[row], non_finite[row] = times_clipped, not np.isfinite(total + after + end_logit)
        all_clipped += times_clipped
        all_non_finite += non_finite[row]
    return all_clipped, all_non_finite


@_loop
def row_product(weight: Any, row: Any, out: Any, low: bool) -> None:
    """A row times a matrix.

    Many times as fast as a library's call where there is only one row.

    Args:
        weight: (inputs, outputs), of int16 or float32, with inputs of zeros up to a multiple of 4.
        row: float32, as many as there are true inputs.
        out: float32 (outputs,); written.
        low: whether the row and the product are rounded to bfloat16.
    """
    inputs = np.zeros(len(weight), np.float32)
    for i in range(len(row)):
        inputs[i] = rounded(row[i]) if low else row[i]
    out[:] = _ZERO
    for i in range(0, len(weight), UNROLLED):
        a, b, c, d = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        first, second, third, fourth = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        for j in range(len(out)):
            sums = out[j] + a * number(first[j]) + b * number(second[j])
            out[j] = sums + c * number(third[j]) + d * number(fourth[j])
    if low:
        for j in range(len(out)):
            out[j] = rounded(out[j])


@_loop
def single_step(
    gate_weight: Any, head_weight: Any, low: bool, keys: Any, elapsed: Any, temperature: Any, rule: Any, sizes: Any,
    rows: Any, c: Any, progress: Any, next_rows: Any, next_c: Any, next_progress: Any, head_outputs: Any,
) -> tuple[float, bool, bool, int, int]:  # fmt: skip
    """A whole step of one row; arguments as those of :func:`cell`, :func:`draw` and :func:`row_product`.

    Returns:
        Reward, terminated, complete, latents clipped, and whether the row is not finite.
    """
    z_size, hidden_size = sizes[2], c.shape[1]
    gates = np.empty((1, 4 * hidden_size), np.float32)
    row_product(gate_weight, rows[0], gates[0], low)
    cell(gates, c, next_c, next_rows, z_size)
    row_product(head_weight, next_rows[0, z_size : z_size + hidden_size + 1], head_outputs[0], low)
    reward, flags, clipped = np.empty(1, np.float32), np.empty((3, 1), np.bool_), np.empty(1, np.int64)
    all_clipped, all_non_finite = draw(
        head_outputs, keys, elapsed, temperature, progress, rule, sizes, next_rows, next_progress,
        reward, flags[0], flags[1], clipped, flags[2],
    )  # fmt: skip
    return reward[0], flags[0, 0], flags[1, 0], all_clipped, all_non_finite


class BufferArrays(NamedTuple):
    """A buffer as NumPy sees it."""

    rows: Array
    c: Array
    progress: Array

    @classmethod
    def of(cls, buffer: Buffer) -> BufferArrays:
        """Views of a buffer on the CPU."""
        return cls(buffer.rows.numpy(), buffer.c.numpy(), buffer.progress.numpy())


def readable(product: Tensor) -> Array:
    """A tensor for the loops, which know bfloat16 by its bits."""
    return (product.view(torch.int16) if product.dtype is torch.bfloat16 else product).numpy()


class CompiledTile(Tile):
    """Rows of a batch on the CPU, stepped by compiled loops.

    A step agrees with the default engine's to 1e-5.

    Its noise is the same to the bit, and a row is as independent of all others.
    """

    most = 512

    def __init__(self, batch: Batch, memory_step: MemoryStep, rewards: RewardRule) -> None:
        super().__init__(batch, memory_step, rewards)
        self._buffers = [BufferArrays.of(buffer) for buffer in batch.buffers]
        self._given = batch.keys.numpy(), batch.elapsed.numpy(), batch.temperature.numpy()
        self._rule = RowRule.of(rewards)
        self._sizes = memory_step.mixtures, memory_step.factors, memory_step.latent_size
        count = len(batch.elapsed)
        terminated, complete, non_finite = torch.zeros(3, count, dtype=torch.bool).unbind()
        self._outcome = torch.zeros(count, dtype=torch.float32), terminated, complete
        self._faults = Faults(torch.zeros(count, dtype=torch.int64), non_finite)
        self._written = [part.numpy() for part in (*self._outcome, *self._faults)]

    def step(self, now: int) -> StepResult:
        """See :meth:`Tile.step`."""
        m = self.memory_step
        before, after = self._buffers[now], self._buffers[1 - now]
        gates = m.gates(self.batch.buffers[now].rows.to(m.dtype))
        cell(readable(gates), before.c, after.c, after.rows, m.latent_size)
        head_outputs = m.predict(self.batch.buffers[1 - now].hidden)
        faults = draw(
            readable(head_outputs), *self._given, before.progress, self._rule, self._sizes,
            after.rows, after.progress, *self._written,
        )  # fmt: skip
        return StepResult(*self._outcome, head_outputs, self._faults if any(faults) else None)
