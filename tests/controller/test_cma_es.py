from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamgym.config import EvolveConfig
from dreamgym.controller.cma_es import Evolution, evolve
from dreamgym.controller.fitness import RolloutScores
from dreamgym.controller.linear import LinearController
from dreamgym.controller.subspace import Subspace
from dreamgym.errors import ConfigError, EpisodeFileError, FitnessError, OutputFolderError
from dreamgym.worlds.base import Squash
from dreamgym.worlds.registry import find


class Target:
    """Trials that pay for steering like the sign of what is seen, more the more it is right, in 3 rollouts."""

    def __init__(self, squash: Sequence[Squash] | None = None) -> None:
        self.zeros = LinearController.zeros(2, squash or find().actions.squash)
        self.generations: list[int] = []

    def __call__(self, candidates: np.ndarray, generation: int) -> RolloutScores:
        self.generations.append(generation)
        seen = np.random.default_rng(generation).uniform(-1, 1, (4, 2)).astype(np.float32)
        steering = np.stack([self.zeros.with_parameters(one)(seen)[:, 0] for one in candidates])
        returns = 3.0 * steering * np.sign(seen[:, 0])
        none = np.zeros_like(returns)
        return RolloutScores(returns, np.full(returns.shape, 3), none, none, none, none)


def config_for(folder: Path, **changes: Any) -> EvolveConfig:
    return replace(EvolveConfig(out=folder, generations=6, population=8, rollouts=4, sigma=0.5), **changes)


def evolve_target(config: EvolveConfig, trials: Target | None = None, **arguments: Any) -> LinearController:
    return evolve(config, trials or Target(), **arguments)


def test_a_controller_of_another_form_is_not_gone_on_with(tmp_path: Path):
    LinearController.zeros(2, ("tanh",)).save(tmp_path / "other.safetensors")
    config = config_for(tmp_path / "run", initial=tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"other\.safetensors: expected a controller"):
        evolve_target(config)
    evolve_target(replace(config, generations=1, out=tmp_path / "fitting"), Target(("tanh",)))


def test_evolution_improves_and_resumes_to_the_bit(tmp_path: Path):
    whole = evolve_target(config_for(tmp_path / "whole"))
    evolve_target(config_for(tmp_path / "cut", generations=3))
    trials = Target()
    resumed = evolve_target(config_for(tmp_path / "cut"), trials)
    assert trials.generations == [3, 4, 5]
    assert np.array_equal(whole.parameters, resumed.parameters)
    entries = [json.loads(line) for line in (tmp_path / "whole/generations.jsonl").read_text().splitlines()]
    assert len(entries) == 6
    assert np.mean(entries[-1]["fitness"]) > np.mean(entries[0]["fitness"])


def test_a_line_cut_off_by_a_kill_is_evolved_again(tmp_path: Path):
    whole = evolve_target(config_for(tmp_path / "run"))
    log = tmp_path / "run/generations.jsonl"
    log.write_text(log.read_text()[:-20])
    trials = Target()
    assert np.array_equal(evolve_target(config_for(tmp_path / "run"), trials).parameters, whole.parameters)
    assert trials.generations == [5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "'generation'"),
        ("[1]", "indices"),
        ('{"generation": 0, "fitness": [1, 2, 3, 4, 5, 6, 7, 8]}', "generation 0 where 6 should be"),
        ('{"generation": 6, "fitness": [1, 2]}', "2 candidates, not 8"),
        ('{"generation": 6, "fitness": ["a", 2, 3, 4, 5, 6, 7, 8]}', "no number"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_log_is_refused_by_name_and_kept(tmp_path: Path, line: str, message: str):
    evolve_target(config_for(tmp_path))
    log = tmp_path / "generations.jsonl"
    log.write_text(log.read_text() + line + "\n")
    before = log.read_text()
    with pytest.raises(
        EpisodeFileError,
        match=rf"generations\.jsonl is damaged .*{message}.*; put back a good copy, or choose another folder",
    ):
        evolve_target(config_for(tmp_path))
    assert log.read_text() == before


def test_a_run_goes_on_in_the_same_world_alone(tmp_path: Path):
    evolve_target(config_for(tmp_path, generations=2), inputs={"world_model_sha256": "aa"})
    with pytest.raises(OutputFolderError, match="world_model_sha256: 'aa' there, 'bb' now"):
        evolve_target(config_for(tmp_path), inputs={"world_model_sha256": "bb"})
    evolve_target(config_for(tmp_path), inputs={"world_model_sha256": "aa"})


def test_a_run_is_no_other_process_s_while_it_evolves(tmp_path: Path):
    def second(*_: object) -> None:
        with pytest.raises(OutputFolderError, match="another process"):
            evolve_target(config_for(tmp_path))

    evolve_target(config_for(tmp_path), on_generation=second)
    assert len((tmp_path / "generations.jsonl").read_text().splitlines()) == 6


def test_fewer_generations_do_not_replace_the_result_of_more(tmp_path: Path):
    whole = evolve_target(config_for(tmp_path))
    again = evolve_target(config_for(tmp_path, generations=2))
    assert np.array_equal(again.parameters, whole.parameters)
    assert np.array_equal(LinearController.load(tmp_path / "controller.safetensors").parameters, whole.parameters)


def test_numpys_global_generator_is_left_alone(tmp_path: Path):
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    evolve_target(config_for(tmp_path, generations=2))
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


def test_the_best_by_validation_is_kept_and_validation_runs_are_counted(tmp_path: Path):
    means = iter([5.0, 9.0, 1.0])
    seen: list[LinearController] = []

    def validate(controller: LinearController) -> list[float]:
        seen.append(controller)
        return [next(means)]

    best = evolve_target(config_for(tmp_path, validate_every=2), validate=validate)
    assert np.array_equal(best.parameters, seen[1].parameters)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["validation_runs"] == 3 and summary["best_validation"] == 9.0


@pytest.mark.parametrize(
    "fitness", [np.zeros(8), np.array([np.nan] * 7 + [1.0]), np.array([-np.inf, np.inf] + [0.0] * 6)]
)
def test_flat_or_partly_broken_fitness_goes_on(fitness: np.ndarray):
    evolution = Evolution(Target().zeros, 0.5, 8, 0)
    for _ in range(3):
        evolution.ask()
        evolution.tell(fitness)
    assert np.isfinite(evolution.mean.parameters).all()


def test_fitness_that_cannot_be_ranked_is_refused_by_name():
    evolution = Evolution(Target().zeros, 0.5, 8, 0)
    evolution.ask()
    with pytest.raises(FitnessError):
        evolution.tell(np.full(8, np.nan))


def test_another_configuration_is_refused_and_bad_settings_named(tmp_path: Path):
    evolve_target(config_for(tmp_path, generations=1))
    with pytest.raises(OutputFolderError, match="sigma"):
        evolve_target(config_for(tmp_path, sigma=0.2))
    for change in ({"generations": 0}, {"population": 2}, {"sigma": 0.0}, {"beginning_share": 1.5}):
        with pytest.raises(ConfigError):
            config_for(tmp_path, **change)


def test_evolution_keeps_to_its_subspace_and_resumes(tmp_path: Path):
    subspace = Subspace.of(np.random.default_rng(0).uniform(-1, 1, (50, 2)), 1, 3)
    whole = evolve_target(config_for(tmp_path / "whole"), subspace=subspace)
    evolve_target(config_for(tmp_path / "cut", generations=3), subspace=subspace)
    trials = Target()
    resumed = evolve_target(config_for(tmp_path / "cut"), trials, subspace=subspace)
    assert np.array_equal(resumed.parameters, whole.parameters)
    assert trials.generations == [3, 4, 5]
    assert whole.parameters.any()
    np.testing.assert_allclose(subspace.expand(subspace.reduce(whole.parameters)), whole.parameters, atol=1e-5)
