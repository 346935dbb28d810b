"""What the batched dream refuses, and that it then changes nothing: actions, arguments, temperatures, NaN."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.errors import ActionError, ConfigError, DivergedError, ResetNeededError, TemperatureError
from dreamgym.world_model import WorldModel
from tests.support.dream_cores import drive, same, started


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (torch.zeros(2, 2), r"\(2, 3\).*\(2, 2\)"),
        (torch.zeros(3), r"\(2, 3\).*\(3,\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "int64"),
        (torch.tensor([[0.0, 0, 0], [torch.nan, 0, 0]]), "nan.*row 1"),
        (torch.tensor([[torch.inf, 0, 0], [0.0, 0, 0]]), "inf.*row 0"),
        (torch.tensor([[0.0, -0.01, 0], [0.0, 0, 0]]), "row 0"),
        (torch.tensor([[0.0, 0, 0], [0.0, 0, 1.00001]]), "row 1"),
    ],
)
def test_bad_actions_change_nothing(toy_world_model: WorldModel, actions: Tensor, message: str) -> None:
    core = started(toy_world_model, 2)
    core.step(torch.zeros(2, 3))
    before = core.get_state()
    with pytest.raises(ActionError, match=message):
        core.step(actions)
    assert same(core.get_state(), before)


def test_actions_a_rounding_error_outside_are_cut(toy_world_model: WorldModel) -> None:
    left, right = started(toy_world_model, 1), started(toy_world_model, 1)
    left.step(torch.tensor([[1.0 + 5e-7, -5e-7, 0.0]]))
    right.step(torch.tensor([[1.0, 0.0, 0.0]]))
    assert torch.equal(left.features, right.features)


def test_step_before_reset(toy_world_model: WorldModel) -> None:
    core = DreamCore(toy_world_model, 3)
    with pytest.raises(ResetNeededError, match=r"rows \[0, 1, 2\]"):
        core.step(torch.zeros(3, 3))
    with pytest.raises(ResetNeededError):
        _ = core.last_prediction
    core.reset(torch.tensor([True, False, True]))
    with pytest.raises(ResetNeededError, match=r"rows \[1\]"):
        core.step(torch.zeros(3, 3))
    core.step(torch.zeros(3, 3), torch.tensor([True, False, True]))


def test_arguments_out_of_range(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="num_envs"):
        DreamCore(toy_world_model, 0)
    with pytest.raises(ConfigError, match="max_episode_steps"):
        DreamCore(toy_world_model, 1, max_episode_steps=0)
    with pytest.raises(ConfigError, match="precision"):
        DreamCore(toy_world_model, 1, precision="float16")
    with pytest.raises(ConfigError, match="fast=False"):
        DreamCore(toy_world_model, 1, precision="float64", fast=True)
    with pytest.raises(ConfigError, match="fast=False"):
        DreamCore(toy_world_model, 1, precision="float64").single_stepper()
    core = started(toy_world_model, 2)
    before = core.get_state()
    with pytest.raises(ConfigError, match="mask"):
        core.reset(torch.ones(3, dtype=torch.bool))
    with pytest.raises(ConfigError, match="seeds"):
        core.reset(seeds=torch.zeros(3, dtype=torch.int64))
    assert same(core.get_state(), before)


def test_nan_in_a_weight_is_named(toy_world_model: WorldModel) -> None:
    for name in ("recurrent_weight", "reward_head.bias"):
        memory = copy.deepcopy(toy_world_model.memory)
        memory.state_dict()[name].flatten()[0] = torch.nan
        broken = WorldModel(toy_world_model.vision, memory, toy_world_model.starts)
        with pytest.raises(DivergedError, match=name):
            DreamCore(broken, 2)


def test_nan_in_one_row_is_named_and_the_others_go_on(toy_world_model: WorldModel) -> None:
    core, healthy = started(toy_world_model, 5), started(toy_world_model, 5)
    for frame in range(5):
        core.step(drive(core.seed, frame))
        healthy.step(drive(healthy.seed, frame))
    core.c[3] = torch.nan
    before = core.features.clone()
    for _ in range(2):
        with pytest.raises(DivergedError, match=r"rows \[3\]"):
            core.step(drive(core.seed, 5))
        assert core.diverged.tolist() == [False, False, False, True, False]
        assert torch.equal(core.features, before)
    core.reset(core.diverged)
    others = torch.tensor([0, 1, 2, 4])
    for frame in range(5, 12):
        ours, theirs = core.step(drive(core.seed, frame)), healthy.step(drive(healthy.seed, frame))
        assert torch.equal(core.features[others], healthy.features[others])
        assert torch.equal(ours.reward[others], theirs.reward[others])
        assert torch.isfinite(core.features).all()


@pytest.mark.parametrize(
    "value", [0, -1.0, float("nan"), float("inf"), 1e-60, (1.0, 0.5), (0.0, 1.0), (1.0,), (1, 2, 3), "1", True, {}]
)
def test_bad_temperatures_change_nothing(toy_world_model: WorldModel, value: object) -> None:
    core = started(toy_world_model, 2)
    before = core.get_state()
    for attempt in (core.set_temperature, lambda bad: core.reset(temperature=bad)):
        with pytest.raises(TemperatureError, match="temperature"):
            attempt(value)  # type: ignore[arg-type]
    with pytest.raises(TemperatureError):
        DreamCore(toy_world_model, 2, temperature=value)  # type: ignore[arg-type]
    assert same(core.get_state(), before)
