"""The reward rule of a step: cases computed by hand, and its two forms against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamgym.dream.reward import Payment, RowRule, pay, pay_row
from dreamgym.worlds.base import RewardRule

TRACK = RewardRule(constant=-0.1, scale=1000.0, head="count", unit=40.0, threshold=0.02, cap=1.0, failure=-100.0)


def before_softplus(count: float) -> float:
    return math.log(math.expm1(count))


def paid(
    rule: RewardRule, output: float | None, progress: float = 0.0, failed: bool = False
) -> tuple[float, float, bool]:
    """Progress after the step, reward and completion of a single row, in torch."""
    given = None if output is None else torch.tensor([output])
    after, reward, complete = pay(rule, given, torch.tensor([progress]), torch.tensor([failed]))
    return after.item(), reward.item(), bool(complete.item())


def close(*values: float) -> object:
    return pytest.approx(values, abs=1e-4)


def test_a_count_pays_its_share_of_the_unit() -> None:
    assert paid(TRACK, before_softplus(2.0), progress=0.25) == close(0.3, 49.9, False)


@pytest.mark.parametrize(("count", "share"), [(0.0199, 0.0), (0.0201, 0.0201 / 40)])
def test_up_to_the_threshold_nothing_is_gained(count: float, share: float) -> None:
    assert paid(TRACK, before_softplus(count)) == close(share, 1000 * share - 0.1, False)


def test_the_cap_limits_the_pay_and_completes_the_episode() -> None:
    assert paid(TRACK, before_softplus(3.0), progress=0.95) == close(1.0, 49.9, True)
    assert paid(TRACK, before_softplus(3.0), progress=1.0) == close(1.0, -0.1, True)


def test_a_failure_pays_its_own_reward_and_is_never_complete() -> None:
    assert paid(TRACK, before_softplus(3.0), progress=0.95, failed=True) == close(1.0, -100.0, False)


def test_without_a_failure_reward_the_last_step_pays_as_any_other() -> None:
    survival = RewardRule(constant=1.0, scale=0.0, head="none")
    assert paid(survival, None) == paid(survival, None, failed=True) == (0.0, 1.0, False)


def test_a_value_is_paid_as_it_is_without_a_cap() -> None:
    assert paid(RewardRule(), -2.5, progress=4.0) == (1.5, -2.5, False)
    assert paid(RewardRule(constant=0.5, scale=2.0, unit=4.0), 6.0, progress=100.0) == (101.5, 3.5, False)
    assert paid(RewardRule(threshold=1.0), 0.75) == (0.0, 0.0, False)


def paid_by_row(rule: RewardRule, output: float, progress: float = 0.0) -> tuple[float, float, bool]:
    after, reward, complete = pay_row(RowRule.of(rule), np.float32(output), np.float32(progress), False)
    return float(after), float(reward), bool(complete)


@pytest.mark.parametrize("form", [paid, paid_by_row])
def test_at_the_threshold_itself_nothing_is_gained(form: Callable[..., tuple[float, float, bool]]) -> None:
    rule = RewardRule(threshold=0.5)
    assert form(rule, 0.5) == (0.0, 0.0, False)
    assert form(rule, 0.625) == (0.625, 0.625, False)


@pytest.mark.parametrize("form", [paid, paid_by_row])
def test_without_a_cap_the_sum_of_the_gains_rounds_no_reward(form: Callable[..., tuple[float, float, bool]]) -> None:
    after, reward, complete = form(RewardRule(), 0.1, progress=1e6)
    assert (reward, complete) == (float(np.float32(0.1)), False)
    assert after - 1e6 != reward  # as it would be paid by the difference


def all_rules() -> list[RewardRule]:
    choices = itertools.product(("count", "value"), (None, 0.02), (None, 1.0), (None, 0.0, -100.0))
    return [
        RewardRule(-0.1, 30.0, head, 4.0, threshold, cap, failure)  # type: ignore[arg-type]
        for head, threshold, cap, failure in choices
    ]


def by_row(rule: RewardRule, output: Tensor, progress: Tensor, failed: Tensor) -> Payment:
    rows = zip(output.numpy(), progress.numpy(), failed.tolist(), strict=True)
    after, reward, complete = zip(*(pay_row(RowRule.of(rule), *row) for row in rows), strict=True)
    return Payment(torch.tensor(np.array(after)), torch.tensor(np.array(reward)), torch.tensor(complete))


@pytest.mark.parametrize("rule", all_rules())
def test_both_forms_agree(rule: RewardRule) -> None:
    generator = torch.Generator().manual_seed(1)
    output = torch.cat([torch.linspace(-90, 90, 41), 3 * torch.randn(200, generator=generator)])
    progress = torch.rand(len(output), generator=generator)
    failed = torch.rand(len(output), generator=generator) < 0.2
    wanted, got = pay(rule, output, progress, failed), by_row(rule, output, progress, failed)
    torch.testing.assert_close(got.progress, wanted.progress, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(got.reward, wanted.reward, atol=1e-4, rtol=1e-6)
    assert torch.equal(got.complete, wanted.complete)


def test_both_forms_agree_without_a_head() -> None:
    rule = RewardRule(constant=1.0, scale=0.0, head="none")
    progress, failed = torch.tensor([0.0, 0.5]), torch.tensor([False, True])
    wanted, got = pay(rule, None, progress, failed), by_row(rule, torch.zeros(2), progress, failed)
    assert all(torch.equal(one, other) for one, other in zip(wanted, got, strict=True))
