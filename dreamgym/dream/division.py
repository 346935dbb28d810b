"""A batch of rows divided into tiles, and a step of all of them on the cores there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from dreamgym.dream import graphs
from dreamgym.dream.kernel import Workspace
from dreamgym.dream.threads import for_each_tile
from dreamgym.dream.tiles import Batch, Tile

__all__ = ["Division"]

_LEAST_TILE = 64  # below this, handing rows to another core costs more than it saves
_ALIGNED: Final = 16  # tiles begin at multiples of this, or of the padding


class _Replay(NamedTuple):
    """A captured step, and the tensors that it writes anew each time."""

    launch: Callable[[], None]
    product: Tensor | None
    cut: Tensor | None
    broken: Tensor | None


class Division:
    """The tiles of a batch, for so many threads, and what they left in a step.

    Args:
        batch: the tensors, of padded rows.
        num_envs: rows that count, B.
        threads: at most.
        tile: how rows are stepped.
    """

    def __init__(self, batch: Batch, num_envs: int, threads: int, tile: type[Tile] = Tile) -> None:
        self.threads = threads
        kernel, size = batch.kernel, len(batch.elapsed)
        self._kernel, self._count = kernel, num_envs
        aligned = max(_ALIGNED, kernel.padding)
        pieces = threads * -(-size // (threads * tile.most))  # as many for each thread
        length = max(_LEAST_TILE, -(-size // (pieces * aligned)) * aligned)
        graphed = graphs.wanted(kernel.device)
        deferred = graphed or kernel.device.type != "cpu"
        if deferred:
            length = size
        self._tiles = [tile(batch, slice(at, min(at + length, size)), deferred) for at in range(0, size, length)]
        self._replays: list[_Replay | None] | None = [None, None] if graphed else None  # from each side
        first = kernel.observation_size + 1
        self._action_slots = tuple(side.rows[:num_envs, first:] for side in batch.sides)
        self._outcome = tuple(value[:num_envs] for value in (batch.reward, batch.ended, batch.finished))
        self._spaces: dict[tuple[int, int], Workspace] = {}

    def step(self, now: int, executed: Tensor) -> None:
        """One step of every row from side ``now`` to the other, with actions of shape (B, A).

        To be called inside :func:`~dreamgym.dream.threads.single_thread`.
        """
        self._action_slots[now].copy_(executed)
        if self._replays is not None:
            self._replay(now, self._replays)
            return

        def work(tile: Tile, worker: int) -> None:
            with torch.inference_mode():  # a worker's thread has a mode of its own; nothing made in here is handed out
                space = self._spaces.get((worker, tile.count))
                if space is None:
                    space = self._spaces[worker, tile.count] = Workspace(self._kernel, tile.count)
                tile.step(now, space)

        for_each_tile(work, self._tiles, self.threads)

    def _replay(self, now: int, replays: list[_Replay | None]) -> None:
        (tile,) = self._tiles
        replay = replays[now]
        if replay is None:
            space = self._spaces.setdefault((0, tile.count), Workspace(self._kernel, tile.count))
            launch = graphs.capture(torch.inference_mode()(lambda: tile.step(now, space)), self._kernel.device)
            replay = replays[now] = _Replay(launch, tile.product, tile.cut, tile.broken)
        replay.launch()
        tile.product, tile.cut, tile.broken = replay.product, replay.cut, replay.broken

    def outcome(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rewards, ends and laps of the last step, copies of shape (B,)."""
        reward, ended, finished = (value.clone() for value in self._outcome)
        return reward, ended, finished

    def products(self) -> list[Tensor]:
        """What the heads said in it, tile by tile; see :meth:`StepKernel.prediction`."""
        return [tile.product for tile in self._tiles if tile.product is not None]

    def cut(self, active: Tensor | None) -> int:
        """How many latents it cut in the active rows."""
        total = 0
        for tile in self._tiles:
            if tile.cut is not None:
                cut = tile.cut[: self._count - tile.part.start]
                total += int((cut if active is None else cut[active[tile.part]]).sum())
        return total

    def broken(self, active: Tensor | None) -> Tensor | None:
        """Active rows that it found not to be finite, bool of shape (B,); None for none."""
        suspects = [(tile.part, tile.broken) for tile in self._tiles if tile.broken is not None]
        if not suspects:
            return None
        broken = torch.zeros(self._tiles[-1].part.stop, dtype=torch.bool, device=self._kernel.device)
        for part, rows in suspects:
            broken[part] = rows
        broken = broken[: self._count] if active is None else broken[: self._count] & active
        return broken if bool(broken.any()) else None

    def pass_on(self) -> None:
        """All rows have gone on by the step that was taken."""
        for tile in self._tiles:
            tile.pass_on()

    def forget(self) -> None:
        """Some rows have not, or have begun anew: noise that was drawn in advance is not theirs."""
        for tile in self._tiles:
            tile.forget()
