"""``fast=True`` for batches: a tile's step as two matrix products and two loops that numba has compiled."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.dream.kernel import StepKernel, Workspace
from dreamgym.dream.loops import cell, draw
from dreamgym.dream.tiles import Batch, Side, Tile
from dreamgym.memory.mdn_rnn import PROGRESS_FLOOR

__all__ = ["CompiledTile"]

Array = NDArray[np.generic]


class _Arrays(NamedTuple):
    """A tile's part of the two sides as NumPy sees it, for steps from the one to the other."""

    rows: Tensor
    hidden: Tensor
    """[h | 1] of the other side."""
    c: Array
    progress: Array
    next_rows: Array
    next_c: Array
    next_progress: Array


def _arrays(kernel: StepKernel, now: Side, then: Side, part: slice) -> _Arrays:
    hidden = then.rows[part, kernel.latent_size : kernel.observation_size + 1]
    sides = now.c, now.progress, then.rows, then.c, then.progress
    return _Arrays(now.rows[part], hidden, *(value[part].numpy() for value in sides))


def _readable(product: Tensor) -> Array:
    """A product for the loops, which know bfloat16 by its bits."""
    return (product.view(torch.int16) if product.dtype is torch.bfloat16 else product).numpy()


class CompiledTile(Tile):
    """A tile whose elementwise part are compiled loops: a step agrees with the other tiles' to 1e-5.

    Its noise is the same to the bit, and a row is as independent of all others.

    Args:
        batch: the whole, on the CPU.
        part: which rows.
    """

    most: ClassVar[int] = 512

    def __init__(self, batch: Batch, part: slice, deferred: bool = False) -> None:
        super().__init__(batch, part, deferred)
        kernel, world = batch.kernel, batch.world
        first, second = batch.sides
        self._arrays = (_arrays(kernel, first, second, part), _arrays(kernel, second, first, part))
        payment = PROGRESS_FLOOR, batch.lap_units, world.lap_reward, world.frame_cost, world.leaving_reward
        self._payment = tuple(map(np.float32, payment))
        self._sizes = kernel.mixtures, kernel.factors, kernel.latent_size
        self._given = batch.keys[part].numpy(), batch.elapsed[part].numpy(), batch.temperature[part].numpy()
        self._outcome = self._reward.numpy(), self._ended.numpy(), self._finished.numpy()
        self._faults = self._cut.numpy(), self._broken.numpy()

    def step(self, now: int, space: Workspace) -> None:
        """As :meth:`Tile.step`."""
        kernel, arrays = self._kernel, self._arrays[now]
        gates = kernel.gates(arrays.rows, space)
        cell(_readable(gates), arrays.c, arrays.next_c, arrays.next_rows, kernel.latent_size)
        self.product = kernel.heads(arrays.hidden, space)
        cut, broken = draw(
            _readable(self.product), *self._given, arrays.progress, self._payment, self._sizes,
            arrays.next_rows, arrays.next_progress, *self._outcome, *self._faults,
        )  # fmt: skip
        self.cut = self._cut.clone() if cut else None
        self.broken = self._broken.clone() if broken else None
