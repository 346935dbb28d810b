"""What M's losses ask for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dreamgym.memory.losses import MemoryLoss, memory_loss
from dreamgym.memory.sequences import SequenceSampler, known_progress
from dreamgym.memory.trainee import Trainee
from dreamgym.worlds.base import ActionSet, FidelityCases, Labels, ModelSizes, RewardRule
from dreamgym.worlds.registry import find
from tests.support.latent_episodes import toy_episode, trainee

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_failure_that_is_paid_instead_is_not_asked_of_the_reward_head():
    rewards = np.array([2, 2, -100], np.float32)
    pays = RewardRule(failure=-100.0)
    np.testing.assert_array_equal(known_progress(rewards, 1, pays, failed=True), [2, 2, np.nan])
    np.testing.assert_array_equal(known_progress(rewards, 1, pays), rewards)  # a time limit
    np.testing.assert_array_equal(known_progress(rewards, 1, RewardRule(), failed=True), rewards)  # paid as any other
    assert rewards.tolist() == [2, 2, -100]


def test_a_second_lap_asks_for_no_progress():
    progress, rule = np.array([4, 0, 5, 0, 0, 0], np.float32), find().rewards
    np.testing.assert_array_equal(known_progress(progress, 10, rule), [4, 0, 5, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(known_progress(progress, 11, rule), progress)  # stuck, not lapping
    np.testing.assert_array_equal(known_progress(progress, 10, replace(rule, cap=None)), progress)
    np.testing.assert_array_equal(
        known_progress(progress, 11, rule, failed=True), progress
    )  # a count has no part of it
    model = trainee()
    head = model.memory.reward_head
    assert head is not None
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    episode = replace(toy_episode(6, 0.0), progress=progress, total_units=10)
    batch = SequenceSampler([episode], 6, start_share=1.0).sample(np.random.default_rng(0), 1, torch.device("cpu"))
    rate = math.log(2.0)  # softplus of 0
    expected = (3 * rate - 9 * math.log(rate + 1e-6)) / 6
    loss = memory_loss(model, batch).reward
    assert loss.item() == pytest.approx(expected, rel=1e-3)
    loss.backward()
    assert torch.isfinite(head.weight.grad).all()


def test_labels_are_of_the_frame_after_the_step_and_unknown_where_not_recorded():
    steps = np.arange(31, dtype=np.float32)
    known = replace(toy_episode(30, 1.0), labels={"motion": np.repeat(steps[:, None], 4, axis=1)})
    sampler = SequenceSampler([toy_episode(30, 0.0), known], 10, start_share=0.0)
    batch = sampler.sample(np.random.default_rng(0), 64, torch.device("cpu"))
    motion, has = batch.labels["motion"], batch.z[:, 0, 0] > 0
    assert has.any() and torch.isnan(motion[~has]).all()
    assert torch.equal(motion[has][..., 2], (batch.next_z[..., 1] * 64)[has])
    model = trainee()
    torch.nn.init.zeros_(model.label_heads[0].weight)
    torch.nn.init.zeros_(model.label_heads[0].bias)
    mask = batch.mask[has].bool()
    expected = motion[has].square().mean(dim=-1)[mask].mean()
    torch.testing.assert_close(memory_loss(model, batch).auxiliaries["motion"], expected)
    unknown = SequenceSampler([toy_episode(30, 0.0)], 10).sample(np.random.default_rng(0), 4, torch.device("cpu"))
    assert memory_loss(model, unknown).auxiliaries["motion"] == 0.0


def test_a_label_may_have_the_name_of_a_loss():
    terms = MemoryLoss(
        *map(torch.tensor, (1.0, 2.0, 3.0, 4.0)), {"reward": torch.tensor(5.0), "step": torch.tensor(6.0)}
    )
    scalars = {"latent": 1.0, "reward": 2.0, "termination": 3.0, "factors": 4.0}
    assert terms.scalars() == {**scalars, "label_reward": 5.0, "label_step": 6.0}


def test_another_world_has_other_heads_and_sizes():
    rule = RewardRule(head="value")
    push = ActionSet((0.0,), (1.0,), ("push",), ("unit",))
    world = replace(find(), rewards=rule, labels=Labels(), actions=push, probes={}, fidelity=FidelityCases())
    model = Trainee(world, ModelSizes(latents=2, hidden_units=4, mixtures=3, factors=0))
    memory = model.memory
    assert (memory.action_size, memory.mixtures, memory.factors, memory.event_head) == (1, 3, 0, None)
    episode = replace(toy_episode(30, 0.0), actions=np.zeros((30, 1), np.float32))
    sampler = SequenceSampler([episode], 10, world=world)
    batch = sampler.sample(np.random.default_rng(0), 8, torch.device("cpu"))
    assert batch.labels == {} and sampler.reward_variance == pytest.approx(np.var([*range(30), 0]))
    head_output = memory.reward(memory(batch.z, batch.action)[0])
    expected = ((head_output - batch.reward).square() * batch.mask).sum() / batch.mask.sum() / sampler.reward_variance
    terms = memory_loss(model, batch, reward_variance=sampler.reward_variance)
    torch.testing.assert_close(terms.reward, expected)
    assert terms.auxiliaries == {} and terms.factors == 0.0
    survival = Trainee(
        replace(world, rewards=RewardRule(head="none", scale=0.0)), ModelSizes(latents=2, hidden_units=4)
    )
    assert survival.memory.reward_head is None and not survival.memory.reward(torch.ones(3, 4)).any()
