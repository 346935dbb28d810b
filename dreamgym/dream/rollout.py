"""Playing a batch of dreams to the end of their episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore, DreamStep

__all__ = ["rollout"]


def rollout(
    core: DreamCore, act: Callable[[Tensor], Tensor], *, hold: bool = False
) -> Iterator[tuple[DreamStep, Tensor]]:
    """Step freshly reset dreams until each episode has ended.

    Args:
        core: B dreams.
        act: actions, (B, A), for features, (B, Z + H).
        hold: whether rows stay as they are from the end of their episode on. Otherwise they dream on, which is faster.

    Yields:
        Each step, and the rows whose episode it belongs to, bool (B,); what it says of other rows does not count.
    """
    running = torch.ones(core.num_envs, dtype=torch.bool, device=core.device)
    while running.any():
        step = core.step(act(core.features), running if hold else None)
        yield step, running
        running = running & ~(step.terminated | step.truncated)
