"""A batch of rows divided into tiles, and a step of all of them on the cores there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import torch
from torch import Tensor

from dreamgym.threads import for_each_tile
from dreamgym.worlds.base import RewardRule

if TYPE_CHECKING:
    from dreamgym.dream.step import MemoryStep

__all__ = ["Batch", "Buffer", "Faults", "RowTiles", "StepResult", "Tile", "joined", "joined_faults"]

_LEAST_TILE: Final = 64  # rows; below this, handing rows to another core costs more than it saves
_ALIGNED: Final = 16  # tiles begin at multiples of this, or of the padding


class Buffer(NamedTuple):
    """A state of B rows, of the memory step's state type.

    There are two: a step reads one and writes the other.
    """

    rows: Tensor
    """[z | h | 1 | a], (B, row_size)."""
    z: Tensor
    """(B, Z), a view of ``rows`` as the next three."""
    h: Tensor
    """(B, H)."""
    hidden: Tensor
    """[h | 1], (B, H + 1)."""
    action: Tensor
    """(B, A)."""
    c: Tensor
    """(B, H)."""
    progress: Tensor
    """(B,)."""

    @classmethod
    def empty(cls, memory_step: MemoryStep, size: int) -> Buffer:
        """Zeros for so many rows."""
        dtype, device = memory_step.state_dtype, memory_step.device
        rows = torch.zeros(size, memory_step.row_size, dtype=dtype, device=device)
        rows[:, memory_step.observation_size] = 1.0
        c = torch.zeros(size, memory_step.hidden_size, dtype=dtype, device=device)
        return cls.of(rows, c, torch.zeros(size, dtype=dtype, device=device), memory_step.latent_size)

    @classmethod
    def of(cls, rows: Tensor, c: Tensor, progress: Tensor, latent_size: int) -> Buffer:
        """The buffer of these tensors."""
        z, one = latent_size, latent_size + c.shape[1]
        return cls(rows, rows[:, :z], rows[:, z:one], rows[:, z : one + 1], rows[:, one + 1 :], c, progress)

    def part(self, rows: slice) -> Buffer:
        """Views of some of the rows."""
        return self.of(self.rows[rows], self.c[rows], self.progress[rows], self.z.shape[1])

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the views: pickled, they would be views of nothing."""
        return Buffer.of, (self.rows, self.c, self.progress, self.z.shape[1])


class Batch(NamedTuple):
    """What a step of B rows reads and writes."""

    buffers: tuple[Buffer, Buffer]
    keys: Tensor
    """int32 (B, 2)."""
    elapsed: Tensor
    """int64 (B,)."""
    temperature: Tensor
    """float32 (B,)."""

    def part(self, rows: slice) -> Batch:
        """Views of some of the rows."""
        first, second = self.buffers
        return Batch((first.part(rows), second.part(rows)), self.keys[rows], self.elapsed[rows], self.temperature[rows])


class Faults(NamedTuple):
    """What went wrong in a step of B rows."""

    clipped: Tensor
    """Latents clipped to +-10, int64 (B,)."""
    non_finite: Tensor
    """Rows that are no longer finite, bool (B,)."""


class StepResult(NamedTuple):
    """What a step of B rows came to, beside the state that it wrote."""

    reward: Tensor
    """float32 (B,)."""
    terminated: Tensor
    """Complete, or ended by M's draw; bool (B,)."""
    complete: Tensor
    """bool (B,)."""
    head_outputs: Tensor
    """(B, (3 K + F) Z + 2), of the precision's type."""
    faults: Faults | None
    """None in nearly every step: nothing was clipped, and all is finite."""


class Tile(ABC):
    """Rows of a batch that are stepped together, on one thread.

    Args:
        batch: the tile's part of the batch.
        memory_step: M.
        rewards: the world's rule.
    """

    most: ClassVar[int]
    """Rows at most."""

    def __init__(self, batch: Batch, memory_step: MemoryStep, rewards: RewardRule) -> None:
        self.batch, self.memory_step, self.rewards = batch, memory_step, rewards

    @abstractmethod
    def step(self, now: int) -> StepResult:
        """Step from buffer ``now``, which holds the actions, to the other."""

    def advance(self) -> None:  # noqa: B027  # nothing to do for a tile that draws no noise in advance
        """All rows have taken the step: its noise is used up."""

    def forget(self) -> None:  # noqa: B027
        """Drop noise that was drawn in advance, for rows that have begun anew."""


class RowTiles:
    """The tiles of a batch, for so many threads.

    Args:
        batch: the tensors, of padded rows.
        memory_step: M.
        rewards: the world's rule.
        num_envs: rows that count, B.
        threads: at most.
        tile: how rows are stepped.
    """

    def __init__(
        self, batch: Batch, memory_step: MemoryStep, rewards: RewardRule, num_envs: int, threads: int, tile: type[Tile]
    ) -> None:
        self.threads = threads
        size = len(batch.elapsed)
        length = size
        if memory_step.device.type == "cpu":
            aligned = max(_ALIGNED, memory_step.padding)
            pieces = threads * -(-size // (threads * tile.most))  # as many for each thread
            length = max(_LEAST_TILE, -(-size // (pieces * aligned)) * aligned)
        parts = [slice(at, min(at + length, size)) for at in range(0, size, length)]
        self._tiles = [tile(batch.part(rows), memory_step, rewards) for rows in parts]
        self._action_slots = tuple(buffer.action[:num_envs] for buffer in batch.buffers)

    def step(self, now: int, actions: Tensor) -> list[StepResult]:
        """One step of every row from buffer ``now`` to the other.

        To be called inside ``single_thread``.

        Args:
            now: 0 or 1.
            actions: the executed ones, float32 (B, A).

        Returns:
            Each tile's result, in the order of the rows.
        """
        self._action_slots[now].copy_(actions)
        results: dict[int, StepResult] = {}

        def work(index: int) -> None:
            with torch.inference_mode():  # a thread has a mode of its own; nothing made in here is handed out
                results[index] = self._tiles[index].step(now)

        for_each_tile(work, range(len(self._tiles)), self.threads)
        return [results[index] for index in range(len(self._tiles))]

    def advance(self) -> None:
        """All rows have taken the step."""
        for tile in self._tiles:
            tile.advance()

    def forget(self) -> None:
        """Some rows have not, or have begun anew."""
        for tile in self._tiles:
            tile.forget()


def joined(parts: Sequence[Tensor], count: int) -> Tensor:
    """The first ``count`` rows of the tiles' parts, a copy."""
    whole = parts[0].clone() if len(parts) == 1 else torch.cat(list(parts))  # torch.cat takes three times as long
    return whole if len(whole) == count else whole[:count]


def joined_faults(results: Sequence[StepResult], count: int) -> Faults | None:
    """The faults of the first ``count`` rows of a batch; None for none."""
    if all(result.faults is None for result in results):
        return None
    none = [(torch.zeros_like(r.terminated, dtype=torch.int64), torch.zeros_like(r.terminated)) for r in results]
    clipped, non_finite = zip(*(r.faults or blank for r, blank in zip(results, none, strict=True)), strict=True)
    return Faults(joined(clipped, count), joined(non_finite, count))
