"""The vector environments as Stable-Baselines3 takes them, against its own DummyVecEnv."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import OrderEnforcing, RescaleAction, TimeLimit
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from dreamgym.errors import ActionError, ConfigError
from dreamgym.world_model import WorldModel
from tests.support.fake_racing import FakeRacing, random_actions
from tests.support.toy_envs import COUNT, DREAM, GAS_FOR_ALL, VecEnvFactory

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.vec_env import DummyVecEnv

from dreamgym.wrappers import SB3VecEnv


def fakes(**kwargs: Any) -> SyncVectorEnv:
    return SyncVectorEnv([partial(FakeRacing, **kwargs)] * COUNT, autoreset_mode=AutoresetMode.SAME_STEP)


def assert_same_infos(infos: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    for info, other in zip(infos, wanted, strict=True):
        assert info.keys() == other.keys()
        for key, value in info.items():
            assert type(value) is type(other[key])
            assert np.array_equal(value, other[key])


def test_it_behaves_as_dummy_vec_env(toy_world_model: WorldModel) -> None:
    make = partial(gym.make, DREAM, world_model=toy_world_model, max_episode_steps=5)
    theirs = DummyVecEnv([make] * COUNT)
    ours = SB3VecEnv(DREAM, num_envs=COUNT, world_model=toy_world_model, max_episode_steps=5)
    for venv in (theirs, ours):
        venv.seed(3)
    assert np.array_equal(ours.reset(), theirs.reset())
    assert_same_infos(ours.reset_infos, theirs.reset_infos)
    ended = 0
    for actions in random_actions(40, COUNT):
        observations, rewards, dones, infos = ours.step(actions)
        wanted = theirs.step(actions)
        for value, other in zip((observations, rewards, dones), wanted, strict=False):
            assert value.dtype == other.dtype
            assert np.array_equal(value, other)
        assert_same_infos(infos, wanted[3])
        assert_same_infos(ours.reset_infos, theirs.reset_infos)
        ended += dones.sum()
    assert ended >= 8 * COUNT


def test_terminated_episodes_are_not_truncated() -> None:
    venv = SB3VecEnv(fakes(length=2))
    assert venv.num_envs == COUNT
    venv.reset()
    assert not any(info["TimeLimit.truncated"] for info in venv.step(GAS_FOR_ALL)[3])
    _, _, dones, infos = venv.step(GAS_FOR_ALL)
    assert dones.all()
    for info in infos:
        assert info["TimeLimit.truncated"] is False
        assert info["left"] == 0
        assert info["terminal_observation"].shape == (96, 96, 3)
    assert [info["left"] for info in venv.reset_infos] == [2] * COUNT


def test_statistics_of_gymnasiums_vector_wrapper_reach_sb3() -> None:
    venv = SB3VecEnv(RecordEpisodeStatistics(fakes(length=2)))
    venv.reset()
    assert not any("episode" in info for info in venv.step(GAS_FOR_ALL)[3])
    infos = venv.step(GAS_FOR_ALL)[3]
    assert [info["episode"]["l"] for info in infos] == [2] * COUNT
    assert not any("episode" in info for info in venv.reset_infos)


def test_truncated_episodes_say_so(dream_venv: VecEnvFactory) -> None:
    venv = dream_venv(max_episode_steps=1)
    venv.seed(1)  # of dreams that would have gone on
    venv.reset()
    infos = venv.step(GAS_FOR_ALL)[3]
    for info in infos:
        assert info["TimeLimit.truncated"] is True
        assert "lap_finished" not in info
        assert venv.observation_space.contains(info["terminal_observation"])


def test_what_is_handed_out_are_copies(dream_venv: VecEnvFactory) -> None:
    venvs = [dream_venv(), dream_venv()]
    for venv in venvs:
        venv.seed(1)
    handed = [venvs[0].reset()]
    assert np.array_equal(handed[0], venvs[1].reset())
    for actions in random_actions(12, COUNT):
        for value in handed:
            value[...] = 0
        observations, rewards, dones, infos = venvs[0].step(actions)
        wanted = venvs[1].step(actions.copy())
        assert np.array_equal(observations, wanted[0])
        assert np.array_equal(rewards, wanted[1])
        assert np.array_equal(dones, wanted[2])
        handed = [
            observations,
            rewards,
            dones,
            *(i["terminal_observation"] for i in infos if "terminal_observation" in i),
            actions,
        ]


def test_floats_outside_the_space_are_clipped_and_nan_is_not(dream_venv: VecEnvFactory) -> None:
    venv, other = dream_venv(), dream_venv()
    for each in (venv, other):
        each.seed(1)
        each.reset()
    wild = GAS_FOR_ALL * 9 - 3
    low, high = venv.action_space.low, venv.action_space.high
    assert np.array_equal(venv.step(wild)[0], other.step(np.clip(wild, low, high))[0])
    with pytest.raises(ActionError):
        venv.step(np.full((COUNT, 3), np.nan, np.float32))


def test_rescaled_actions_are_those_of_rescale_action(toy_world_model: WorldModel, dream_venv: VecEnvFactory) -> None:
    venv = dream_venv(rescale_actions=True)
    assert venv.action_space == Box(-1.0, 1.0, (3,), np.float32)
    single = RescaleAction(gym.make(DREAM, world_model=toy_world_model), -1, 1)  # type: ignore[arg-type]
    assert single.action_space == venv.action_space
    venv.seed(1)
    venv.reset()
    single.reset(seed=1)
    for action in np.random.default_rng(0).uniform(-1, 1, (4, 3)).astype(np.float32):
        wanted = single.step(action)[0]
        assert np.allclose(venv.step(np.tile(action, (COUNT, 1)))[0][0], wanted, atol=1e-5)
    fake = SB3VecEnv(fakes(), rescale_actions=True)
    fake.reset()
    fake.step(np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 5]], np.float32))
    executed = [env.executed[0].tolist() for env in fake.env.envs]  # type: ignore[attr-defined]
    assert executed == [[-1, 0, 0], [0, 0.5, 0.5], [1, 1, 1]]


def test_discrete_actions(dream_venv: VecEnvFactory) -> None:
    venv = dream_venv(continuous=False)
    assert venv.action_space.n == 5
    venv.reset()
    venv.step(np.array([0, 3, 4]))
    with pytest.raises(ConfigError, match="rescale_actions expected a bounded Box"):
        dream_venv(continuous=False, rescale_actions=True)


def test_seeds_and_options_hold_for_one_reset(dream_venv: VecEnvFactory) -> None:
    venv = dream_venv()
    assert venv.seed(4) == [4, 5, 6]
    venv.set_options({"temperature": 1.5})
    first = venv.reset()
    assert venv.get_attr("temperature") == [1.5] * COUNT
    second = venv.reset()
    assert venv.get_attr("temperature") == [1.0] * COUNT
    assert not np.array_equal(first, second)
    venv.seed(4)
    assert np.array_equal(venv.reset(), first)
    frames = [np.full((64, 64, 3), shade, np.uint8) for shade in (100, 101, 101)]
    for options in ([{"temperature": 1.0}, {}, {}], [{"observation": frame} for frame in frames]):
        venv.set_options(options)
        with pytest.raises(ConfigError, match="same reset options"):
            venv.reset()
    venv.set_options([{"observation": frames[0].copy()} for _ in range(COUNT)])
    venv.reset()


def test_attributes_of_a_native_vector_environment(dream_venv: VecEnvFactory) -> None:
    venv = dream_venv()
    assert venv.get_attr("obs_type", indices=1) == ["features"]
    assert venv.get_attr("action_space") == [venv.action_space] * COUNT
    venv.set_attr("temperature", 1.25)
    assert venv.get_attr("temperature") == [1.25] * COUNT
    venv.set_attr("temperature", 0.75, indices=[0, 2])
    assert venv.get_attr("temperature") == [0.75, 1.25, 0.75]
    assert venv.get_attr("temperature", indices=[1]) == [1.25]
    venv.set_attr("temperature", (2.0, 3.0), indices=[0, 2])
    for _ in range(2):  # drawn anew for each episode, where it was set
        venv.reset()
        first, second, third = venv.get_attr("temperature")
        assert second == 1.25 and 2.0 <= first <= 3.0 and 2.0 <= third <= 3.0 and first != third
    with pytest.raises(ConfigError, match="one for all"):
        venv.set_attr("obs_type", "rgb", indices=0)
    assert not venv.has_attr("wheels")
    for ask in (partial(venv.get_attr, "wheels"), partial(venv.env_method, "go")):
        with pytest.raises(AttributeError, match=r"wheels|go"):
            ask()
    with pytest.raises(ConfigError, match="one for all"):
        venv.set_attr("wheels", 4, indices=0)
    venv.set_attr("wheels", 4)
    assert venv.get_attr("wheels") == [4] * COUNT


def test_methods_and_wrappers(dream_venv: VecEnvFactory, toy_world_model: WorldModel) -> None:
    venv = dream_venv(render_mode="rgb_array")
    venv.reset()
    assert [picture.shape for picture in venv.env_method("render")] == [(448, 640, 3)] * COUNT
    assert len(venv.env_method("get_state")) == COUNT
    with pytest.raises(ConfigError, match="expected indices=None"):
        venv.env_method("render", indices=0)
    for method in ("reset", "step"):
        with pytest.raises(ConfigError, match=rf"call {method}\(\) itself"):
            venv.env_method(method)
    assert venv.env_is_wrapped(RecordEpisodeStatistics) == [False] * COUNT
    around = SB3VecEnv(RecordEpisodeStatistics(dream_venv().env))
    assert around.env_is_wrapped(RecordEpisodeStatistics, indices=[0]) == [True]
    around.set_attr("temperature", 2.0)
    assert around.get_attr("temperature") == [2.0] * COUNT


def test_environments_inside_are_reached() -> None:
    venv = SB3VecEnv(fakes())
    venv.reset()
    assert venv.get_attr("executed") == [[], [], []]
    venv.set_attr("executed", ["x"], indices=1)
    assert venv.get_attr("executed") == [[], ["x"], []]
    assert len(venv.env_method("_frame")) == COUNT
    venv.set_attr("wheels", 4)
    venv.set_attr("wheels", 3, indices=[0, 2])
    assert venv.get_attr("wheels") == [3, 4, 3]


def test_wrappers_inside_are_seen() -> None:
    makers = [FakeRacing, lambda: TimeLimit(FakeRacing(), 5), lambda: OrderEnforcing(TimeLimit(FakeRacing(), 5))]
    venv = SB3VecEnv(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP))
    assert venv.env_is_wrapped(TimeLimit) == [False, True, True]
    assert venv.env_is_wrapped(OrderEnforcing, indices=[2, 0]) == [True, False]
    assert venv.env_is_wrapped(RescaleAction) == [False] * COUNT


@pytest.mark.parametrize("env", [[FakeRacing], FakeRacing(), FakeRacing, 5, None])
def test_what_is_no_vector_environment_is_refused(env: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected an id or a vector environment, got .*SyncVectorEnv"):
        SB3VecEnv(env)


def test_numbers_of_environments_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="n_envs: SB3VecEnv calls it num_envs"):
        SB3VecEnv(DREAM, n_envs=2)
    for number in (2.0, 0, "2"):
        with pytest.raises(ConfigError, match="num_envs must be a whole number"):
            SB3VecEnv(DREAM, num_envs=number)  # type: ignore[arg-type]


def test_pictures(dream_venv: VecEnvFactory) -> None:
    venv = dream_venv(render_mode="rgb_array")
    venv.reset()
    assert venv.render_mode == "rgb_array"
    assert venv.metadata["render_fps"] == 50
    pictures = venv.get_images()
    assert [picture.shape for picture in pictures] == [(448, 640, 3)] * COUNT
    assert venv.render().shape == (2 * 448, 2 * 640, 3)
    blind = dream_venv()
    blind.reset()
    with pytest.warns(UserWarning, match="rgb_array"):
        assert blind.get_images() == [None] * COUNT


def test_wrong_vector_environments_are_refused(toy_world_model: WorldModel) -> None:
    make = partial(gym.make_vec, DREAM, num_envs=COUNT, world_model=toy_world_model)
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED):
        with pytest.raises(ConfigError, match=rf"SAME_STEP; got {mode}"):
            SB3VecEnv(make(autoreset_mode=mode))
    same = make(autoreset_mode=AutoresetMode.SAME_STEP)
    assert SB3VecEnv(same, num_envs=COUNT).env is same
    for kwargs in ({"num_envs": COUNT + 1}, {"temperature": 1.0}):
        with pytest.raises(ConfigError, match="made already"):
            SB3VecEnv(same, **kwargs)
    with pytest.raises(ConfigError, match="one array"):
        SB3VecEnv(gym.make_vec("Blackjack-v1", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}))


def test_stable_baselines_is_imported_late() -> None:
    code = (
        "import sys, dreamgym.wrappers as w; print('torch' in sys.modules, end=' ')\n"
        "w.LatentObservation; print('stable_baselines3' in sys.modules, end=' ')\n"
        "sys.modules['stable_baselines3'] = None\n"
        "try: w.SB3VecEnv\nexcept ImportError as error: print(type(error).__name__, error)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.startswith("False False InstallationError")
    assert "pip install 'dreamgym[sb3]'" in finished.stdout


def test_attributes_are_read_and_not_called() -> None:
    venv = SB3VecEnv(fakes())
    assert all(callable(method) for method in venv.get_attr("_frame"))


def test_methods_results_come_in_the_order_asked_for(dream_venv: VecEnvFactory) -> None:
    venv = dream_venv(render_mode="rgb_array")
    venv.seed(1)
    venv.reset()
    pictures = venv.env_method("render")
    for there, back in zip(pictures, venv.env_method("render", indices=[2, 1, 0])[::-1], strict=True):
        assert np.array_equal(there, back)
    assert not np.array_equal(pictures[0], pictures[2])


def test_an_id_without_a_vector_environment_of_its_own_needs_a_mode() -> None:
    with pytest.raises(ConfigError, match='give SB3VecEnv vectorization_mode="sync"'):
        SB3VecEnv("MountainCar-v0", 2)
    venv = SB3VecEnv("MountainCar-v0", 2, vectorization_mode="sync")
    assert venv.reset().shape == (2, 2)
