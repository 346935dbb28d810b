from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamgym.config import EvolveConfig
from dreamgym.control.rollouts import EnvTrials, rollout_seeds
from dreamgym.dream.core import DreamCore
from dreamgym.dream_trials import DreamTrials, dream_rollout
from dreamgym.errors import WorkerError
from dreamgym.world_model import WorldModel


@pytest.fixture
def config(toy_world_model: WorldModel, tmp_path: Path) -> EvolveConfig:
    toy_world_model.save(tmp_path / "world")
    return EvolveConfig(
        out=tmp_path / "run",
        world_model=tmp_path / "world",
        population=5,
        rollouts=4,
        max_episode_steps=20,
        pace_limit=0.5,
        temperature=(0.5, 1.5),
    )


def test_hard_rollouts_are_short_and_begin_at_hard_moments(config: EvolveConfig):
    harder = replace(config, hard_rollouts=3, hard_steps=7)
    with DreamTrials(replace(harder, workers=1)) as alone, DreamTrials(replace(harder, workers=2)) as shared:
        one, two = alone(population(alone), 3), shared(population(shared), 3)
    np.testing.assert_array_equal(one.returns, two.returns)
    assert one.returns.shape == (5, 7)
    assert one.lengths[:, 4:].max() == 7 < one.lengths[:, :4].max() <= 20
    core = DreamCore(WorldModel.load(config.world_model), 15, temperature=config.temperature, max_episode_steps=7)
    core.reset(seeds=torch.tensor(rollout_seeds(harder, 3)[4:] * 5), start="hard", progress=0.0)
    weights = population(alone).astype(np.float32)
    np.testing.assert_array_equal(one.returns[:, 4:], dream_rollout(core, weights, pace_limit=0.5).returns)


def population(trials: DreamTrials) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((5, trials.parameters))


def test_scores_do_not_depend_on_the_number_of_processes(config: EvolveConfig):
    with DreamTrials(replace(config, workers=1)) as alone, DreamTrials(replace(config, workers=2)) as shared:
        one, two = alone(population(alone), 3), shared(population(shared), 3)
        other = alone(population(alone), 4)
    for name in ("returns", "lengths", "smoothness", "haste", "effort", "missed"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.returns.shape == (5, 4) and len(np.unique(one.returns)) > 10
    assert not np.array_equal(one.returns, other.returns)


def test_missed_is_the_probability_that_anything_was(config: EvolveConfig):
    """From the expected number of misses of the steps that were driven."""
    core = DreamCore(WorldModel.load(config.world_model), 2)
    core.reset(seeds=torch.arange(2))
    weights = np.zeros((1, 3 * core.features.shape[1] + 3), np.float32)
    expected, running = np.zeros(2), np.ones(2, bool)
    action = torch.tensor([[0.0, 0.5, 0.0]]).repeat(2, 1)  # of a controller of zeros
    while running.any():
        step = core.step(action)
        expected += core.missed().numpy() * running
        running &= ~(step.terminated | step.truncated).numpy()
    assert 0.01 < expected.min()
    core.reset(seeds=torch.arange(2))
    np.testing.assert_allclose(dream_rollout(core, weights).missed[0], 1.0 - np.exp(-expected), rtol=1e-4)


def test_scores_are_those_of_the_vector_environment(config: EvolveConfig, tmp_path: Path):
    envs = gym.make_vec(
        "dreamgym:DreamCarRacing-v0",
        num_envs=20,
        vectorization_mode="vector_entry_point",
        max_episode_steps=20,
        world_model=tmp_path / "world",
        temperature=config.temperature,
    )
    with DreamTrials(replace(config, workers=1)) as trials:
        wanted, got = EnvTrials(envs, config)(population(trials), 0), trials(population(trials), 0)
    envs.close()
    np.testing.assert_array_equal(got.lengths, wanted.lengths)
    for name in ("returns", "smoothness", "haste", "effort"):
        np.testing.assert_allclose(getattr(got, name), getattr(wanted, name), atol=1e-2)


def test_noise_disturbs_every_second_rollout_and_all_candidates_alike(config: EvolveConfig):
    noisy = replace(config, action_noise=0.3)
    with DreamTrials(replace(config, workers=1)) as calm, DreamTrials(replace(noisy, workers=2)) as shared:
        wanted, got = calm(population(calm), 0), shared(population(shared), 0)
    with DreamTrials(replace(noisy, workers=1)) as alone:
        same = np.zeros((5, alone.parameters))
        equal, again = alone(same, 0), alone(population(alone), 0)
    np.testing.assert_array_equal(got.returns, again.returns)
    np.testing.assert_array_equal(got.returns[:, ::2], wanted.returns[:, ::2])
    assert (got.returns[:, 1::2] != wanted.returns[:, 1::2]).any()
    assert (equal.returns == equal.returns[0]).all()


def test_a_process_that_dies_is_an_error_that_says_how_to_go_on(config: EvolveConfig):
    with DreamTrials(replace(config, workers=2)) as trials:
        trials(population(trials), 0)
        trials._processes[0][0].kill()
        with pytest.raises(WorkerError, match="go on"):
            trials(population(trials), 1)


def test_an_error_in_a_process_is_raised_here(config: EvolveConfig):
    with DreamTrials(replace(config, workers=2)) as trials:
        with pytest.raises(RuntimeError) as raised:
            trials(population(trials)[:, :-3], 0)
        assert not isinstance(raised.value, WorkerError)
        assert np.isfinite(trials(population(trials), 0).returns).all()  # the processes go on


def test_closing_leaves_no_process(config: EvolveConfig):
    trials = DreamTrials(replace(config, workers=2))
    processes = [process for process, _ in trials._processes]
    trials.close()
    assert len(processes) == 2 and not any(process.is_alive() for process in processes)


def test_the_subspace_is_that_of_the_bank(config: EvolveConfig, toy_world_model: WorldModel):
    with DreamTrials(replace(config, workers=1, subspace=3)) as trials:
        assert trials.subspace is not None and trials.subspace.basis.shape == (3, (trials.parameters - 3) // 3)
    with DreamTrials(replace(config, workers=1)) as trials:
        assert trials.subspace is None
