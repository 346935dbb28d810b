"""Stable-Baselines3's wrappers, checker and algorithms over the vector environments."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction

from dreamgym.world_model import WorldModel
from tests.support.fake_racing import random_actions
from tests.support.toy_envs import COUNT, DREAM, GAS_FOR_ALL, REAL, VecEnvFactory

pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize

from dreamgym.wrappers import SB3VecEnv


def test_stable_baselines_wrappers_work_on_top(dream_venv: VecEnvFactory) -> None:
    venv = VecNormalize(VecFrameStack(VecMonitor(dream_venv()), 2))
    assert venv.reset().shape == (COUNT, 40)
    episodes = []
    for actions in random_actions(12, COUNT):
        observations, _, _, infos = venv.step(actions)
        assert observations.shape == (COUNT, 40)
        for info in infos:
            if "episode" in info:
                episodes.append(info["episode"]["l"])
                assert info["terminal_observation"].shape == (40,)
    assert len(episodes) >= 2 * COUNT
    assert max(episodes) == 5


@pytest.mark.parametrize("env_id", [DREAM, REAL])
def test_stable_baselines_checker(toy_world_model: WorldModel, env_id: str) -> None:
    with pytest.warns(UserWarning, match="symmetric and normalized") as caught:
        check_env(gym.make(env_id, world_model=toy_world_model).unwrapped)
    messages = [str(warning.message) for warning in caught if warning.category is not DeprecationWarning]  # of SWIG
    assert len(messages) == 1


def test_a_policy_of_the_dream_runs_unchanged_in_reality(
    dream_venv: VecEnvFactory, toy_world_model: WorldModel, tmp_path: Path
) -> None:
    model = PPO("MlpPolicy", VecMonitor(dream_venv()), n_steps=8, batch_size=8, n_epochs=1, device="cpu", seed=0)
    model.learn(2 * 8 * COUNT)
    assert model.ep_info_buffer
    mean, _ = evaluate_policy(model, VecMonitor(dream_venv()), n_eval_episodes=4)
    assert np.isfinite(mean)
    model.save(tmp_path / "policy.zip")
    real = gym.make(REAL, world_model=toy_world_model)
    loaded = PPO.load(tmp_path / "policy.zip", env=real, device="cpu")
    observation, _ = real.reset(seed=1)
    action, _ = loaded.predict(observation, deterministic=True)
    assert real.action_space.contains(action)
    assert np.array_equal(action, model.predict(observation, deterministic=True)[0])
    real.step(action)
    real.close()


def test_a_rescaled_policy_runs_in_rescaled_reality(
    dream_venv: VecEnvFactory, toy_world_model: WorldModel, tmp_path: Path
) -> None:
    venv = VecMonitor(dream_venv(rescale_actions=True))
    model = SAC("MlpPolicy", venv, learning_starts=6, buffer_size=100, batch_size=4, device="cpu", seed=0)
    model.learn(5 * COUNT)
    model.save(tmp_path / "policy.zip")
    real = RescaleAction(gym.make(REAL, world_model=toy_world_model), -1, 1)  # type: ignore[arg-type]
    loaded = SAC.load(tmp_path / "policy.zip", env=real, device="cpu")
    observation, _ = real.reset(seed=1)
    real.step(loaded.predict(observation)[0])
    real.close()


def test_pictures_are_images_to_stable_baselines(dream_venv: VecEnvFactory) -> None:
    model = PPO("CnnPolicy", dream_venv(obs_type="rgb"), n_steps=2, batch_size=6, n_epochs=1, device="cpu")
    assert model.observation_space.shape == (3, 64, 64)
    model.learn(2 * COUNT)


def test_reality_as_a_vec_env(toy_world_model: WorldModel) -> None:
    venv = SB3VecEnv(REAL, num_envs=2, world_model=toy_world_model, max_episode_steps=2, exact_drawing=True)
    venv.seed(1)
    assert venv.reset().shape == (2, 20)
    venv.step(GAS_FOR_ALL[:2])
    _, _, dones, infos = venv.step(GAS_FOR_ALL[:2])
    assert dones.all()
    assert all(info["TimeLimit.truncated"] for info in infos)
    assert len(venv.get_attr("track")) == 2
    venv.close()
