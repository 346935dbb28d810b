"""``LatentCarRacing-v0``: the real CarRacing-v3 seen through a toy V and M, single and vector; the examples."""

from __future__ import annotations

import copy
import doctest
import gc
import os
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics, RescaleAction

from dreamgym.errors import ActionError, ConfigError, ResetNeededError
from dreamgym.world_model import MODELS_VARIABLE, WorldModel
from dreamgym.wrappers import LatentObservation
from dreamgym.wrappers.latent_env import LatentCarRacingEnv
from tests.support.processes import resident
from tests.support.toy_envs import GAS, REAL, rollout

RESETS = 1000 if "DREAMGYM_LONG" in os.environ else 40


@pytest.mark.parametrize(
    ("obs_type", "render_mode"), [("features", None), ("latent", "rgb_array"), ("rgb", "human"), ("features", "human")]
)
def test_gymnasiums_checker_finds_nothing(toy_world_model: WorldModel, obs_type: str, render_mode: str | None) -> None:
    env = gym.make(REAL, obs_type=obs_type, render_mode=render_mode, world_model=toy_world_model)
    check_env(env.unwrapped, skip_render_check=render_mode is None)
    env.close()
    env.close()


def test_spaces_are_the_dreams(toy_world_model: WorldModel) -> None:
    for kwargs in ({}, {"obs_type": "latent"}, {"obs_type": "rgb"}, {"continuous": False}):
        real = gym.make(REAL, world_model=toy_world_model, **kwargs)
        dream = gym.make("dreamgym:DreamCarRacing-v0", world_model=toy_world_model, **kwargs)
        assert real.observation_space == dream.observation_space
        assert real.action_space == dream.action_space
        assert real.metadata["render_fps"] == 50
        real.close()


@pytest.mark.parametrize("latent", ["sample", "mean"])
def test_it_is_the_wrapper_around_gymnasiums_own(toy_world_model: WorldModel, latent: str) -> None:
    wanted = rollout(LatentObservation(gym.make("CarRacing-v3"), latent=latent, world_model=toy_world_model))
    for exact_drawing in (False, True):
        env = gym.make(REAL, latent=latent, world_model=toy_world_model, exact_drawing=exact_drawing)
        assert np.array_equal(rollout(env), wanted)


def test_precision_reaches_the_encoder(toy_world_model: WorldModel) -> None:
    wanted = rollout(gym.make(REAL, latent="mean", world_model=toy_world_model))
    env = gym.make(REAL, latent="mean", world_model=toy_world_model, precision="bfloat16")
    envs = gym.make_vec(REAL, num_envs=2, latent="mean", world_model=toy_world_model, precision="bfloat16")
    single = rollout(env)
    assert np.array_equal(envs.reset(seed=1)[0][0], single[0])
    assert not np.array_equal(single, wanted)
    assert np.abs(single - wanted).max() < 0.02
    envs.close()
    with pytest.raises(ConfigError, match="precision"):
        gym.make(REAL, world_model=toy_world_model, precision="float16")


def test_rewards_and_ends_are_the_real_ones(toy_world_model: WorldModel) -> None:
    env = RecordEpisodeStatistics(gym.make(REAL, world_model=toy_world_model, max_episode_steps=3))
    real = gym.make("CarRacing-v3", max_episode_steps=3)
    env.reset(seed=2)
    real.reset(seed=2)
    for _ in range(3):
        _, reward, terminated, truncated, info = env.step(GAS)
        wanted = real.step(GAS)
        assert (reward, terminated, truncated) == wanted[1:4]
        assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert truncated
    assert info["episode"]["l"] == 3
    env.close()
    real.close()


def test_pickle_and_spec_round_trips(toy_bundle: Path) -> None:
    env = gym.make(REAL, obs_type="latent", world_model=str(toy_bundle))
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    pickled = pickle.loads(pickle.dumps(env.unwrapped))
    wanted = rollout(env)
    assert np.array_equal(rollout(again), wanted)
    assert np.array_equal(rollout(pickled), wanted)


@pytest.mark.parametrize("options", [{"start": "hard"}, {"temperature": 1.0, "anything": 1}, 5])
def test_options_of_dreams_are_refused(toy_world_model: WorldModel, options: Any) -> None:
    single = gym.make(REAL, world_model=toy_world_model)
    several = gym.make_vec(REAL, num_envs=1, world_model=toy_world_model)
    for env in (single, several):
        with pytest.raises(ConfigError, match=r"none of a dream's options; got \['(start|temp)|options as a dict"):
            env.reset(seed=1, options=options)
        env.close()


def test_a_copy_in_mid_episode_says_that_it_does_not_go_on(toy_world_model: WorldModel) -> None:
    env = gym.make(REAL, world_model=toy_world_model).unwrapped
    env.reset(seed=1)
    with pytest.raises(ResetNeededError, match="copy does not go on where its original was"):
        pickle.loads(pickle.dumps(env)).step(GAS)
    env.close()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel's account is Linux's")
def test_real_resets_leave_memory_and_handles_as_they_were(toy_world_model: WorldModel) -> None:
    env = gym.make(REAL, world_model=toy_world_model, exact_drawing=True)

    def play(seeds: range) -> None:
        for seed in seeds:
            env.reset(seed=seed)
            for _ in range(3):
                env.step(GAS)

    play(range(10))
    gc.collect()  # what other tests left open
    before, handles = resident(), len(list(Path("/proc/self/fd").iterdir()))
    play(range(10, 10 + RESETS))
    assert resident() - before < 16_000  # KiB; one of Gymnasium's pictures kept from each of 40 resets would be 28,000
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == handles
    env.close()


def test_any_bundles_environment_is_copied_with_its_time_limit(toy_bundle: Path) -> None:
    env = gym.make("dreamgym:Latent-v0", world_model=str(toy_bundle), time_limit=3).unwrapped
    for copied in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        copied.reset(seed=1)
        assert [copied.step(GAS)[3] for _ in range(3)] == [False, False, True]


def test_pictures_keys_and_state(toy_world_model: WorldModel) -> None:
    env = gym.make(REAL, render_mode="rgb_array", world_model=toy_world_model).unwrapped
    with pytest.raises(ResetNeededError):
        env.render()
    observation, _ = env.reset(seed=1)
    picture = env.render()
    assert picture.shape == (400, 600, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(observation, np.concatenate(env.latent_state[:2]))
    assert env.clamped == 0
    for action in env.get_keys_to_action().values():
        assert env.action_space.contains(action)
    assert env.real.car is not None
    env.close()


def test_errors_are_named(toy_world_model: WorldModel) -> None:
    for kwargs in ({"render_mode": "ascii"}, {"obs_type": "z"}, {"latent": "mode"}):
        with pytest.raises(ConfigError, match=next(iter(kwargs.values()))):
            LatentCarRacingEnv(world_model=toy_world_model, **kwargs)
    for count in ({}, {"num_envs": 1}):
        with pytest.raises(ConfigError, match="exact_drawing must be True or False, got 'no'"):
            (gym.make_vec if count else gym.make)(REAL, world_model=toy_world_model, exact_drawing="no", **count)
    env = gym.make(REAL, world_model=toy_world_model).unwrapped
    with pytest.raises(ResetNeededError):
        env.step(GAS)
    env.reset(seed=1)
    with pytest.raises(ActionError):
        env.step(np.array([0.0, 2.0, 0.0], np.float32))
    env.close()


def test_rescale_action_takes_a_symmetric_policy_to_reality(toy_world_model: WorldModel) -> None:
    env = RescaleAction(gym.make(REAL, world_model=toy_world_model), -1, 1)  # type: ignore[arg-type]
    env.reset(seed=1)
    observation = env.step(np.array([0.1, 0.4, -1.0], np.float32))[0]
    env.close()
    assert np.allclose(observation, rollout(gym.make(REAL, world_model=toy_world_model), steps=1)[1], atol=1e-6)


@pytest.mark.parametrize("module", ["latent", "vector_latent", "latent_env", "latent_vector_env", "sb3"])
def test_examples_run(module: str, full_size_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if module == "sb3":
        pytest.importorskip("stable_baselines3")
    monkeypatch.setenv(MODELS_VARIABLE, str(full_size_bundle))
    loaded = import_module(f"dreamgym.wrappers.{module}")
    failed, attempted = doctest.testmod(loaded, optionflags=doctest.ELLIPSIS)
    assert failed == 0
    assert attempted > 3


@pytest.mark.parametrize("batch", [False, True])
def test_without_a_render_mode_there_is_a_warning_and_no_picture(toy_world_model: WorldModel, batch: bool) -> None:
    envs: Any = (
        gym.make_vec(REAL, num_envs=1, world_model=toy_world_model)
        if batch
        else gym.make(REAL, world_model=toy_world_model).unwrapped
    )
    with pytest.raises(ResetNeededError):
        envs.render()
    envs.reset(seed=1)
    with pytest.warns(UserWarning, match=r'render\(\) needs a mode: gym.make.*render_mode="rgb_array"'):
        assert envs.render() is None
    envs.close()


@pytest.mark.parametrize("name", ["LatentCarRacing-v0", "LatentDoomTakeCover-v0"])
def test_another_choice_of_actions_is_refused_by_name(name: str) -> None:
    for options in ({}, {"num_envs": 1}):
        with pytest.raises(ConfigError, match="continuous"):
            (gym.make_vec if options else gym.make)(f"dreamgym:{name}", continuous="yes", **options)
