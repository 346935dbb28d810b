"""What the dream pays, when it ends, how it samples, and where it begins."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.world_model import WorldModel
from tests.support.dream_cores import started


def with_heads(
    model: WorldModel, *, progress: float | None = None, termination: float | None = None, **card: float
) -> WorldModel:
    """The world model with constant heads: progress in units a step, termination a probability."""
    memory = copy.deepcopy(model.memory)
    with torch.no_grad():
        if progress is not None:
            memory.reward_head.weight.zero_()
            memory.reward_head.bias.fill_(math.log(math.expm1(progress)) if progress > 0 else -1e4)
        if termination is not None:
            memory.termination_head.weight.zero_()
            memory.termination_head.bias.fill_(torch.logit(torch.tensor(termination)).clamp(-90, 90))
    return WorldModel(model.vision, memory, model.starts, None, {**model.card, **card})


def idle(count: int) -> Tensor:
    return torch.zeros(count, 3)


def test_progress_pays_its_share_of_a_lap_less_the_frame(toy_world_model: WorldModel) -> None:
    core = started(with_heads(toy_world_model, progress=0.5, termination=0.0), 2)  # of 40 units
    step = core.step(idle(2))
    assert step.reward.tolist() == pytest.approx([1000 * 0.5 / 40 - 0.1] * 2, abs=1e-3)
    assert core.progress.tolist() == pytest.approx([0.5 / 40] * 2)
    standing = started(with_heads(toy_world_model, progress=0.0, termination=0.0), 2)
    assert standing.step(idle(2)).reward.tolist() == pytest.approx([-0.1] * 2)


@pytest.mark.parametrize("way", ["default", "compiled", "single"])
@pytest.mark.parametrize(("expected", "paid"), [(0.0199, 0.0), (0.0201, 0.0201)])
def test_what_is_expected_up_to_the_threshold_pays_nothing(
    toy_world_model: WorldModel, way: str, expected: float, paid: float
) -> None:
    model = with_heads(toy_world_model, progress=expected, termination=0.0)
    core = started(model, 1, fast=way == "compiled")
    if way == "single":
        rewards = [core.single_stepper().step(np.zeros(3, np.float32)).reward for _ in range(3)]
    else:
        rewards = [float(core.step(idle(1)).reward) for _ in range(3)]
    assert rewards == pytest.approx([1000 * paid / 40 - 0.1] * 3, abs=1e-3)
    assert float(core.progress) == pytest.approx(3 * paid / 40, abs=1e-7)
    assert float(core.last_prediction.reward) == pytest.approx(expected)  # M still says what it expects


def test_a_lap_pays_a_thousand_once_and_ends(toy_world_model: WorldModel) -> None:
    core = started(with_heads(toy_world_model, progress=3.0, termination=0.0), 1)
    total, frames = 0.0, 0
    while True:
        step = core.step(idle(1))
        total, frames = total + float(step.reward), frames + 1
        if step.terminated:
            break
    assert frames == 14  # ceil(40 / 3), the last payment clipped
    assert step.complete
    assert total == pytest.approx(1000 - 0.1 * frames, abs=1e-3)
    assert float(core.progress) == 1.0
    beyond = core.step(idle(1))
    assert float(beyond.reward) == pytest.approx(-0.1)
    assert beyond.terminated


def test_a_start_on_the_way_pays_only_what_is_left(toy_world_model: WorldModel) -> None:
    model = with_heads(toy_world_model, progress=3.0, termination=0.0)
    core = DreamCore(model, 8)
    core.reset(seeds=torch.arange(8), start="anywhere")
    begun = core.progress.clone()
    total, finished = torch.zeros(8), torch.zeros(8, dtype=torch.bool)
    for _ in range(20):
        step = core.step(idle(8), ~finished)
        total += step.reward + 0.1 * ~finished
        finished |= step.complete
    assert finished.all()
    torch.testing.assert_close(total, 1000 * (1 - begun), atol=1e-2, rtol=0)


def test_leaving_pays_minus_a_hundred_instead_of_all_else(toy_world_model: WorldModel) -> None:
    core = started(with_heads(toy_world_model, progress=100.0, termination=1.0), 3)
    step = core.step(idle(3))
    assert step.reward.tolist() == [-100.0] * 3
    assert step.terminated.all()
    assert not step.complete.any()


def test_ends_are_as_frequent_as_the_head_says(toy_world_model: WorldModel) -> None:
    core = started(with_heads(toy_world_model, progress=0.0, termination=0.2), 500)
    ends = torch.stack([core.step(idle(500)).terminated for _ in range(20)]).double()
    assert abs(float(ends.mean()) - 0.2) < 5 * math.sqrt(0.2 * 0.8 / 10_000)


def test_truncation_at_the_time_limit(toy_world_model: WorldModel) -> None:
    model = with_heads(toy_world_model, progress=0.0, termination=0.0)
    core = started(model, 2, max_episode_steps=3)
    assert [core.step(idle(2)).truncated.tolist() for _ in range(2)] == [[False, False]] * 2
    core.reset(torch.tensor([True, False]))
    assert core.step(idle(2)).truncated.tolist() == [False, True]
    endless = started(model, 1, max_episode_steps=None)
    assert not any(endless.step(idle(1)).truncated for _ in range(20))


LOADING = 0.3


def sampled(model: WorldModel, temperature: float, logits: Tensor, means: Tensor, sigmas: Tensor) -> Tensor:
    """Many first latents of a dream whose mixture is the same everywhere, (rows * steps, Z)."""
    model = with_heads(model, progress=0.0, termination=0.0)
    with torch.no_grad():
        model.memory.mixture_head.weight.zero_()
        parts = model.memory.mixture_head.bias.unflatten(0, (3, 3, 8))
        parts[0], parts[1], parts[2] = logits[:, None], means[:, None], sigmas.log()[:, None]
        assert model.memory.factor_head is not None
        model.memory.factor_head.weight.zero_()
        model.memory.factor_head.bias.zero_()[:8] = LOADING  # of the first factor, the same on all latents
    core = started(model, 1000, temperature=temperature)
    drawn = []
    for _ in range(5):
        core.step(idle(1000))
        drawn.append(core.z.clone())
    return torch.cat(drawn)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.15, 2.5])
def test_mixture_at_a_temperature_against_closed_form(toy_world_model: WorldModel, temperature: float) -> None:
    """Component frequencies are softmax(logits / tau), variances sigma^2 tau (1 + loading^2)."""
    logits, means, sigmas = (
        torch.tensor([0.2, -0.5, 0.9]),
        torch.tensor([-5.0, 0.0, 4.0]),
        torch.tensor([0.2, 0.1, 0.3]),
    )
    z = sampled(toy_world_model, temperature, logits, means, sigmas)
    weights = torch.softmax(logits / temperature, 0)
    component = torch.bucketize(z, torch.tensor([-2.5, 2.0]))
    for k in range(3):
        of_k = z[component == k].double()
        size = z.numel()
        error = 5 * math.sqrt(float(weights[k] * (1 - weights[k])) / size)
        assert abs(len(of_k) / size - float(weights[k])) < error
        variance = float(sigmas[k] ** 2) * temperature * (1.0 + LOADING**2)
        assert abs(float(of_k.mean()) - float(means[k])) < 5 * math.sqrt(variance / len(of_k))
        assert abs(float(of_k.var()) / variance - 1) < 5 * math.sqrt(2 / len(of_k))
    # each latent chooses its component on its own
    together = torch.corrcoef(z.T.double())
    assert (together - torch.eye(8)).abs().max() < 5 / math.sqrt(len(z))


def test_cold_dreams_are_the_mean_of_the_heaviest_component(toy_world_model: WorldModel) -> None:
    logits, means, sigmas = (
        torch.tensor([0.2, 0.1, -0.9]),
        torch.tensor([-5.0, 0.0, 4.0]),
        torch.tensor([1.0, 1.0, 1.0]),
    )
    for temperature in (1e-6, 1e-30):
        z = sampled(toy_world_model, temperature, logits, means, sigmas)
        assert (z + 5.0).abs().max() < 0.01
