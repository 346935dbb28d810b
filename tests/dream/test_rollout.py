"""A batch of dreams, played to the end of their episodes."""

from __future__ import annotations

import torch

from dreamgym.dream.rollout import rollout
from dreamgym.world_model import WorldModel
from tests.support.dream_cores import started


def act(features: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[0.1, 0.5, 0.0]]).repeat(len(features), 1)


def test_it_ends_with_the_last_episode_and_says_whose_steps_count(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 6, max_episode_steps=40)
    rows = [(step, running) for step, running in rollout(core, act)]
    lengths = sum(running.int() for _, running in rows)
    assert len(rows) == lengths.max() <= 40 and lengths.min() < lengths.max()
    for row, length in enumerate(lengths.tolist()):
        step, _ = rows[length - 1]
        assert bool(step.terminated[row] | step.truncated[row])
        assert not any(bool(step.terminated[row] | step.truncated[row]) for step, _ in rows[: length - 1])


def test_rows_may_be_held_at_their_end_and_the_episodes_are_the_same(toy_world_model: WorldModel) -> None:
    free, held = (started(toy_world_model, 6, max_episode_steps=40) for _ in range(2))
    for (one, running), (other, same) in zip(rollout(free, act), rollout(held, act, hold=True), strict=True):
        assert torch.equal(running, same)
        assert torch.equal(one.reward * running, other.reward)
    assert not torch.equal(free.elapsed, held.elapsed)
    assert held.elapsed.max() <= 40 and held.elapsed.min() < held.elapsed.max()
