"""The elementwise part of a step as loops over rows, compiled by numba: what ``fast=True`` steps a batch with.

A step is two matrix products and some sixty passes over small tensors, each of which costs torch a call and the memory
a round trip, and all of which wait for Python's interpreter lock. Here they are two loops that hold no lock:
:func:`cell` between the two products and :func:`draw` after them.

Row independence. The inner loops run within a row, over contiguous numbers, so an element lies at the same place of the
same vector instruction whatever row it belongs to. Of the liberties of fast arithmetic only one is taken: that a
multiplication may be fused with an addition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np

from dreamgym.dream import elementary, noise
from dreamgym.dream.elementary import ONE, TWO, exp, gated_tanh, log, normal, number, uniform
from dreamgym.memory import mixture
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from dreamgym.world_model import LATENT_LIMIT

__all__ = ["cell", "draw"]

F = TypeVar("F", bound=Callable[..., Any])


_COLDEST = np.float32(1e30)
_LEAST, _MOST = np.float32(LOG_SIGMA_MIN), np.float32(LOG_SIGMA_MAX)
_LIMIT = np.float32(LATENT_LIMIT)


_COMPILED_IN = (Path(elementary.__file__), Path(noise.__file__), Path(mixture.__file__))
"""Sources, other than this one, of what the loops are made of."""


def _loop(function: F) -> F:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder to keep compiled loops in
        return cast(F, numba.njit(**options)(function))
    _distinguish(compiled)
    return cast(F, compiled)


def _distinguish(compiled: Any) -> None:
    """Have compiled loops found again only for the same sources: numba itself looks at this file alone."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _COMPILED_IN) + repr(_LIMIT).encode()).hexdigest()
    cache = compiled._cache
    key = cache._index_key
    cache._index_key = lambda *arguments: (*key(*arguments), digest)


@_loop
def cell(gates: Any, c: Any, next_c: Any, next_rows: Any, first: int) -> None:
    """The LSTM's gates, cell and hidden state.

    Args:
        gates: what the product says of input, forget, cell (times -2) and output, (B, 4 H), of int16 or float32.
        c: float32 (B, H).
        next_c: the same; written.
        next_rows: of the other side, float32 (B, row_size); h is written.
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
    product: Any, keys: Any, elapsed: Any, temperature: Any, progress: Any, payment: Any, sizes: Any,
    next_rows: Any, next_progress: Any, reward: Any, ended: Any, finished: Any, cut: Any, broken: Any,
) -> tuple[int, int]:  # fmt: skip
    """Draw z from the mixture, as in :mod:`dreamgym.memory.mixture`; then progress, reward and end.

    Args:
        product: what the heads say, (B, (3 K + F) Z + 2), of int16 or float32.
        keys: int32 (B, 2); see :func:`dreamgym.dream.noise.row_keys`.
        elapsed: int64 (B,).
        temperature: float32 (B,).
        progress: float32 (B,).
        payment: the floor under a step's units, units of a lap, its reward, a frame's cost and what leaving pays,
            float32 each.
        sizes: K, F and Z.
        next_rows: of the other side, float32 (B, row_size); z is written.
        next_progress: float32 (B,); written.
        reward: float32 (B,); written.
        ended: left or finished, bool (B,); written.
        finished: bool (B,); written.
        cut: latents cut to +-10, int64 (B,); written.
        broken: whether the row is not finite, bool (B,); written.

    Returns:
        How many latents were cut and how many rows are not finite, in all.
    """
    floor, lap_units, lap_reward, frame_cost, leaving_reward = payment
    k_size, f_size, z_size = sizes
    noise_size = 2 * z_size + f_size + 1
    uniforms = np.empty(noise_size, np.float32)
    weights = np.empty((k_size, z_size), np.float32)
    scratch = np.empty((5, z_size), np.float32)
    top, below, mean, log_sigma, drawn = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    all_cut, all_broken = 0, 0
    for row in range(len(elapsed)):
        heads = product[row]
        counter = np.uint32(elapsed[row] * noise_size)
        for j in range(noise_size):
            uniforms[j] = uniform(np.uint32(keys[row, 0]), np.uint32(keys[row, 1]), np.uint32(counter + np.uint32(j)))

        coldness = min(ONE / temperature[row], _COLDEST)
        warmth = np.sqrt(temperature[row])
        top[:] = -np.inf
        for k in range(k_size):
            logits = heads[k * z_size : (k + 1) * z_size]
            for j in range(z_size):
                logit = number(logits[j]) * coldness
                top[j] = logit if logit > top[j] else top[j]
        below[:] = np.float32(0.0)  # for now the sum of the weights
        for k in range(k_size):
            logits, weight = heads[k * z_size : (k + 1) * z_size], weights[k]
            for j in range(z_size):
                weight[j] = exp(number(logits[j]) * coldness - top[j])
                below[j] += weight[j]

        # Invert the cumulative weights: the component is the first one that the uniform draw lies below.
        for j in range(z_size):
            top[j] = uniforms[j] * below[j]
            below[j] = np.float32(0.0)
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
            sigma = exp(min(max(log_sigma[j], _LEAST), _MOST)) * warmth
            drawn[j] = mean[j] + sigma * top[j]
            z[j] = min(max(drawn[j], -_LIMIT), _LIMIT)
        times_cut, total = 0, np.float32(0.0)
        for j in range(z_size):
            times_cut += drawn[j] != z[j]
            total += drawn[j]

        units, end_logit = number(heads[-2]), number(heads[-1])
        gained = log(ONE + exp(-abs(units))) + max(units, np.float32(0.0))  # softplus
        gained = np.float32(0.0) if gained <= floor else gained
        after = min(progress[row] + gained / lap_units, ONE)
        next_progress[row] = after
        last = uniforms[noise_size - 1]
        left = last == np.float32(0.0) or end_logit > log(last / (ONE - last))
        done = after >= ONE and not left
        reward[row] = leaving_reward if left else (after - progress[row]) * lap_reward + frame_cost
        ended[row], finished[row] = left or done, done
        cut[row], broken[row] = times_cut, not np.isfinite(total + after + end_logit)
        all_cut += times_cut
        all_broken += broken[row]
    return all_cut, all_broken
