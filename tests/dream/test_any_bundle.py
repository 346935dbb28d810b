"""Ids that open the dream of any bundle, and of a world whose simulator is not needed."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from dreamgym.errors import BundleNotFoundError, BundleVersionError, ConfigError
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.bundles import save_bundle


@pytest.fixture
def unknown_world(tmp_path: Path) -> Path:
    """Moves by thresholds and pays one a step, as Take Cover does; nothing here knows its name."""
    return save_bundle(find("doom-take-cover"), "NobodysWorld", tmp_path / "world")


def test_a_bundle_of_an_unknown_world_opens_with_what_its_card_says(unknown_world: Path) -> None:
    env = gym.make("dreamgym:Dream-v0", world_model=str(unknown_world))
    assert env.observation_space.shape == (20,) and env.action_space == gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert env.metadata["render_fps"] == 7
    env.reset(seed=1)
    steps, total, over = 0, 0.0, False
    while not over:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        steps, total, over = steps + 1, total + float(reward), terminated or truncated
    assert steps <= 9 and total == steps and "lap_finished" not in info


def test_its_discrete_actions_stand_for_the_numbers_that_they_execute(unknown_world: Path) -> None:
    discrete = gym.make("dreamgym:Dream-v0", world_model=str(unknown_world), continuous=False)
    continuous = gym.make("dreamgym:Dream-v0", world_model=str(unknown_world))
    assert discrete.action_space == gym.spaces.Discrete(3)
    for index, number in ((0, 0.2), (1, 0.9), (2, -0.4)):
        for env in (discrete, continuous):
            env.reset(seed=3)
        seen = discrete.step(index)[0], continuous.step(np.array([number], np.float32))[0]
        assert np.array_equal(*seen)


def test_gymnasium_accepts_it(unknown_world: Path) -> None:
    check_env(gym.make("dreamgym:Dream-v0", world_model=str(unknown_world)).unwrapped, skip_render_check=True)


def test_a_batch_equals_single_ones(unknown_world: Path) -> None:
    envs = gym.make_vec("dreamgym:Dream-v0", num_envs=3, world_model=str(unknown_world))
    single = gym.make("dreamgym:Dream-v0", world_model=str(unknown_world))
    batch, _ = envs.reset(seed=5)
    alone, _ = single.reset(seed=6)
    assert np.array_equal(batch[1], alone)
    batch, *_, infos = envs.step(np.full((3, 1), 0.5, np.float32))
    alone, *_, info = single.step(np.array([0.5], np.float32))
    assert info.keys() == {"temperature"} and infos.keys() == {"temperature", "_temperature"}  # no lap to complete
    assert np.array_equal(batch[1], alone)


def test_an_id_of_a_world_takes_its_bundles_alone(unknown_world: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleVersionError, match=r"expected world 'DoomTakeCover', got 'NobodysWorld'"):
        gym.make("dreamgym:DreamDoomTakeCover-v0", world_model=str(unknown_world))
    own = save_bundle(find("doom-take-cover"), "DoomTakeCover", tmp_path / "own")
    env = gym.make("dreamgym:DreamDoomTakeCover-v0", world_model=str(own))
    assert env.spec is not None and env.spec.max_episode_steps == 2100


def test_a_world_without_a_bundle_in_the_package_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dreamgym.world_model.location.PACKAGED", tmp_path / "car_racing")
    with pytest.raises(BundleNotFoundError, match="no world model of DoomTakeCover is in the package"):
        gym.make("dreamgym:DreamDoomTakeCover-v0")


def test_another_preprocessing_of_a_known_world_is_refused(tmp_path: Path) -> None:
    world = find("doom-take-cover")
    other = dataclasses.replace(world, preprocess=dataclasses.replace(world.preprocess, version=2))
    with pytest.raises(BundleVersionError, match="preprocess_version 1, got 2"):
        WorldModel.load(save_bundle(other, world.name, tmp_path / "other"))


def test_the_cards_time_limit_holds_unless_another_is_given(unknown_world: Path) -> None:
    def steps(**arguments: Any) -> int:
        env = gym.make("dreamgym:Dream-v0", world_model=endless(unknown_world), **arguments)
        env.reset(seed=1)
        return next(count for count in range(1, 40) if env.step(env.action_space.sample())[3] or count == 39)

    assert steps() == 9
    assert steps(fast=True) == 9
    assert steps(max_episode_steps=4) == 4
    assert steps(time_limit=12) == 12
    assert steps(time_limit=None) == 39
    assert steps(time_limit=None, max_episode_steps=11) == 11
    with pytest.raises(ConfigError, match="time_limit"):
        gym.make("dreamgym:Dream-v0", world_model=str(unknown_world), time_limit=2.5)


def endless(folder: Path) -> WorldModel:
    world_model = WorldModel.load(folder)
    world_model.memory.termination_head.bias.data.fill_(-40.0)
    return world_model


def test_specs_rebuild_it(unknown_world: Path) -> None:
    env = gym.make("dreamgym:Dream-v0", world_model=str(unknown_world), time_limit=5, render_mode="rgb_array_list")
    assert env.spec is not None
    observation, _ = env.reset(seed=4)
    for spec in (pickle.loads(pickle.dumps(env.spec)), EnvSpec.from_json(env.spec.to_json())):
        again = gym.make(spec)
        assert np.array_equal(again.reset(seed=4)[0], observation)
        assert len(again.render()) == 1  # type: ignore[arg-type]


def test_worlds_of_discrete_actions_alone_take_them_by_default(tmp_path: Path) -> None:
    doom = find("doom-take-cover")
    world = dataclasses.replace(doom, actions=dataclasses.replace(doom.actions, box=False))
    folder = str(save_bundle(world, "Discrete", tmp_path / "world"))
    env = gym.make("dreamgym:Dream-v0", world_model=folder)
    assert env.action_space == gym.spaces.Discrete(3)
    assert gym.make_vec("dreamgym:Dream-v0", num_envs=2, world_model=folder).single_action_space == env.action_space
    with pytest.raises(ConfigError, match="only discrete actions"):
        gym.make("dreamgym:Dream-v0", world_model=folder, continuous=True)
