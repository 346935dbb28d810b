"""Real environments as their dream shows itself, many at once."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from dreamgym.errors import ConfigError
from dreamgym.world_model import WorldModel
from dreamgym.wrappers import VectorLatentObservation
from tests.support.toy_envs import GAS, REAL, rollout


def vector(world_model: WorldModel, **kwargs: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    return gym.make_vec(REAL, num_envs=2, world_model=world_model, **kwargs)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_vector_rows_are_single_environments(toy_world_model: WorldModel, vectorization: str) -> None:
    envs = vector(toy_world_model, vectorization=vectorization, exact_drawing=True)
    observations = [envs.reset(seed=1)[0], *(envs.step(np.stack([GAS, GAS]))[0] for _ in range(4))]
    envs.close()
    envs.close()
    for i in range(2):
        wanted = rollout(gym.make(REAL, world_model=toy_world_model), seed=1 + i)
        assert np.array_equal([observation[i] for observation in observations], wanted)


@pytest.mark.parametrize("mode", [*AutoresetMode, "SameStep"])
def test_vector_truncates_by_itself(toy_world_model: WorldModel, mode: AutoresetMode | str) -> None:
    envs = vector(toy_world_model, max_episode_steps=2, autoreset_mode=mode, exact_drawing=True)
    assert envs.metadata["autoreset_mode"] is envs.autoreset_mode is AutoresetMode(mode)
    envs.reset(seed=1)
    actions = np.stack([GAS, GAS])
    assert not envs.step(actions)[3].any()
    observations, _, _, truncations, infos = envs.step(actions)
    assert truncations.all()
    began = (observations[:, 8:] == 0.0).all()
    assert began == (AutoresetMode(mode) is AutoresetMode.SAME_STEP)
    assert ("final_obs" in infos) == began
    envs.close()


def test_vector_surroundings(toy_world_model: WorldModel) -> None:
    envs = vector(toy_world_model, obs_type="latent", render_mode="rgb_array", exact_drawing=True)
    observations, _ = envs.reset(seed=1)
    assert envs.spec is not None
    assert envs.spec.id == "LatentCarRacing-v0"
    assert envs.observation_space.contains(observations)
    assert [picture.shape for picture in envs.render()] == [(400, 600, 3)] * 2
    assert envs.get_attr("verbose") == (False, False)
    envs.set_attr("verbose", [True, False])
    assert envs.get_attr("verbose") == (True, False)
    assert np.array_equal(envs.latent_state.z, observations)
    envs.close()


def test_vector_errors_are_named(toy_world_model: WorldModel) -> None:
    for kwargs in ({"autoreset_mode": "sometimes"}, {"vectorization": "threads"}, {"obs_type": "z"}):
        with pytest.raises(ConfigError, match=next(iter(kwargs.values()))):
            vector(toy_world_model, **kwargs)
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        gym.make_vec(REAL, num_envs=0, world_model=toy_world_model)


def test_wrapped_make_vec_of_gymnasiums_own(toy_world_model: WorldModel) -> None:
    own = VectorLatentObservation(gym.make_vec("CarRacing-v3", num_envs=2), world_model=toy_world_model)
    envs = vector(toy_world_model)
    assert np.array_equal(own.reset(seed=1)[0], envs.reset(seed=1)[0])
    actions = np.stack([GAS, -GAS * np.array([1, 0, 0], np.float32)])
    assert np.array_equal(own.step(actions)[0], envs.step(actions)[0])
    own.close()
    envs.close()
