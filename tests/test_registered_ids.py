"""Gymnasium's and Stable-Baselines3's own checks, for every id that the package registers."""

from __future__ import annotations

import functools
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import (
    FrameStackObservation,
    NormalizeObservation,
    RecordEpisodeStatistics,
    TimeAwareObservation,
)

import dreamgym
from dreamgym.worlds.registry import find
from tests.support.bundles import save_bundle

IDS = sorted(name for name, spec in gym.registry.items() if str(spec.entry_point).startswith("dreamgym"))
DREAMS = [name for name in IDS if name.startswith("Dream")]
_ = dreamgym


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A toy bundle for each id."""
    folder = tmp_path_factory.mktemp("bundles")
    made = {}
    for name in IDS:
        world = find("DoomTakeCover" if "Doom" in name else None)
        made[name] = save_bundle(world, world.name, folder / name)
    return made


def options(name: str, bundles: dict[str, Path]) -> dict[str, Any]:
    if "Latent" in name and "Doom" in name:
        pytest.importorskip("vizdoom")
    return {"world_model": str(bundles[name])}


def test_there_are_dreams_and_real_environments() -> None:
    assert {"Dream-v0", "DreamCarRacing-v0", "Latent-v0", "LatentCarRacing-v0"} <= set(IDS)


@pytest.mark.parametrize("name", IDS)
def test_gymnasiums_checker(name: str, bundles: dict[str, Path]) -> None:
    env = gym.make(name, **options(name, bundles))
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("name", DREAMS)
def test_sb3s_checker(name: str, bundles: dict[str, Path]) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gym.make(name, **options(name, bundles))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")
        checker.check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("name", DREAMS)
def test_gymnasiums_wrappers(name: str, bundles: dict[str, Path]) -> None:
    limited = [TimeAwareObservation] if gym.spec(name).max_episode_steps else []  # it needs a registered limit
    for wrap in (
        *limited,
        RecordEpisodeStatistics,
        NormalizeObservation,
        functools.partial(FrameStackObservation, stack_size=3),
    ):
        env = wrap(gym.make(name, **options(name, bundles)))
        observation, _ = env.reset(seed=1)
        env.action_space.seed(1)
        assert np.shape(observation) == env.observation_space.shape
        for _ in range(12):  # beyond the end of an episode
            observation, _, terminated, truncated, info = env.step(env.action_space.sample())
            assert np.isfinite(np.asarray(observation, np.float64)).all()
            if terminated or truncated:
                assert wrap is not RecordEpisodeStatistics or info["episode"]["l"] > 0
                env.reset()
        env.close()


def stepped(envs: gym.vector.VectorEnv[Any, Any, Any]) -> list[np.ndarray]:
    """Observations and rewards of a few steps, after the checks of a vector environment's interface."""
    observations, infos = envs.reset(seed=5)
    assert isinstance(infos, dict) and envs.observation_space.contains(observations)
    envs.action_space.seed(5)
    found = [np.array(observations)]
    for _ in range(4):
        observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(observations) and rewards.shape == (envs.num_envs,)
        assert terminated.dtype == truncated.dtype == bool and isinstance(infos, dict)
        found += [np.array(observations), np.array(rewards)]
    envs.close()
    envs.close()
    return found


@pytest.mark.parametrize("name", DREAMS)
def test_vector_environments_are_the_same_in_every_form(name: str, bundles: dict[str, Path]) -> None:
    native, sync = (
        stepped(gym.make_vec(name, 2, vectorization_mode=mode, **options(name, bundles)))
        for mode in ("vector_entry_point", "sync")
    )
    for ours, theirs in zip(native, sync, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all three")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_processes_of_every_kind(context: str, bundles: dict[str, Path]) -> None:
    name = "Dream-v0"
    apart = stepped(
        gym.make_vec(f"dreamgym:{name}", 1, "async", {"context": context}, **options(name, bundles)),
    )
    here = stepped(gym.make_vec(name, 1, "sync", **options(name, bundles)))
    for ours, theirs in zip(apart, here, strict=True):
        np.testing.assert_array_equal(ours, theirs)
