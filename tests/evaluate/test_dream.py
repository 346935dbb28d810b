"""Episodes in the dream: scored as the core pays, the same in any company."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.errors import ActionError, ConfigError
from dreamgym.evaluate import evaluate_dream
from dreamgym.world_model import WorldModel
from tests.conftest import ModelFactory
from tests.support.corridor import corridor_model
from tests.support.policies import Constant, Noting


def test_a_dream_is_scored_as_the_core_pays(toy_world_model: WorldModel) -> None:
    controller = toy_world_model.controller
    assert controller is not None
    core = DreamCore(toy_world_model, 1, temperature=0.8, max_episode_steps=60)
    core.reset(seeds=torch.tensor([5]), start="anywhere")
    total, over = 0.0, False
    while not over:
        step = core.step(torch.from_numpy(controller(core.features.numpy().copy())))
        total += float(step.reward)
        over = bool(step.terminated | step.truncated)
    (result,) = evaluate_dream(
        controller, [5], world_model=toy_world_model, temperature=0.8, start="anywhere", max_episode_steps=60
    )
    assert result.score == pytest.approx(total)
    assert result.length == int(core.elapsed)
    assert result.progress == pytest.approx(float(core.progress))
    assert result.units == 40.0


def test_a_dream_does_not_depend_on_its_company(toy_world_model: WorldModel) -> None:
    controller = toy_world_model.controller
    assert controller is not None
    together = evaluate_dream(controller, range(7), world_model=toy_world_model, max_episode_steps=50)
    alone = [evaluate_dream(controller, [s], world_model=toy_world_model, max_episode_steps=50)[0] for s in range(7)]
    assert together == alone
    assert len({result.score for result in together}) == 7


def test_a_policy_that_remembers_is_told_of_episodes(toy_world_model: WorldModel) -> None:
    assert toy_world_model.controller is not None
    policy = Noting(toy_world_model.controller)
    evaluate_dream(policy, [3, 4], world_model=toy_world_model, max_episode_steps=2)
    assert policy.seeds == [[3, 4]]
    assert policy.seen[0].shape == (2, 20)


def test_bad_requests_are_refused(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        evaluate_dream(Constant(0, 0, 0), [], world_model=toy_world_model)
    with pytest.raises(ActionError):
        evaluate_dream(Constant(2, 0, 0), [1], world_model=toy_world_model)


def test_another_world_is_scored_by_its_rule_and_its_time_limit() -> None:
    model = corridor_model()
    near_left, left = (evaluate_dream(Constant(at), [1, 2], world_model=model) for at in (-0.8, -1.0))
    assert near_left == left  # the nearest discrete action counts
    assert [(each.score, each.length, each.failed, each.complete) for each in left] == [(100.0, 100, False, False)] * 2
    with pytest.raises(ActionError):
        evaluate_dream(Constant(0, 0, 0), [1], world_model=model)


def test_a_dream_says_how_it_ended(toy_world_model: WorldModel, make_world_model: ModelFactory) -> None:
    memory = copy.deepcopy(toy_world_model.memory)
    memory.termination_head.bias.fill_(40.0)  # type: ignore[union-attr]
    ending, lap = replace(toy_world_model, memory=memory), make_world_model(lap_units=0.5)
    found = [evaluate_dream(Constant(0, 1, 0), range(3), world_model=model) for model in (ending, lap)]
    assert [(each.failed, each.complete, each.length) for each in found[0]] == 3 * [(True, False, 1)]
    assert [(each.failed, each.complete, each.progress) for each in found[1]] == 3 * [(False, True, lap.rewards.cap)]
