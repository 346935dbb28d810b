"""What Gymnasium's tools ask of the dream: checkers, specifications, copies, time limit, manual, no leak."""

from __future__ import annotations

import copy
import doctest
import pickle
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from dreamgym.dream import env as dream_env
from dreamgym.dream.env import DreamCarRacingEnv
from dreamgym.world_model import MODELS_VARIABLE, WorldModel
from dreamgym.wrappers.latent_env import LatentCarRacingEnv
from tests.support.processes import resident
from tests.support.toy_envs import DREAM, GAS, DreamFactory


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("render_mode", [None, "rgb_array", "human"])
@pytest.mark.parametrize("obs_type", ["features", "latent", "rgb"])
def test_check_env_has_no_complaint(
    make_dream: DreamFactory, obs_type: str, render_mode: str | None, continuous: bool
) -> None:
    options = {"obs_type": obs_type, "render_mode": render_mode, "continuous": continuous}
    check_env(make_dream(**options).unwrapped, skip_render_check=render_mode is not None)


def test_check_env_tries_every_render_mode(toy_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(toy_bundle))
    check_env(gym.make(DREAM).unwrapped)


@pytest.mark.parametrize("obs_type", ["features", "rgb"])
def test_sb3_check_env(make_dream: DreamFactory, obs_type: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")
        checker.check_env(make_dream(obs_type=obs_type))
    checker.check_env(make_dream(obs_type=obs_type, continuous=False))


def test_registered_time_limit(make_dream: DreamFactory) -> None:
    env = make_dream(max_episode_steps=3)
    assert gym.spec("DreamCarRacing-v0").max_episode_steps == 1000
    env.reset(seed=0)
    assert [env.step(GAS)[3] for _ in range(3)] == [False, False, True]


def test_copies_are_independent(make_dream: DreamFactory) -> None:
    env = make_dream()
    env.reset(seed=0)
    twin = copy.deepcopy(env)
    expected = [env.step(GAS)[0].tolist() for _ in range(3)]
    assert [twin.step(GAS)[0].tolist() for _ in range(3)] == expected


def test_spec_round_trips(toy_bundle: Path) -> None:
    env = gym.make(DREAM, world_model=str(toy_bundle), temperature=(0.5, 2.0), obs_type="latent")
    assert env.spec is not None
    first = env.reset(seed=4)
    for spec in (
        pickle.loads(pickle.dumps(env.spec)),
        gym.envs.registration.EnvSpec.from_json(env.spec.to_json()),
        copy.deepcopy(env.spec),
    ):
        again = gym.make(spec)
        observation, info = again.reset(seed=4)
        np.testing.assert_array_equal(observation, first[0])
        assert info == first[1]


@pytest.mark.parametrize("manual", [DreamCarRacingEnv.__doc__, LatentCarRacingEnv.__doc__], ids=["dream", "real"])
def test_manual_has_gymnasiums_sections(manual: str) -> None:
    sections = [line.strip()[3:] for line in manual.splitlines() if line.strip().startswith("## ")]
    assert sections == [
        "Description",
        "Action Space",
        "Observation Space",
        "Rewards",
        "Starting State",
        "Episode End",
        "Arguments",
        "Version History",
    ]


def test_example_of_the_manual_runs(full_size_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(full_size_bundle))
    failed, attempted = doctest.testmod(dream_env)
    assert failed == 0
    assert attempted == 3


def test_a_dream_made_in_inference_mode_is_as_any(toy_world_model: WorldModel) -> None:
    with torch.inference_mode():
        inside = gym.make(DREAM, world_model=toy_world_model)
        first = inside.reset(seed=1)[0], inside.step(GAS)[0]
    outside = gym.make(DREAM, world_model=toy_world_model)
    second = outside.reset(seed=1)[0], outside.step(GAS)[0]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(inside.step(GAS)[0], outside.step(GAS)[0])


@pytest.mark.parametrize("fast", [False, True])
def test_a_copy_made_in_inference_mode_is_as_any(toy_world_model: WorldModel, fast: bool) -> None:
    if fast:
        pytest.importorskip("numba")
    env = gym.make(DREAM, world_model=toy_world_model, fast=fast).unwrapped
    env.reset(seed=1)
    with torch.inference_mode():
        copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
        first = [each.step(GAS)[0] for each in copies]
    wanted = env.step(GAS)[0], env.step(GAS)[0]
    for each, seen in zip(copies, first, strict=True):
        np.testing.assert_array_equal([seen, each.step(GAS)[0]], wanted)


@pytest.mark.parametrize("fast", [False, True])
def test_torchs_default_dtype_changes_nothing(toy_world_model: WorldModel, fast: bool) -> None:
    if fast:
        pytest.importorskip("numba")

    def played() -> np.ndarray:
        env = gym.make(DREAM, world_model=toy_world_model, fast=fast, temperature=(0.7, 1.3))
        assert env.reset(seed=1)[0].dtype == np.float32
        return np.stack([env.step(GAS)[0] for _ in range(5)])

    usual = played()
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_array_equal(played(), usual)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel's account is Linux's")
def test_making_and_closing_leaks_nothing(toy_world_model: WorldModel) -> None:
    def use(times: int) -> None:
        for _ in range(times):
            env = gym.make(DREAM, world_model=toy_world_model, render_mode="rgb_array")
            for _ in range(5):
                env.reset()
                env.step(GAS)
            env.render()
            env.close()

    use(20)
    before = resident()
    use(60)  # whose pictures alone would be 63,000 KiB
    assert resident() - before < 20_000
