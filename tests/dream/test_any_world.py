"""The batched dream for worlds of other kinds: sizes, actions, rewards and time limits come from the world model."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import ActionSet, RewardRule, to_card
from tests.support.dream_cores import started

NUMBERS = {"low": (-1.0,) * 3, "high": (1.0,) * 3, "names": ("a", "b", "c"), "squash": ("tanh",) * 3}


def of_world(model: WorldModel, actions: ActionSet, rewards: RewardRule, limit: int = 50) -> WorldModel:
    card = {"world": "Toy", "actions": to_card(actions), "rewards": to_card(rewards)}
    return WorldModel(
        model.vision, model.memory, model.starts, None, {**model.card, **card, "max_episode_steps": limit, "fps": 10}
    )


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("rewards", [RewardRule(constant=1.0, scale=0.0, head="none", failure=1.0), RewardRule()])
def test_a_step_pays_by_the_world_models_rule(
    make_world_model: Callable[..., WorldModel], fast: bool, rewards: RewardRule
) -> None:
    model = of_world(make_world_model(factors=0), ActionSet(**NUMBERS), rewards, limit=3)  # type: ignore[arg-type]
    core, single = started(model, 5, fast=fast), started(model, 1)
    paid, alone = core.step(torch.zeros(5, 3)), single.single_stepper().step(torch.zeros(3).numpy())
    if rewards.head == "none":
        assert paid.reward.tolist() == [1.0] * 5
        assert not core.progress.any()
        width = 3 * model.memory.mixtures * model.memory.latent_size + 1
        assert core._head_outputs[0].shape[1] == width  # no reward head is computed
    else:
        assert torch.allclose(paid.reward, core.progress, atol=1e-6)
        assert (paid.reward != 0).all()
    assert alone.reward == pytest.approx(float(paid.reward[0]), abs=1e-4)
    assert not paid.complete.any()
    core.step(torch.zeros(5, 3))
    assert core.step(torch.zeros(5, 3)).truncated.all()


@pytest.mark.parametrize(
    ("rule", "given", "executed"),
    [
        ("given", [0.4, -0.2, 0.9], [0.4, -0.2, 0.9]),
        ("thresholds", [0.4, -0.2, 0.9], [1.0, 0.0, 1.0]),
        ("argmax", [0.4, -0.2, 0.9], [0.0, 0.0, 1.0]),
    ],
)
def test_the_executed_action_is_the_one_that_counts(
    toy_world_model: WorldModel, rule: str, given: list[float], executed: list[float]
) -> None:
    actions = ActionSet(**NUMBERS, rule=rule, threshold=0.3)  # type: ignore[arg-type]
    model = of_world(copy.copy(toy_world_model), actions, RewardRule())
    ours, theirs = started(model, 2), started(model, 2)
    ours.step(torch.tensor([given, given]))
    theirs.step_executed(torch.tensor([executed, executed]))
    assert torch.equal(ours.features, theirs.features)


def test_the_time_limit_is_the_worlds_unless_given(toy_world_model: WorldModel) -> None:
    model = of_world(toy_world_model, ActionSet(**NUMBERS), RewardRule(), limit=7)  # type: ignore[arg-type]
    assert DreamCore(model, 1).max_episode_steps == 7
    assert DreamCore(model, 1, max_episode_steps=None).max_episode_steps is None
