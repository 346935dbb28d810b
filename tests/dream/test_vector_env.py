"""The dream as a vector environment: row by row what Gymnasium makes of single ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from dreamgym.errors import ActionError, ConfigError, DivergedError, ResetNeededError
from dreamgym.world_model import WorldModel
from tests.support.toy_envs import DREAM, assert_same, make_dreams

MODES = list(AutoresetMode)


@pytest.fixture(scope="module")
def short_world_model(make_world_model: Callable[..., WorldModel]) -> WorldModel:
    """Episodes of some five frames, of which some finish the lap."""
    model = make_world_model(seed=2, lap_units=3.6)
    with torch.no_grad():
        model.memory.termination_head.bias.fill_(-3.0)
    return model


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("obs_type", ["features", "latent", "rgb"])
@pytest.mark.parametrize("mode", MODES)
def test_is_gymnasiums_sync_vector_env_of_single_ones(
    short_world_model: WorldModel, mode: AutoresetMode, obs_type: str, continuous: bool
) -> None:
    options = {"obs_type": obs_type, "temperature": (0.8, 1.2), "max_episode_steps": 5, "continuous": continuous}
    ours: VectorEnv[Any, Any, Any] = make_dreams(short_world_model, autoreset_mode=mode, **options)
    single = lambda: gym.make(DREAM, world_model=short_world_model, **options)  # noqa: E731
    theirs = SyncVectorEnv([single] * 5, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert_same(ours.reset(seed=9), theirs.reset(seed=9))
    ours.action_space.seed(1)
    ends = {"terminated": 0, "truncated": 0, "laps": 0}
    for frame in range(12 if obs_type == "rgb" else 60):
        actions = ours.action_space.sample()
        result = ours.step(actions)
        assert_same(result, theirs.step(actions))
        _, _, terminated, truncated, info = result
        ends["terminated"] += terminated.sum()
        ends["truncated"] += truncated.sum()
        ends["laps"] += info.get("final_info", info).get("lap_finished", np.zeros(1)).sum()
        if mode is AutoresetMode.DISABLED and (done := terminated | truncated).any():
            assert_same(ours.reset(options={"reset_mask": done}), theirs.reset(options={"reset_mask": done.copy()}))
        if frame == 30:
            assert_same(ours.reset(seed=[4, 5, 6, 7, 8]), theirs.reset(seed=[4, 5, 6, 7, 8]))
    assert ends["truncated"] > 0
    if obs_type != "rgb":
        assert min(ends.values()) > 0


def test_results_are_copies(toy_world_model: WorldModel) -> None:
    envs, twin = make_dreams(toy_world_model, 3), make_dreams(toy_world_model, 3)
    observations, _ = envs.reset(seed=0)
    twin.reset(seed=0)
    actions = np.full((3, 3), 0.25, np.float32)
    kept = observations.copy()
    results = [envs.step(actions) for _ in range(2)]
    np.testing.assert_array_equal(observations, kept)
    assert not np.shares_memory(results[0][0], results[1][0])
    for array in (observations, *results[1][:4], results[1][4]["progress"], envs.temperature):
        array[:] = 0
    twin.step(actions)
    twin.step(actions)
    assert_same(envs.step(actions), twin.step(actions))


@pytest.mark.parametrize(
    ("continuous", "actions"),
    [
        (True, np.zeros((2, 3), np.float32)),
        (True, np.zeros(3, np.float32)),
        (True, np.full((3, 3), np.nan)),
        (True, np.array([[0, 0, 0], [0, 0, 0], [1.1, 0, 0]])),
        (False, np.array([0, 1, 5])),
        (False, np.array([0.0, 1.0, 2.0])),
        (False, np.array([0, 1])),
    ],
)
def test_bad_actions_change_nothing(toy_world_model: WorldModel, continuous: bool, actions: Any) -> None:
    envs, twin = (make_dreams(toy_world_model, 3, continuous=continuous) for _ in range(2))
    envs.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ActionError, match="expected"):
        envs.step(actions)
    good = np.zeros((3, 3), np.float32) if continuous else np.zeros(3, np.int64)
    assert_same(envs.step(good), twin.step(good))


def test_step_before_reset(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 2, render_mode="rgb_array")
    with pytest.raises(ResetNeededError):
        envs.step(np.zeros((2, 3), np.float32))
    with pytest.raises(ResetNeededError):
        envs.render()


@pytest.mark.parametrize("mode", MODES)
def test_a_diverged_row_is_named_and_the_others_go_on(toy_world_model: WorldModel, mode: AutoresetMode) -> None:
    envs, twin = (make_dreams(toy_world_model, 4, autoreset_mode=mode, max_episode_steps=4) for _ in range(2))
    actions = np.full((4, 3), 0.5, np.float32)
    for each in (envs, twin):
        each.reset(seed=0)
        each.step(actions)
    envs.core.c[2] = torch.nan
    with pytest.raises(DivergedError, match=r"rows \[2\]"):
        envs.step(actions)
    envs.reset(options={"reset_mask": envs.core.diverged.numpy()})
    others = [0, 1, 3]
    for _ in range(3):
        ours, theirs = envs.step(actions), twin.step(actions)
        for left, right in zip(ours[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(left[others], right[others])


def test_saved_state_replays_exactly(short_world_model: WorldModel) -> None:
    envs = make_dreams(short_world_model, 4, max_episode_steps=9)
    envs.reset(seed=3)
    actions = np.full((4, 3), 0.5, np.float32)
    for _ in range(9):
        envs.step(actions)
    saved = envs.get_state()
    futures = []
    for target in (envs, envs, make_dreams(short_world_model, 4, max_episode_steps=9)):
        target.set_state(saved)
        futures.append(tuple(target.step(actions) for _ in range(50)))
    assert_same(futures[0], futures[1])
    assert_same(futures[0], futures[2])


def test_saved_state_holds_what_rows_without_a_seed_will_dream(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 2)
    envs.reset(seed=5, options={"reset_mask": np.array([True, False])})
    saved, unseeded = envs.get_state(), np.array([False, True])
    first, _ = envs.reset(options={"reset_mask": unseeded})
    envs.set_state(saved)
    second, _ = envs.reset(options={"reset_mask": unseeded})
    assert np.array_equal(first, second)


def test_rendering(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 3, render_mode="rgb_array")
    single = gym.make(DREAM, world_model=toy_world_model, render_mode="rgb_array")
    envs.reset(seed=4)
    single.reset(seed=5)
    frames = envs.render()
    assert isinstance(frames, tuple)
    assert [frame.shape for frame in frames] == [(448, 640, 3)] * 3
    np.testing.assert_array_equal(frames[1], single.render())
    with pytest.raises(ConfigError, match="human"):
        make_dreams(toy_world_model, render_mode="human")
    silent = make_dreams(toy_world_model, 1)
    silent.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert silent.render() is None


@pytest.mark.parametrize("obs_type", ["features", "latent", "rgb"])
def test_what_is_seen_of_a_float64_dream_is_in_the_space(toy_world_model: WorldModel, obs_type: str) -> None:
    options = {"obs_type": obs_type, "precision": "float64", "render_mode": "rgb_array"}
    envs = make_dreams(toy_world_model, 2, **options)
    single = gym.make(DREAM, world_model=toy_world_model, **options)
    observations, _ = envs.reset(seed=4)
    observation, _ = single.reset(seed=4)
    for _ in range(3):
        assert envs.observation_space.contains(observations)
        np.testing.assert_array_equal(observations[0], observation)
        observations, *_ = envs.step(np.zeros((2, 3), np.float32))
        observation, *_ = single.step(np.zeros(3, np.float32))
    frames = envs.render()
    assert frames is not None
    np.testing.assert_array_equal(frames[0], single.render())


@pytest.mark.parametrize("mode", MODES)
def test_under_gymnasiums_vector_wrappers(short_world_model: WorldModel, mode: AutoresetMode) -> None:
    envs: Any = make_dreams(short_world_model, 4, autoreset_mode=mode, max_episode_steps=5)
    envs = gym.wrappers.vector.NormalizeReward(gym.wrappers.vector.RecordEpisodeStatistics(envs))
    envs.reset(seed=0)
    lengths: list[int] = []
    for _ in range(40):
        *_, terminated, truncated, info = envs.step(np.full((4, 3), 0.5, np.float32))
        done = terminated | truncated
        if done.any():
            lengths += info["episode"]["l"][done].tolist()
            if mode is AutoresetMode.DISABLED:
                envs.reset(options={"reset_mask": done})
    assert lengths
    if mode is AutoresetMode.SAME_STEP and "SAME_STEP" not in inspect.getsource(gym.wrappers.vector.common):
        pytest.skip("this Gymnasium's RecordEpisodeStatistics miscounts episodes that are reset in the same step")
    assert all(1 <= length <= 5 for length in lengths)
    assert {5} < set(lengths)


def test_closing_twice_and_spec(toy_bundle: Path) -> None:
    envs = gym.make_vec(DREAM, num_envs=2, world_model=str(toy_bundle), temperature=(0.5, 1.0))
    assert envs.spec is not None
    first, _ = envs.reset(seed=0)
    again = gym.make_vec(gym.envs.registration.EnvSpec.from_json(envs.spec.to_json()))
    np.testing.assert_array_equal(again.reset(seed=0)[0], first)
    for _ in range(2):
        envs.close()
    assert envs.closed


def test_two_thousand_rows_equal_single_ones(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 2000, temperature=(0.5, 2.0))
    envs.reset(seed=100)
    actions = np.full((2000, 3), 0.3, np.float32)
    seen = [envs.step(actions)[0] for _ in range(3)]
    for row in (0, 255, 256, 1999):
        single = gym.make(DREAM, world_model=toy_world_model, temperature=(0.5, 2.0))
        single.reset(seed=100 + row)
        for observations in seen:
            np.testing.assert_array_equal(single.step(actions[row])[0], observations[row])


def test_a_state_of_something_else_changes_nothing(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 3, autoreset_mode=AutoresetMode.SAME_STEP)
    envs.reset(seed=1)
    saved, actions = envs.get_state(), np.full((3, 3), 0.5, np.float32)
    after = envs.step(actions)
    waiting = {**saved, "ended": np.array([False, True, False])}
    for state, message in (
        ({}, "'ended' in the state"),
        ({**saved, "ended": np.zeros(2, np.bool_)}, r"bool of shape \(3,\)"),
        (waiting, r"environments \[1\] .*SAME_STEP"),
        ({name: part for name, part in saved.items() if name != "np_random"}, "without .*np_random"),
    ):
        envs.set_state(saved)
        with pytest.raises(ConfigError, match=message):
            envs.set_state(state)
        assert_same(envs.step(actions), after)


def test_a_pair_is_a_range_of_temperatures_however_it_is_given(toy_world_model: WorldModel) -> None:
    for pair in ((0.8, 1.2), np.array([0.8, 1.2]), torch.tensor([0.8, 1.2])):
        envs = make_dreams(toy_world_model, 2, temperature=pair)
        envs.reset(seed=3)
        assert not np.array_equal(envs.temperature, np.float32([0.8, 1.2]))
