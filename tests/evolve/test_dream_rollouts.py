from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamgym.config import EvolveConfig
from dreamgym.controller.fitness import rollout_seeds
from dreamgym.dream.core import DreamCore
from dreamgym.errors import ConfigError, WorkerError
from dreamgym.evolve.dream_rollouts import DreamTrials, dream_rollout, linear_outputs
from dreamgym.training import save_tensors
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.bundles import save_bundle

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture
def config(toy_world_model: WorldModel, tmp_path: Path) -> EvolveConfig:
    toy_world_model.save(tmp_path / "world")
    return EvolveConfig(
        out=tmp_path / "run",
        world_model=tmp_path / "world",
        population=5,
        rollouts=4,
        max_episode_steps=20,
        progress_limit=0.5,
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
    np.testing.assert_array_equal(one.returns[:, 4:], dream_rollout(core, weights, progress_limit=0.5).returns)


def population(trials: DreamTrials) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((5, len(trials.zeros.parameters)))


def test_scores_do_not_depend_on_the_number_of_processes(config: EvolveConfig):
    with DreamTrials(replace(config, workers=1)) as alone, DreamTrials(replace(config, workers=2)) as shared:
        one, two = alone(population(alone), 3), shared(population(shared), 3)
        other = alone(population(alone), 4)
    for name in ("returns", "lengths", "smoothness", "excess_progress", "squared_actions", "event"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.returns.shape == (5, 4) and len(np.unique(one.returns)) > 10
    assert not np.array_equal(one.returns, other.returns)


@pytest.mark.usefixtures("one_thread")  # as in the processes that try candidates
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 9])
def test_outputs_do_not_depend_on_the_other_candidates(size: int):
    generator = torch.Generator().manual_seed(size)
    for observation, rollouts in ((9, 3), (144, 8), (288, 1), (576, 5)):
        parameters = torch.randn(6, size * (observation + 1), generator=generator)
        features = torch.randn(6, rollouts, observation, generator=generator)
        together = linear_outputs(parameters, size)(features)
        assert together.shape == (6, rollouts, size)
        for share in (1, 2, 4):
            assert torch.equal(linear_outputs(parameters[:share], size)(features[:share]), together[:share])


def test_event_is_the_probability_that_one_happened(config: EvolveConfig):
    """From the expected number of misses of the steps that were driven."""
    core = DreamCore(WorldModel.load(config.world_model), 2)
    core.reset(seeds=torch.arange(2))
    weights = np.zeros((1, 3 * core.features.shape[1] + 3), np.float32)
    expected, running = np.zeros(2), np.ones(2, bool)
    action = torch.tensor([[0.0, 0.5, 0.0]]).repeat(2, 1)  # of a controller of zeros
    while running.any():
        step = core.step(action)
        expected += core.event().numpy() * running
        running &= ~(step.terminated | step.truncated).numpy()
    assert 0.01 < expected.min()
    core.reset(seeds=torch.arange(2))
    np.testing.assert_allclose(dream_rollout(core, weights).event[0], 1.0 - np.exp(-expected), rtol=1e-4)


def test_scores_are_those_of_the_vector_environment(config: EvolveConfig, tmp_path: Path):
    """Played again by the public interface, with the starts and seeds of the first generation."""
    envs = gym.make_vec(
        "dreamgym:DreamCarRacing-v0",
        num_envs=20,
        vectorization_mode="vector_entry_point",
        max_episode_steps=20,
        world_model=tmp_path / "world",
        temperature=config.temperature,
    )
    with DreamTrials(replace(config, workers=1, beginning_share=0.5)) as trials:
        candidates = population(trials)
        scores = trials(candidates, 0)
    controllers = [trials.zeros.with_parameters(one) for one in candidates]
    seeds, at_start = rollout_seeds(config, 0) * 5, np.tile(np.arange(4) < 2, 5)
    envs.reset(seed=seeds, options={"start": "beginning", "reset_mask": at_start})
    anywhere = {"start": "anywhere", "progress": 0.0, "reset_mask": ~at_start}
    seen, _ = envs.reset(seed=seeds, options=anywhere)
    returns, lengths, running, changes, previous = np.zeros(20), np.zeros(20), np.ones(20, bool), np.zeros(20), None
    while running.any():
        actions = np.concatenate([c(rows) for c, rows in zip(controllers, seen.reshape(5, 4, -1), strict=True)])
        changes += 0.0 if previous is None else running * np.abs(actions - previous).mean(axis=1)
        previous = actions
        seen, rewards, terminated, truncated, _ = envs.step(actions)
        returns, lengths = returns + running * rewards, lengths + running
        running &= ~(terminated | truncated)
    envs.close()
    np.testing.assert_array_equal(scores.lengths.ravel(), lengths)
    np.testing.assert_allclose(scores.returns.ravel(), returns, atol=1e-2)
    np.testing.assert_allclose(scores.smoothness.ravel(), changes, atol=1e-2)


def test_noise_disturbs_every_second_rollout_and_all_candidates_alike(config: EvolveConfig):
    noisy = replace(config, action_noise=0.3)
    with DreamTrials(replace(config, workers=1)) as calm, DreamTrials(replace(noisy, workers=2)) as shared:
        wanted, got = calm(population(calm), 0), shared(population(shared), 0)
    with DreamTrials(replace(noisy, workers=1)) as alone:
        same = np.zeros((5, len(alone.zeros.parameters)))
        equal, again = alone(same, 0), alone(population(alone), 0)
    np.testing.assert_array_equal(got.returns, again.returns)
    np.testing.assert_array_equal(got.returns[:, ::2], wanted.returns[:, ::2])
    assert (got.returns[:, 1::2] != wanted.returns[:, 1::2]).any()
    assert (equal.returns == equal.returns[0]).all()


def test_an_error_in_a_process_is_raised_here(config: EvolveConfig):
    with DreamTrials(replace(config, workers=2)) as trials, pytest.raises(RuntimeError) as raised:
        trials(population(trials)[:, :-3], 0)
    assert not isinstance(raised.value, WorkerError)


def test_action_penalty_has_the_weights_of_the_world(config: EvolveConfig):
    """For CarRacing the squared steering alone, which zeros do not turn."""
    with DreamTrials(replace(config, workers=1)) as trials:
        parameters = trials.zeros.parameters.copy()
        parameters[-3:] = [np.arctanh(0.5), 3.0, 3.0]
        scores = trials(np.stack([trials.zeros.parameters, parameters]).astype(np.float64), 0)
    np.testing.assert_array_equal(scores.squared_actions[0], 0.0)
    np.testing.assert_allclose(scores.squared_actions[1], 0.25 * scores.lengths[1], rtol=1e-5)


def test_a_penalty_on_what_the_world_does_not_have_is_refused(tmp_path: Path):
    folder = save_bundle(find("doom-take-cover"), "NobodysWorld", tmp_path / "world")
    plain = EvolveConfig(out=tmp_path / "run", world_model=folder, population=4, rollouts=2, workers=1)
    for change in ({"action_penalty": 0.1}, {"event_penalty": 1.0}, {"hard_rollouts": 2}):
        with pytest.raises(ConfigError, match=f"{next(iter(change))}: expected 0, .*NobodysWorld"):
            DreamTrials(replace(plain, **change))


def test_a_world_of_one_action_without_events_is_tried(tmp_path: Path):
    folder = save_bundle(find("doom-take-cover"), "NobodysWorld", tmp_path / "world")
    config = EvolveConfig(out=tmp_path / "run", world_model=folder, population=4, rollouts=2, workers=1, subspace=2)
    with DreamTrials(replace(config, beginning_share=1.0, subspace=0)) as trials:
        assert trials.zeros.weights.shape == (1, 20) and trials.zeros.squash == ("tanh",)
        scores = trials(np.random.default_rng(0).standard_normal((4, 21)), 0)
    assert scores.lengths.max() <= 9  # the card's limit
    np.testing.assert_array_equal(scores.returns, scores.lengths)
    assert not scores.event.any() and not scores.squared_actions.any()


def test_the_subspace_is_that_of_the_bank(config: EvolveConfig, toy_world_model: WorldModel):
    with DreamTrials(replace(config, workers=1, subspace=3)) as trials:
        assert trials.subspace is not None and trials.subspace.basis.shape == (3, 20)
    with DreamTrials(replace(config, workers=1)) as trials:
        assert trials.subspace is None


def test_the_directions_of_labels_are_searched_too(config: EvolveConfig, tmp_path: Path):
    save_tensors(tmp_path / "directions.safetensors", {"directions": torch.eye(12)[:2]})
    named = replace(config, workers=1, subspace=3, label_directions=tmp_path / "directions.safetensors")
    with DreamTrials(named) as trials:
        assert trials.subspace is not None and trials.subspace.basis.shape == (5, 20)
        assert not trials.subspace.basis[0, :8].any()  # of h alone
        assert "label_directions_sha256" in trials.inputs


def test_a_file_without_directions_is_refused(config: EvolveConfig, tmp_path: Path):
    save_tensors(tmp_path / "other.safetensors", {"weights": torch.eye(16)})
    with pytest.raises(ConfigError, match="dreamgym train memory"):
        DreamTrials(replace(config, workers=1, subspace=3, label_directions=tmp_path / "other.safetensors"))


def doubled(parameters: torch.Tensor, size: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return linear_outputs(2.0 * parameters, size)


def test_controllers_of_another_form_act_by_their_outputs(config: EvolveConfig):
    with (
        DreamTrials(replace(config, workers=1)) as linear,
        DreamTrials(replace(config, workers=2), "cpu", doubled) as other,
    ):
        candidates = population(linear)
        np.testing.assert_array_equal(other(candidates, 0).returns, linear(2.0 * candidates, 0).returns)
        assert other.inputs["outputs"].endswith("test_dream_rollouts.doubled")  # no other form goes on with its log
        assert "outputs" not in linear.inputs
