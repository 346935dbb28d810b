"""One step of some of a batch's rows: M's step, the draw, rewards and ends, all that can be done on one core alone."""

from __future__ import annotations

import math
from typing import ClassVar, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import threshold

from dreamgym.dream.kernel import StepKernel, Workspace, softplus
from dreamgym.memory.mdn_rnn import PROGRESS_FLOOR
from dreamgym.real.world import World
from dreamgym.world_model import LATENT_LIMIT

__all__ = ["Batch", "Side", "Tile"]

_ROWS_OF_NOISE: Final = 512  # drawn in one go for a small batch: as quick as a few
_MOST_STEPS: Final = 64


class Side(NamedTuple):
    """A batch's state; there are two, and a step reads the one and writes the other."""

    rows: Tensor
    """[z | h | 1 | a], float32 of shape (B, row_size)."""
    c: Tensor
    """(B, H)."""
    progress: Tensor
    """(B,)."""


class Batch(NamedTuple):
    """What the tiles of a batch of B rows share."""

    kernel: StepKernel
    world: World
    lap_units: float
    sides: tuple[Side, Side]
    keys: Tensor
    """int32 (B, 2)."""
    elapsed: Tensor
    """int64 (B,)."""
    temperature: Tensor
    """float32 (B,)."""
    reward: Tensor
    """Written: float32 (B,)."""
    ended: Tensor
    """Written: left, or finished; bool (B,)."""
    finished: Tensor
    """Written: bool (B,)."""


class _Views(NamedTuple):
    """A tile's part of the two sides, for steps from the one to the other."""

    rows: Tensor
    c: Tensor
    progress: Tensor
    next_z: Tensor
    next_h: Tensor
    next_hidden: Tensor
    next_c: Tensor
    next_progress: Tensor


def _views(kernel: StepKernel, now: Side, then: Side, part: slice) -> _Views:
    z, observation = kernel.latent_size, kernel.observation_size
    rows = then.rows[part]
    following = (rows[:, :z], rows[:, z:observation], rows[:, z : observation + 1], then.c[part], then.progress[part])
    return _Views(now.rows[part], now.c[part], now.progress[part], *following)


class Tile:
    """Rows of a batch that are stepped together, on one thread.

    Args:
        batch: the whole.
        part: which rows.
        deferred: whether a step only gives the device work, always the same, and waits for none of it.
    """

    most: ClassVar[int] = 1024
    """Rows at most: fewer, and torch's fixed cost of a call weighs more; more, and caches overflow."""

    def __init__(self, batch: Batch, part: slice, deferred: bool = False) -> None:
        self.part = part
        self.count = part.stop - part.start
        self.product: Tensor | None = None
        """What the heads said in the last step, for :meth:`StepKernel.prediction`."""
        self.cut: Tensor | None = None
        """Latents cut in the last step, by row, int64 (n,); None for none."""
        self.broken: Tensor | None = None
        """Rows that the last step found not to be finite, bool (n,); None for none."""
        first, second = batch.sides
        self._kernel, self._world, self._lap_units = batch.kernel, batch.world, batch.lap_units
        self._views = (_views(batch.kernel, first, second, part), _views(batch.kernel, second, first, part))
        self._keys, self._elapsed = batch.keys[part], batch.elapsed[part]
        self._temperature = batch.temperature[part, None]
        self._reward, self._ended, self._finished = batch.reward[part], batch.ended[part], batch.finished[part]
        self._left = torch.zeros_like(self._ended)
        self._tempers: tuple[int, Tensor, Tensor] | None = None
        self._deferred = deferred
        self._cut = torch.zeros(self.count, dtype=torch.int64, device=batch.kernel.device)
        self._broken = torch.zeros_like(self._ended)
        self._steps = 1 if deferred else min(_MOST_STEPS, max(1, _ROWS_OF_NOISE // self.count))
        self._noise: list[tuple[Tensor, Tensor, Tensor]] = []  # of the steps to come, the next one last

    def step(self, now: int, space: Workspace) -> None:
        """Step from side ``now`` to the other; see the attributes for what it leaves beside the batch's tensors."""
        kernel, views = self._kernel, self._views[now]
        kernel.advance(views.rows, views.c, views.next_h, views.next_c, space)
        self.product = kernel.predict(views.next_hidden, space)
        uniform, normal, end = self._next_noise()
        drawn = kernel.sample(space, *self._present_tempers(), uniform, normal)
        torch.clamp(drawn, -LATENT_LIMIT, LATENT_LIMIT, out=space.z)
        views.next_z.copy_(space.z)
        self._pay(views, space, end)
        self._look(views, space, drawn)

    def _pay(self, views: _Views, space: Workspace, end: Tensor) -> None:
        """Progress, rewards and ends."""
        world, after = self._world, views.next_progress
        units = threshold(softplus(space.units), PROGRESS_FLOOR, 0.0, inplace=True)
        torch.add(views.progress, units.div_(self._lap_units), out=after).clamp_max_(1.0)
        torch.sub(after, views.progress, out=self._reward).mul_(world.lap_reward).add_(world.frame_cost)
        left = torch.gt(space.end_logit, end, out=self._left)
        self._reward.masked_fill_(left, world.leaving_reward)
        torch.gt(torch.ge(after, 1.0, out=self._finished), left, out=self._finished)  # and not left
        torch.bitwise_or(left, self._finished, out=self._ended)

    def _look(self, views: _Views, space: Workspace, drawn: Tensor) -> None:
        """Find latents that were cut and rows that are not finite. There are hardly ever any."""
        self.cut = self.broken = None
        sound = views.next_progress + space.end_logit
        if self._deferred:
            self.cut = torch.sum(space.z != drawn, dim=1, out=self._cut)
            self.broken = torch.logical_not(torch.isfinite(sound + space.z.sum(dim=1)), out=self._broken)
            return
        whole = torch.equal(space.z, drawn)  # not so where one was cut, or is NaN
        if not whole:
            self.cut = (space.z != drawn).sum(dim=1)
        if not whole or not math.isfinite(sound.sum().item()):
            self.broken = torch.isfinite(sound + space.z.sum(dim=1)).logical_not_()

    def _present_tempers(self) -> tuple[Tensor, Tensor]:
        if self._deferred:
            return self._kernel.tempers(self._temperature)
        version = self._temperature._version  # counts changes in place, the only ones
        if self._tempers is None or self._tempers[0] != version:
            self._tempers = (version, *self._kernel.tempers(self._temperature))
        return self._tempers[1:]

    def _next_noise(self) -> tuple[Tensor, Tensor, Tensor]:
        """This step's; with few rows that of many steps at once, which costs the same."""
        steps = self._steps
        if steps == 1:
            return self._kernel.noise(self._keys, self._elapsed)
        if not self._noise:
            elapsed = self._elapsed + torch.arange(steps - 1, -1, -1)[:, None]  # (steps, n)
            drawn = self._kernel.noise(self._keys.repeat(steps, 1), elapsed.flatten())
            self._noise = list(zip(*(each.unflatten(0, (steps, -1)).unbind() for each in drawn), strict=True))
        return self._noise[-1]

    def pass_on(self) -> None:
        """All rows have gone on by the step that was taken."""
        if self._noise:
            self._noise.pop()

    def forget(self) -> None:
        """Some rows have not, or have begun anew."""
        self._noise = []
