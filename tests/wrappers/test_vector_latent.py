"""A batch of real environments as the dream shows itself: the same as each alone, in every autoreset mode."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FrameStackObservation, RescaleAction
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from gymnasium.wrappers.vector import RescaleAction as VectorRescaleAction

from dreamgym.errors import ActionError, ConfigError, ObservationError, ResetNeededError
from dreamgym.world_model import WorldModel
from dreamgym.wrappers import LatentObservation, VectorLatentObservation
from tests.support.fake_racing import FakeRacing, random_actions

COUNT, STEPS = 3, 14
OBS_TYPES = ("features", "latent", "rgb")


def fakes(mode: AutoresetMode, **kwargs: Any) -> SyncVectorEnv:
    return SyncVectorEnv([partial(FakeRacing, **kwargs)] * COUNT, autoreset_mode=mode)


def singles(world_model: WorldModel, obs_type: str, seed: int) -> list[LatentObservation]:
    envs = [LatentObservation(FakeRacing(), obs_type=obs_type, world_model=world_model) for _ in range(COUNT)]
    for i, env in enumerate(envs):
        env.reset(seed=seed + i)
    return envs


@pytest.mark.parametrize("obs_type", OBS_TYPES)
def test_next_step_is_each_alone(toy_world_model: WorldModel, obs_type: str) -> None:
    envs = VectorLatentObservation(fakes(AutoresetMode.NEXT_STEP), obs_type, world_model=toy_world_model)
    alone = [LatentObservation(FakeRacing(), obs_type, world_model=toy_world_model) for _ in range(COUNT)]
    observations, _ = envs.reset(seed=5)
    assert np.array_equal(observations, [env.reset(seed=5 + i)[0] for i, env in enumerate(alone)])
    ended = [False] * COUNT
    resets = 0
    for actions in random_actions(STEPS, COUNT):
        given = np.where(np.array(ended)[:, None], np.nan, actions)  # not looked at where an episode begins
        observations, _, terminations, _, _ = envs.step(given.astype(np.float32))
        for i, env in enumerate(alone):
            if ended[i]:
                wanted, ended[i] = env.reset()[0], False
                resets += 1
            else:
                wanted, _, ended[i], _, _ = env.step(actions[i])
            assert np.array_equal(observations[i], wanted)
        assert terminations.tolist() == ended
    assert resets >= COUNT


@pytest.mark.parametrize("obs_type", OBS_TYPES)
def test_same_step_is_each_alone_with_final_observations(toy_world_model: WorldModel, obs_type: str) -> None:
    envs = VectorLatentObservation(fakes(AutoresetMode.SAME_STEP), obs_type, world_model=toy_world_model)
    envs.reset(seed=5)
    alone = singles(toy_world_model, obs_type, 5)
    finals = 0
    for actions in random_actions(STEPS, COUNT):
        observations, _, terminations, _, infos = envs.step(actions)
        assert ("final_obs" in infos) == terminations.any()
        for i, env in enumerate(alone):
            wanted, _, ended, _, info = env.step(actions[i])
            assert terminations[i] == ended
            if ended:
                assert np.array_equal(infos["final_obs"][i], wanted)
                assert infos["final_info"]["left"][i] == info["left"]
                wanted, _ = env.reset()
                finals += 1
            elif terminations.any():
                assert infos["final_obs"][i] is None
            assert np.array_equal(observations[i], wanted)
    assert finals >= COUNT


@pytest.mark.parametrize("obs_type", OBS_TYPES)
def test_disabled_resets_by_the_mask(toy_world_model: WorldModel, obs_type: str) -> None:
    envs = VectorLatentObservation(fakes(AutoresetMode.DISABLED), obs_type, world_model=toy_world_model)
    envs.reset(seed=5)
    alone = singles(toy_world_model, obs_type, 5)
    resets = 0
    for actions in random_actions(STEPS, COUNT):
        observations, _, terminations, _, _ = envs.step(actions)
        wanted = [env.step(action)[0] for env, action in zip(alone, actions, strict=True)]
        assert np.array_equal(observations, wanted)
        if terminations.any():
            options = {"reset_mask": terminations}
            observations, _ = envs.reset(seed=[100 + i for i in range(COUNT)], options=options)
            assert options == {"reset_mask": terminations}
            for i in np.flatnonzero(terminations):
                wanted[i] = alone[i].reset(seed=100 + int(i))[0]
                resets += 1
            assert np.array_equal(observations, wanted)
    assert resets >= COUNT


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_disabled_insists_on_a_reset(toy_world_model: WorldModel, vector: Any) -> None:
    inner = vector([FakeRacing] * COUNT, autoreset_mode=AutoresetMode.DISABLED)
    envs = VectorLatentObservation(inner, world_model=toy_world_model)
    envs.reset(seed=5)
    ended = np.zeros(COUNT, bool)
    for actions in random_actions(STEPS, COUNT):
        if not ended.any():
            observations, _, ended, _, _ = envs.step(actions)
    assert ended.any()
    with pytest.raises(ResetNeededError, match="have ended"):
        envs.step(actions)
    assert np.array_equal(envs.encoder.features(), observations)
    envs.close()


def test_bad_masks_change_nothing(toy_world_model: WorldModel) -> None:
    envs = VectorLatentObservation(fakes(AutoresetMode.DISABLED), world_model=toy_world_model)
    envs.reset(seed=5)
    before = envs.latent_state
    for mask in (np.ones(2, bool), np.zeros(COUNT, bool), np.ones(COUNT), [True] * COUNT):
        with pytest.raises(ConfigError, match=r"reset_mask.*expected .*, got"):
            envs.reset(options={"reset_mask": mask})
    for part, now in zip(before, envs.latent_state, strict=True):
        assert np.array_equal(part, now)


def test_seeds_one_by_one(toy_world_model: WorldModel) -> None:
    envs = VectorLatentObservation(fakes(AutoresetMode.NEXT_STEP), world_model=toy_world_model)
    observations, _ = envs.reset(seed=[7, 8, 9])
    for same in (7, np.int64(7), np.array([7, 8, 9])):
        assert np.array_equal(envs.reset(seed=same)[0], observations)  # type: ignore[arg-type]
    assert not np.isclose(envs.reset()[0][:, :8], observations[:, :8]).any()


def test_bad_actions_change_nothing(toy_world_model: WorldModel) -> None:
    for mode in AutoresetMode:
        envs = VectorLatentObservation(fakes(mode), world_model=toy_world_model)
        with pytest.raises(ResetNeededError):
            envs.step(np.zeros((COUNT, 3), np.float32))
        envs.reset(seed=5)
        before = envs.latent_state
        bad = np.zeros((COUNT, 3), np.float32)
        bad[1, 1] = -0.1
        for actions in (bad, np.zeros((2, 3), np.float32), np.full((COUNT, 3), np.nan), None):
            with pytest.raises(ActionError):
                envs.step(actions)
        assert all(env.executed == [] for env in envs.env.envs)  # type: ignore[attr-defined]
        for part, now in zip(before, envs.latent_state, strict=True):
            assert np.array_equal(part, now)


def test_discrete_actions(toy_world_model: WorldModel) -> None:
    discrete = VectorLatentObservation(fakes(AutoresetMode.NEXT_STEP, continuous=False), world_model=toy_world_model)
    continuous = VectorLatentObservation(fakes(AutoresetMode.NEXT_STEP), world_model=toy_world_model)
    discrete.reset(seed=5)
    continuous.reset(seed=5)
    meanings = np.array([(0.6, 0, 0), (0, 0.2, 0), (0, 0, 0.8)], np.float32)
    for _ in range(STEPS):
        assert np.array_equal(discrete.step(np.array([1, 3, 4]))[0], continuous.step(meanings)[0])
    discrete.reset(seed=5)
    with pytest.raises(ActionError):
        discrete.step(np.array([1, 3, 5]))


def test_wrappers_go_around(toy_world_model: WorldModel) -> None:
    envs = VectorLatentObservation(fakes(AutoresetMode.SAME_STEP, length=4), world_model=toy_world_model)
    around = RecordEpisodeStatistics(VectorRescaleAction(envs, np.float32(-1), np.float32(1)))
    around.reset(seed=5)
    for _ in range(3):
        around.step(np.zeros((COUNT, 3), np.float32))
    infos = around.step(np.zeros((COUNT, 3), np.float32))[4]
    assert infos["episode"]["l"].tolist() == [4] * COUNT
    assert envs.env.envs[0].executed == []  # type: ignore[attr-defined]  # the next episode's


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gym.make_vec("CartPole-v1"), ObservationError, r'gym.make_vec\("CarRacing-v3"\)'),
        (
            lambda: SyncVectorEnv([lambda: FrameStackObservation(FakeRacing(), 4)]),
            ObservationError,
            "FrameStackObservation, around VectorLatentObservation",
        ),
        (
            lambda: SyncVectorEnv([lambda: RescaleAction(FakeRacing(), np.float32(-1), np.float32(1))]),
            ActionError,
            "change actions around VectorLatentObservation",
        ),
    ],
)
def test_other_environments_are_refused(toy_world_model: WorldModel, make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        VectorLatentObservation(make(), world_model=toy_world_model)


def test_an_unknown_autoreset_mode_is_refused(toy_world_model: WorldModel) -> None:
    envs = fakes(AutoresetMode.NEXT_STEP)
    del envs.metadata["autoreset_mode"]
    with pytest.raises(ConfigError, match=r"expected an AutoresetMode .* got None"):
        VectorLatentObservation(envs, world_model=toy_world_model)


def test_processes_give_the_same(toy_world_model: WorldModel) -> None:
    makers = [FakeRacing] * COUNT
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        apart = VectorLatentObservation(AsyncVectorEnv(makers, autoreset_mode=mode), world_model=toy_world_model)
        together = VectorLatentObservation(fakes(mode), world_model=toy_world_model)
        try:
            assert np.array_equal(apart.reset(seed=5)[0], together.reset(seed=5)[0])
            for actions in random_actions(STEPS, COUNT)[:9]:
                observations, _, ended, _, infos = apart.step(actions)
                wanted = together.step(actions)
                assert np.array_equal(observations, wanted[0])
                if ended.any() and mode is AutoresetMode.SAME_STEP:
                    for i in np.flatnonzero(ended):
                        assert np.array_equal(infos["final_obs"][i], wanted[4]["final_obs"][i])
        finally:
            apart.close()
