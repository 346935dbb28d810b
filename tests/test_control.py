from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamgym.config import EvolveConfig
from dreamgym.control.evolution import Evolution, evolve
from dreamgym.control.linear import LinearController, squash
from dreamgym.control.rollouts import EnvTrials, Pace, RolloutScores
from dreamgym.control.subspace import Subspace
from dreamgym.errors import BundleError, BundleNotFoundError, ConfigError, FitnessError, OutputFolderError


class TargetEnvs(gym.vector.VectorEnv[Any, Any, Any]):
    """Pays for steering like the sign of the observation, more the more it is right; episodes last 3 steps."""

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(-1, 1, (2,))
        self.resets: list[tuple[list[int], str]] = []

    def reset(self, *, seed=None, options=None):
        assert options is not None
        self.resets.append((seed, options["start"]))
        self._state = np.array([np.random.default_rng(one).uniform(-1, 1, 2) for one in seed], np.float32)
        self._time = 0
        return self._state, {}

    def step(self, actions):
        reward = actions[:, 0] * np.sign(self._state[:, 0])
        self._time += 1
        done = np.full(self.num_envs, self._time == 3)
        return self._state, reward, np.zeros(self.num_envs, bool), done, {}


def config_for(folder: Path, **changes: Any) -> EvolveConfig:
    return replace(EvolveConfig(out=folder, generations=6, population=8, rollouts=4, sigma=0.5), **changes)


def evolve_target(config: EvolveConfig, envs: TargetEnvs | None = None, **arguments: Any) -> LinearController:
    return evolve(config, EnvTrials(envs or TargetEnvs(32), config), **arguments)


def resets_of(generations: int) -> int:
    """How often that many generations reset: at the line, and anywhere."""
    return 2 * generations


def test_squashing_is_the_papers():
    raw = np.array([[0.5, 0.5, 0.5], [-2.0, -50.0, -1.0]], np.float32)
    expected = [[np.tanh(0.5), (np.tanh(0.5) + 1) / 2, np.tanh(0.5)], [np.tanh(-2.0), 0.0, 0.0]]
    np.testing.assert_allclose(squash(raw.copy()), expected, atol=1e-6)


def test_controller_round_trips_and_has_867_parameters(tmp_path: Path):
    parameters = np.random.default_rng(0).standard_normal(867).astype(np.float32)
    controller = LinearController.from_parameters(parameters)
    assert controller.weights.shape == (3, 288)
    controller.save(tmp_path / "c.safetensors")
    assert np.array_equal(LinearController.load(tmp_path / "c.safetensors").parameters, parameters)


def test_a_row_of_a_batch_is_the_single_one_to_the_bit():
    controller = LinearController.from_parameters(np.random.default_rng(0).standard_normal(867))
    observations = np.random.default_rng(1).standard_normal((5, 288)).astype(np.float32)
    actions = controller(observations)
    assert actions.shape == (5, 3) and actions.dtype == np.float32
    for row in range(5):
        assert np.array_equal(controller(observations[row]), actions[row])


def test_a_bad_controller_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(BundleNotFoundError):
        LinearController.load(tmp_path / "nothing")
    path = tmp_path / "c.safetensors"
    LinearController.from_parameters(np.zeros(867)).save(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BundleError):
        LinearController.load(path)
    with pytest.raises(ConfigError, match="finite"):
        LinearController.from_parameters(np.full(867, np.nan))


def test_evolution_improves_and_resumes_to_the_bit(tmp_path: Path):
    whole = evolve_target(config_for(tmp_path / "whole"))
    evolve_target(config_for(tmp_path / "cut", generations=3))
    envs = TargetEnvs(32)
    resumed = evolve_target(config_for(tmp_path / "cut"), envs)
    assert len(envs.resets) == resets_of(3)
    assert np.array_equal(whole.parameters, resumed.parameters)
    entries = [json.loads(line) for line in (tmp_path / "whole/generations.jsonl").read_text().splitlines()]
    assert len(entries) == 6
    assert np.mean(entries[-1]["fitness"]) > np.mean(entries[0]["fitness"])


def test_a_line_cut_off_by_a_kill_is_evolved_again(tmp_path: Path):
    whole = evolve_target(config_for(tmp_path / "run"))
    log = tmp_path / "run/generations.jsonl"
    log.write_text(log.read_text()[:-20])
    envs = TargetEnvs(32)
    assert np.array_equal(evolve_target(config_for(tmp_path / "run"), envs).parameters, whole.parameters)
    assert len(envs.resets) == resets_of(1)


def test_numpys_global_generator_is_left_alone(tmp_path: Path):
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    evolve_target(config_for(tmp_path, generations=2))
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


def test_all_candidates_get_the_same_seeds_and_both_kinds_of_start():
    envs = TargetEnvs(32)
    config = config_for(Path("unused"))
    EnvTrials(envs, config)(np.zeros((8, 9)), 0)
    assert [start for _, start in envs.resets] == ["line", "anywhere"]
    seeds = np.array(envs.resets[0][0]).reshape(8, 4)
    assert (seeds == seeds[0]).all() and len(set(seeds[0])) == 4
    EnvTrials(envs, config)(np.zeros((8, 9)), 1)
    assert not set(envs.resets[-1][0]) & set(seeds[0].tolist())


def test_scores_stop_at_an_episodes_end():
    scores = EnvTrials(TargetEnvs(32), config_for(Path("unused")))(np.zeros((8, 9)), 0)
    assert scores.lengths.tolist() == [[3] * 4] * 8


def test_the_best_by_validation_is_kept_and_looks_are_counted(tmp_path: Path):
    means = iter([5.0, 9.0, 1.0])
    seen: list[LinearController] = []

    def validate(controller: LinearController) -> list[float]:
        seen.append(controller)
        return [next(means)]

    best = evolve_target(config_for(tmp_path, validate_every=2), validate=validate)
    assert np.array_equal(best.parameters, seen[1].parameters)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["looks_at_validation"] == 3 and summary["best_validation"] == 9.0


@pytest.mark.parametrize(
    "fitness", [np.zeros(8), np.array([np.nan] * 7 + [1.0]), np.array([-np.inf, np.inf] + [0.0] * 6)]
)
def test_flat_or_partly_broken_fitness_goes_on(fitness: np.ndarray):
    evolution = Evolution(np.zeros(9), 0.5, 8, 0)
    for _ in range(3):
        evolution.ask()
        evolution.tell(fitness)
    assert np.isfinite(evolution.mean.parameters).all()


def test_fitness_that_cannot_be_ranked_is_refused_by_name():
    evolution = Evolution(np.zeros(9), 0.5, 8, 0)
    evolution.ask()
    with pytest.raises(FitnessError):
        evolution.tell(np.full(8, np.nan))


def test_another_configuration_is_refused_and_bad_settings_named(tmp_path: Path):
    evolve_target(config_for(tmp_path, generations=1))
    with pytest.raises(OutputFolderError, match="sigma"):
        evolve_target(config_for(tmp_path, sigma=0.2))
    for change in ({"generations": 0}, {"population": 2}, {"sigma": 0.0}, {"line_share": 1.5}):
        with pytest.raises(ConfigError):
            config_for(tmp_path, **change)


def test_a_subspace_that_is_whole_loses_nothing():
    features = np.random.default_rng(0).standard_normal((50, 4)) * [5.0, 1.0, 0.5, 0.1] + 3.0
    parameters = np.random.default_rng(1).standard_normal(15)
    whole = Subspace.of(features, 4)
    np.testing.assert_allclose(whole.expand(whole.reduce(parameters)), parameters, atol=1e-9)
    assert Subspace.of(features, 5).basis.shape == (4, 4)
    with pytest.raises(ConfigError, match="component"):
        Subspace.of(features, 0)


def test_a_subspace_keeps_what_varies():
    features = np.random.default_rng(0).standard_normal((500, 4)) * [5.0, 1e-3, 2.0, 1e-3]
    parameters = np.random.default_rng(1).standard_normal(15)
    half = Subspace.of(features, 2)
    kept = half.expand(half.reduce(parameters))
    assert kept.shape == (15,)

    def raw(some: np.ndarray) -> np.ndarray:
        return features @ some[:-3].reshape(3, 4).T + some[-3:]

    np.testing.assert_allclose(raw(kept), raw(parameters), atol=0.02)
    assert half.expand(np.zeros((7, 9))).shape == (7, 15)


def test_evolution_keeps_to_its_subspace_and_resumes(tmp_path: Path):
    subspace = Subspace.of(np.random.default_rng(0).uniform(-1, 1, (50, 2)), 1)
    whole = evolve_target(config_for(tmp_path / "whole"), subspace=subspace)
    evolve_target(config_for(tmp_path / "cut", generations=3), subspace=subspace)
    envs = TargetEnvs(32)
    resumed = evolve_target(config_for(tmp_path / "cut"), envs, subspace=subspace)
    assert np.array_equal(resumed.parameters, whole.parameters)
    assert len(envs.resets) == resets_of(3)
    assert whole.parameters.any()
    np.testing.assert_allclose(subspace.expand(subspace.reduce(whole.parameters)), whole.parameters, atol=1e-5)


def test_fitness_is_the_mean_less_penalties_and_of_hard_rollouts_apart(tmp_path: Path):
    returns = np.array([[1.0, 9.0, 5.0, 3.0]])
    smoothness, effort = np.array([[0.0, 4.0, 0.0, 0.0]]), np.array([[4.0, 0.0, 0.0, 0.0]])
    missed = np.array([[0.0, 0.0, 1.0, 0.0]])
    scores = RolloutScores(returns, np.ones((1, 4), int), smoothness, np.zeros((1, 4)), effort, missed)

    def fitness(**settings: Any) -> float:
        return float(scores.fitness(config_for(tmp_path, **settings))[0])

    assert fitness(rollouts=4) == 4.5
    assert fitness(rollouts=4, smoothness=2.0) == 2.5  # 1, 1, 5, 3
    assert fitness(rollouts=4, effort=1.0) == 3.5
    assert fitness(rollouts=4, missed_cost=8.0) == 2.5
    assert fitness(rollouts=3, hard_rollouts=1, hard_weight=10.0) == 35.0


@pytest.mark.parametrize("library", [np.asarray, torch.tensor])
def test_haste_is_what_is_gained_faster_than_the_limit(library: Any):
    pace = Pace(1.0)
    for _ in range(500):
        excess = pace.excess(library([2.9, 0.9, 0.4]))  # 3, 1 and 0.5 points of progress a frame
    np.testing.assert_allclose(excess, [2.0, 0.0, 0.0], atol=1e-3)
    first = Pace(1.0).excess(library([12.4, -0.1, -0.1]))  # one tile is no haste yet
    np.testing.assert_allclose(first, 0.0, atol=1e-6)
    assert not Pace(math.inf).excess(library([99.0])).any()
