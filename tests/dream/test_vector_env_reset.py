"""How episodes of a batch of dreams begin: autoreset modes, seeds, masks, options, temperatures."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from dreamgym.dream.vector_env import DreamVectorEnv
from dreamgym.errors import ConfigError, ObservationError, ResetNeededError, TemperatureError
from dreamgym.world_model import WorldModel
from tests.support.toy_envs import assert_same, make_dreams

MODES = list(AutoresetMode)


@pytest.mark.parametrize("mode", [*MODES, *[mode.value for mode in MODES]])
def test_autoreset_mode_is_told(toy_world_model: WorldModel, mode: AutoresetMode | str) -> None:
    envs = make_dreams(toy_world_model, autoreset_mode=mode)
    assert envs.autoreset_mode is envs.metadata["autoreset_mode"] is AutoresetMode(mode)
    assert DreamVectorEnv.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert make_dreams(toy_world_model).autoreset_mode is AutoresetMode.NEXT_STEP


@pytest.mark.parametrize("mode", ["next_step", None, 3])
def test_wrong_autoreset_mode(toy_world_model: WorldModel, mode: Any) -> None:
    with pytest.raises(ConfigError, match=r"NextStep.*SameStep.*Disabled"):
        make_dreams(toy_world_model, autoreset_mode=mode)


def test_seed_list_with_gaps_goes_on_where_there_is_none(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 3)
    first, _ = envs.reset(seed=[10, 11, 12])
    mixed, _ = envs.reset(seed=[10, None, 12])
    np.testing.assert_array_equal(mixed[[0, 2]], first[[0, 2]])
    assert envs.core.episode.tolist() == [0, 1, 0]
    fresh = make_dreams(toy_world_model, 3)
    fresh.reset()
    assert len(set(fresh.core.seed.tolist())) == 3
    again, _ = envs.reset(seed=10)
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("seed", [[1, 2], [1, 2, 3, 4], [1, 2, -3]])
def test_bad_seeds(toy_world_model: WorldModel, seed: Any) -> None:
    with pytest.raises(ConfigError, match="3 seeds"):
        make_dreams(toy_world_model, 3).reset(seed=seed)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros(3, bool), "at least one"),
        (np.ones(4, bool), r"\(3,\).*\(4,\)"),
        (np.ones(3, int), "int64"),
        ([True, True, True], "list"),
    ],
)
def test_bad_reset_mask_changes_nothing(toy_world_model: WorldModel, mask: Any, message: str) -> None:
    envs, twin = make_dreams(toy_world_model, 3), make_dreams(toy_world_model, 3)
    envs.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ConfigError, match=message):
        envs.reset(seed=5, options={"reset_mask": mask})
    actions = np.zeros((3, 3), np.float32)
    np.testing.assert_array_equal(envs.step(actions)[0], twin.step(actions)[0])


def test_reset_leaves_the_options_as_they_are(toy_world_model: WorldModel) -> None:
    options = {"reset_mask": np.array([True, False, True]), "start": "anywhere", "temperature": [0.5, 0.6]}
    envs = make_dreams(toy_world_model, 3)
    envs.reset(seed=1)
    kept = copy.deepcopy(options)
    _, info = envs.reset(options=options)
    assert_same(options, kept)
    assert info["_progress"].tolist() == [True, False, True]
    assert (info["temperature"] > 0.4).tolist() == [True, False, True]
    assert envs.temperature[1] == 1.0


def test_frames_and_states_are_one_for_all_or_one_for_each(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 3)
    before, _ = envs.reset(seed=0)
    mask = np.array([False, True, True])
    for wrong in (
        {"observation": np.zeros((2, 64, 64, 3), np.uint8)},
        {"state": (np.zeros((4, 12)), np.zeros((4, 12)))},
    ):
        with pytest.raises(ObservationError, match="one for each of the 3"):
            envs.reset(seed=[1, 2, None], options={"reset_mask": mask, **wrong})
        assert np.array_equal(envs.core.features.numpy(), before)


def test_disabled_insists_on_a_reset(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 3, autoreset_mode=AutoresetMode.DISABLED, max_episode_steps=2)
    actions = np.zeros((3, 3), np.float32)
    envs.reset(seed=0)
    envs.step(actions)
    envs.reset(options={"reset_mask": np.array([False, True, False])})
    assert envs.step(actions)[3].tolist() == [True, False, True]
    with pytest.raises(ResetNeededError, match=r"\[0, 2\]"):
        envs.step(actions)
    envs.reset(options={"reset_mask": np.array([True, False, True])})
    assert envs.step(actions)[3].tolist() == [False, True, False]


def test_temperatures_of_each_environment(toy_world_model: WorldModel) -> None:
    envs = make_dreams(toy_world_model, 2)
    envs.reset(seed=0)
    envs.temperature = np.array([0.5, 2.0])
    assert envs.temperature.tolist() == [0.5, 2.0]
    envs.reset()
    assert envs.step(np.zeros((2, 3), np.float32))[4]["temperature"].tolist() == [0.5, 2.0]
    envs.temperature = (3.0, 4.0)  # a range, though there are two environments
    envs.reset()
    assert (envs.temperature >= 3.0).all()
    envs.temperature = 1.5
    assert envs.temperature.tolist() == [1.5, 1.5]
    for bad in (np.array([1.0, -1.0]), np.array([1.0, np.nan]), 0.0):
        with pytest.raises(TemperatureError):
            envs.temperature = bad
    with pytest.raises(ConfigError, match="2 temperatures"):
        envs.temperature = np.ones(3)
    assert envs.temperature.tolist() == [1.5, 1.5]


def test_the_action_of_a_row_that_begins_counts_for_nothing(toy_world_model: WorldModel) -> None:
    envs, twin = (make_dreams(toy_world_model, 2, max_episode_steps=1) for _ in range(2))
    good, ignored = np.zeros((2, 3), np.float32), np.full((2, 3), np.nan)
    for each in (envs, twin):
        each.reset(seed=0)
        each.step(good)
    assert_same(envs.step(ignored), twin.step(good))
