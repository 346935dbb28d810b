"""The default engine: its noise and its draws, copies of it, and its fallback without oneDNN."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable

import pytest
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.dream.noise import row_keys
from dreamgym.dream.step import MemoryStep, StepNoise, tempers
from dreamgym.errors import DivergedError
from dreamgym.vision import packed_linear as products
from dreamgym.world_model import WorldModel
from tests.support.dream_cores import started


def rollout(core: DreamCore, frames: int = 5) -> torch.Tensor:
    core.reset(seeds=torch.arange(core.num_envs), start="anywhere")
    seen = []
    for frame in range(frames):
        core.step(torch.full((core.num_envs, 3), 0.1 * frame))
        seen.append(core.features.clone())
    return torch.stack(seen)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda core: pickle.loads(pickle.dumps(core))])
def test_copies_dream_on_alike(
    toy_world_model: WorldModel, precision: str, duplicate: Callable[[DreamCore], DreamCore]
) -> None:
    core = DreamCore(toy_world_model, 3, precision=precision)
    before = duplicate(core)
    expected = rollout(core)
    during = duplicate(core)
    assert torch.equal(during.features, core.features)
    for each in (core, during):
        each.step(torch.zeros(3, 3))
    assert torch.equal(during.features, core.features)
    assert torch.equal(rollout(before), expected)


def test_products_without_onednn_agree(full_size_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rollout(DreamCore(full_size_world_model, 20))
    monkeypatch.setattr(products, "packable", lambda weight, operations: False)
    torch.testing.assert_close(rollout(DreamCore(full_size_world_model, 20)), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("fast", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_the_precision_that_the_processor_multiplies_faster(
    toy_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch, fast: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": fast})
    core = DreamCore(toy_world_model, 3, precision="auto")
    assert core.memory_step.precision == chosen
    assert torch.equal(rollout(core), rollout(DreamCore(toy_world_model, 3, precision=chosen)))


def test_noise_has_the_distributions_that_it_names(toy_world_model: WorldModel) -> None:
    step, rows = DreamCore(toy_world_model, 1).memory_step, 4000
    keys = row_keys(torch.arange(rows), torch.zeros(rows, dtype=torch.int64))
    uniform, normal, end = (part.double() for part in step.noise(keys, torch.full((rows,), 7)))
    assert uniform.shape == (rows, 1, step.latent_size)
    assert normal.shape == (rows, step.latent_size + step.factors)
    deviations = 5 / math.sqrt(rows)
    assert abs(uniform.mean().item() - 0.5) < deviations * 0.29
    assert normal.mean(dim=0).abs().max() < deviations
    assert (normal.var(dim=0) - 1).abs().max() < deviations * math.sqrt(2)
    for odds in (1 / 9, 1 / 3, 1.0, 3.0, 9.0):  # the logistic distribution: P(x > log odds) = 1 / (1 + odds)
        assert abs((end > math.log(odds)).double().mean().item() - 1 / (1 + odds)) < deviations * 0.5
    drawn = torch.cat([uniform[:, 0], normal, end[:, None]], dim=1)
    assert torch.corrcoef(drawn.T).fill_diagonal_(0.0).abs().max() < deviations


def test_every_step_of_a_row_has_noise_of_its_own(toy_world_model: WorldModel) -> None:
    step, steps = DreamCore(toy_world_model, 1).memory_step, 200
    keys = row_keys(torch.tensor([5]), torch.tensor([0])).repeat(steps, 1)
    uniform, normal, end = step.noise(keys, torch.arange(steps))
    drawn = torch.cat([uniform[:, 0], normal, end[:, None]], dim=1)
    assert all(len(column.unique()) == steps for column in drawn.T)
    for lag in range(1, drawn.shape[1]):  # nor is a draw one of the next step's
        assert not (drawn[:-1, lag:] == drawn[1:, :-lag]).any()
        assert not (drawn[1:, lag:] == drawn[:-1, :-lag]).any()


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2.0**-24])
def test_a_component_without_weight_is_never_drawn(toy_world_model: WorldModel, uniform: float) -> None:
    core = DreamCore(toy_world_model, 2)
    step = core.memory_step
    sizes = (2, step.mixtures, step.latent_size)
    logits, means = torch.full(sizes, -1e4), torch.zeros(sizes)
    logits[:, 1], means[:, 1] = 0.0, 7.0
    outputs = torch.cat([part.flatten(1) for part in (logits, means, torch.zeros(sizes))], dim=1)
    heads = torch.zeros(2, step.factors * step.latent_size + 2)
    noise = StepNoise(
        torch.full((2, 1, step.latent_size), uniform), torch.zeros(2, step.latent_size + step.factors), torch.zeros(2)
    )
    drawn = step.sample(torch.cat([outputs, heads], dim=1), *tempers(torch.ones(2, 1)), noise)
    assert (drawn == 7.0).all()


def test_a_reward_head_is_read_unless_the_world_has_no_use_for_it(toy_world_model: WorldModel) -> None:
    memory, hidden = toy_world_model.memory, torch.ones(2, toy_world_model.memory.hidden_size + 1)
    reading, others = MemoryStep(memory), MemoryStep(memory, reward_head=False)
    outputs, fewer = reading.predict(hidden), others.predict(hidden)
    said, unsaid = reading.prediction(outputs), others.prediction(fewer)
    assert fewer.shape[1] == outputs.shape[1] - 1
    assert reading.reward_output(outputs) is not None
    assert others.reward_output(fewer) is None
    assert said.reward.all() and not unsaid.reward.any()
    torch.testing.assert_close(unsaid.termination_logit, said.termination_logit)


def test_a_row_whose_progress_is_not_finite_is_named(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 3)
    core.progress[1] = torch.nan
    with pytest.raises(DivergedError, match=r"rows \[1\]"):
        core.step(torch.zeros(3, 3))
    assert core.clamped == 0
