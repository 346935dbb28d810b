"""A world's reward rule as a step pays it: in torch for a batch, and for one row in numbers, which numba compiles.

Both compute the formula of :class:`~dreamgym.worlds.base.RewardRule`; a test compares them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import threshold

from dreamgym.worlds.base import RewardRule

__all__ = ["Payment", "RowRule", "pay", "pay_row", "softplus"]


class Payment(NamedTuple):
    """What a step pays B rows, and what it makes of their progress."""

    progress: Tensor
    """After the step, float32 (B,)."""
    reward: Tensor
    """float32 (B,)."""
    complete: Tensor
    """Whether the progress has reached the rule's cap, in a step that M's draw does not end; bool (B,)."""


def pay(rule: RewardRule, output: Tensor | None, progress: Tensor, failed: Tensor) -> Payment:
    """Pay a step.

    Args:
        rule: the world's.
        output: what M's reward head predicts, before the softplus of a count, (B,); None without a head.
        progress: before the step, (B,).
        failed: whether M's draw ends the episode in this step, bool (B,).
    """
    if output is None:
        gained, after = torch.zeros_like(progress), progress
    else:
        units = softplus(output) if rule.head == "count" else output
        units = units if rule.threshold is None else threshold(units, rule.threshold, 0.0)
        gained = units / rule.unit
        after = progress + gained
    if rule.cap is None:
        complete = torch.zeros_like(failed)
    else:
        after = after.clamp_max(rule.cap)
        gained = after - progress
        complete = (after >= rule.cap) > failed  # and not failed
    reward = (gained * rule.scale).add_(rule.constant)
    if rule.failure is not None:
        reward.masked_fill_(failed, rule.failure)
    return Payment(after, reward, complete)


class RowRule(NamedTuple):
    """The numbers of a rule, as :func:`pay_row` takes them."""

    counts: bool
    """Whether the head says a count, before its softplus."""
    threshold: np.float32
    unit: np.float32
    cap: np.float32
    """Infinity for none."""
    scale: np.float32
    constant: np.float32
    failure: np.float32
    fails: bool
    """Whether a step that M's draw ends pays ``failure``."""

    @classmethod
    def of(cls, rule: RewardRule) -> RowRule:
        """The numbers of a rule."""
        limit = -math.inf if rule.threshold is None else rule.threshold
        cap = math.inf if rule.cap is None else rule.cap
        return cls(
            counts=rule.head == "count",
            threshold=np.float32(limit),
            unit=np.float32(rule.unit),
            cap=np.float32(cap),
            scale=np.float32(rule.scale),
            constant=np.float32(rule.constant),
            failure=np.float32(rule.failure or 0.0),
            fails=rule.failure is not None,
        )


def pay_row(
    rule: RowRule, output: np.float32, progress: np.float32, failed: bool
) -> tuple[np.float32, np.float32, bool]:
    """Pay one row's step, as :func:`pay`.

    ``output`` is 0 without a head, and counts for nothing.

    Returns:
        The progress after the step, the reward, and whether the episode is complete.
    """
    zero = np.float32(0.0)
    units = np.float32(math.log1p(math.exp(-abs(output)))) + max(output, zero) if rule.counts else output
    units = zero if units <= rule.threshold else units
    gained = units / rule.unit
    after = progress + gained
    if rule.cap < np.float32(np.inf):
        after = rule.cap if after > rule.cap else after
        gained = after - progress
    reward = rule.failure if failed and rule.fails else gained * rule.scale + rule.constant
    complete = not failed and after >= rule.cap
    return after, reward, complete  # type: ignore[return-value]  # NumPy's bool


def softplus(value: Tensor) -> Tensor:
    """log(1 + e^x) from functions that treat every element alike; see :mod:`dreamgym.dream.step`."""
    return value.abs().neg_().exp_().log1p_().add_(value.clamp_min(0.0))
