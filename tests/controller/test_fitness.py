"""What a rollout is worth: seeds, penalties and excess progress."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.config import EvolveConfig
from dreamgym.controller.fitness import ExcessProgress, RolloutScores, rollout_seeds


def test_seeds_are_the_generations_and_end_with_those_of_hard_rollouts():
    config = EvolveConfig(out=Path("unused"), rollouts=4, hard_rollouts=2)
    first, second = rollout_seeds(config, 0), rollout_seeds(config, 1)
    assert first == rollout_seeds(config, 0) and len({*first, *second}) == 12
    assert rollout_seeds(replace(config, seed=1), 0) != first


def test_fitness_is_the_mean_less_penalties_and_of_hard_rollouts_apart(tmp_path: Path):
    returns = np.array([[1.0, 9.0, 5.0, 3.0]])
    smoothness, squares = np.array([[0.0, 4.0, 0.0, 0.0]]), np.array([[4.0, 0.0, 0.0, 0.0]])
    event = np.array([[0.0, 0.0, 1.0, 0.0]])
    scores = RolloutScores(returns, np.ones((1, 4), int), smoothness, np.zeros((1, 4)), squares, event)

    def fitness(**settings: Any) -> float:
        return float(scores.fitness(EvolveConfig(out=tmp_path, **settings))[0])

    assert fitness(rollouts=4) == 4.5
    assert fitness(rollouts=4, smoothness=2.0) == 2.5  # 1, 1, 5, 3
    assert fitness(rollouts=4, action_penalty=1.0) == 3.5
    assert fitness(rollouts=4, event_penalty=8.0) == 2.5
    assert fitness(rollouts=3, hard_rollouts=1, hard_weight=10.0) == 35.0


@pytest.mark.parametrize("library", [np.asarray, torch.tensor])
def test_excess_progress_is_what_is_gained_faster_than_the_limit(library: Any):
    excess = ExcessProgress(1.0, -0.1)
    for _ in range(500):
        found = excess(library([2.9, 0.9, 0.4]))  # 3, 1 and 0.5 points of progress a frame
    np.testing.assert_allclose(found, [2.0, 0.0, 0.0], atol=1e-3)
    first = ExcessProgress(1.0, -0.1)(library([12.4, -0.1, -0.1]))  # one tile alone is not too fast
    np.testing.assert_allclose(first, 0.0, atol=1e-6)
    assert not ExcessProgress(math.inf, -0.1)(library([99.0])).any()
