"""Reality as the dream shows itself, for a world of one's own; and environments that are not the world as recorded."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

import dreamgym
from dreamgym.errors import BundleVersionError, ConfigError, ObservationError, ResetNeededError
from dreamgym.world_model import WorldModel
from dreamgym.worlds import registry
from dreamgym.worlds.base import ActionSet, Preprocess, RewardRule, World
from dreamgym.wrappers import LatentObservation, VectorLatentObservation
from tests.support.bundles import save_bundle
from tests.support.fake_racing import FakeRacing


class Corridor(gym.Env[NDArray[np.uint8], int]):
    """Small frames whose brightness says where one stands; ends at either wall."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}  # noqa: RUF012
    observation_space = gym.spaces.Box(0, 255, (8, 6, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(2, 8)), 0
        return self._frame(), {}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.place, self.steps = self.place + (1 if action else -1), self.steps + 1
        return self._frame(), 1.0, self.place in (0, 10), False, {}

    def _frame(self) -> NDArray[np.uint8]:
        return np.full((8, 6, 3), 25 * self.place, np.uint8)

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        return self._frame()


def make_corridor(
    render_mode: str | None = None,
    max_episode_steps: int | None = 20,
    exact_drawing: bool = True,
    continuous: bool | None = None,
) -> gym.Env[Any, Any]:
    env = Corridor(render_mode)
    return env if max_episode_steps is None else TimeLimit(env, max_episode_steps)


def enlarge(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.broadcast_to(frames[..., :1, :1, :], (*frames.shape[:-3], 64, 64, 3)).copy()


CORRIDOR = World(
    name="Corridor",
    env_id="Corridor",
    make_env=make_corridor,
    preprocess=Preprocess((8, 6, 3), enlarge),
    actions=ActionSet((-1.0,), (1.0,), ("move",), ("tanh",), ((-1.0,), (1.0,)), rule="thresholds", box=False),
    rewards=RewardRule(constant=1.0, scale=0.0, head="none"),
    fps=7,
    max_episode_steps=20,
    accepts=lambda env: "it is blind" if getattr(env.unwrapped, "blind", False) else None,
    simulated_steps=lambda env: env.unwrapped.steps,  # type: ignore[attr-defined]
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(save_bundle(CORRIDOR, "Corridor", tmp_path / "corridor"))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    before = dict(gym.registry)
    dreamgym.register_world(CORRIDOR)
    yield
    gym.registry.clear()
    gym.registry.update(before)


def test_latent_takes_a_description_that_is_not_registered(folder: str) -> None:
    for world in (CORRIDOR, f"{__name__}:CORRIDOR"):
        env = gym.make("dreamgym:Latent-v0", world_model=folder, world=world)
        dream = gym.make("dreamgym:Dream-v0", world_model=folder)
        assert env.observation_space == dream.observation_space
        assert env.action_space == dream.action_space == gym.spaces.Discrete(2)
        assert env.metadata["render_fps"] == 7
        observation, _ = env.reset(seed=1)
        assert env.observation_space.contains(observation)
        assert env.step(1)[1] == 1.0
    with pytest.raises(ConfigError, match="'Corridor', the bundle's world, which is not registered here"):
        gym.make("dreamgym:Latent-v0", world_model=folder)
    with pytest.raises(BundleVersionError, match="expected one of 'CarRacing', got one of 'Corridor'"):
        gym.make("dreamgym:Latent-v0", world_model=folder, world="car-racing")


def test_a_bundle_never_imports_the_world_that_it_names(tmp_path: Path) -> None:
    folder = str(save_bundle(CORRIDOR, "antigravity:WORLD", tmp_path / "evil"))
    gym.make("dreamgym:Dream-v0", world_model=folder)
    with pytest.raises(ConfigError, match="not registered"):
        gym.make("dreamgym:Latent-v0", world_model=folder)
    assert "antigravity" not in sys.modules


@pytest.mark.usefixtures("registered")
def test_a_registered_world_has_ids_of_its_own(folder: str) -> None:
    assert gym.spec("DreamCorridor-v0").max_episode_steps == gym.spec("LatentCorridor-v0").max_episode_steps == 20
    gym.make("dreamgym:DreamCorridor-v0", world_model=folder).reset(seed=1)
    env = gym.make("dreamgym:LatentCorridor-v0", world_model=folder)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    pickled = pickle.loads(pickle.dumps(env.unwrapped))
    observation, _ = env.reset(seed=3)
    assert np.array_equal(again.reset(seed=3)[0], observation)
    assert np.array_equal(pickled.reset(seed=3)[0], observation)
    assert np.array_equal(LatentObservation(Corridor(), world_model=folder).reset(seed=3)[0], observation)
    dreamgym.register_world(replace(CORRIDOR, max_episode_steps=30))
    assert gym.spec("DreamCorridor-v0").max_episode_steps == 30


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_batch_is_each_alone(folder: str, mode: AutoresetMode) -> None:
    envs = gym.make_vec("dreamgym:LatentCorridor-v0", num_envs=2, world_model=folder, autoreset_mode=mode)
    env = gym.make("dreamgym:LatentCorridor-v0", world_model=folder)
    assert np.array_equal(envs.reset(seed=4)[0][1], env.reset(seed=5)[0])
    ended = False
    while not ended:
        observations, _, terminations, _, infos = envs.step(np.array([1, 1]))
        observation, _, ended, _, _ = env.step(1)
        seen = infos["final_obs"][1] if mode is AutoresetMode.SAME_STEP and ended else observations[1]
        assert np.array_equal(seen, observation)
        assert terminations[1] == ended
        if mode is AutoresetMode.DISABLED and terminations.any():
            envs.reset(options={"reset_mask": terminations})
    envs.close()


def test_the_world_says_why_an_environment_is_not_itself(folder: str) -> None:
    env = Corridor()
    env.blind = True  # type: ignore[attr-defined]
    with pytest.raises(ObservationError, match="expected Corridor as it was recorded for V and M: it is blind"):
        LatentObservation(env, world_model=folder, world=CORRIDOR)
    with pytest.raises(ObservationError, match="VectorLatentObservation expected Corridor as it was recorded"):
        VectorLatentObservation(SyncVectorEnv([lambda: env]), world_model=folder, world=CORRIDOR)


def test_randomized_colours_of_car_racing_are_refused(toy_world_model: WorldModel) -> None:
    real = gym.make("CarRacing-v3", domain_randomize=True)
    with pytest.raises(ObservationError, match="domain_randomize=True"):
        LatentObservation(real, world_model=toy_world_model)
    real.close()


class Skipping(gym.Wrapper[Any, Any, Any, Any]):
    """A frame skip as people write it."""

    def step(self, action: Any) -> Any:
        self.env.step(action)
        return self.env.step(action)


MESSAGE = r"make one step of its own in each, as M does; got 2\. Put a wrapper .* around (Vector)?LatentObservation"


def test_a_frame_skip_beneath_is_refused_at_the_first_step(toy_world_model: WorldModel, folder: str) -> None:
    racing = LatentObservation(Skipping(gym.make("CarRacing-v3")), world_model=toy_world_model)
    racing.reset(seed=1)
    with pytest.raises(ObservationError, match=MESSAGE):
        racing.step(np.zeros(3, np.float32))
    racing.close()
    for mode in AutoresetMode:
        inner = SyncVectorEnv([Corridor, lambda: Skipping(Corridor())], autoreset_mode=mode)
        envs = VectorLatentObservation(inner, world_model=folder, world=CORRIDOR)
        envs.reset(seed=[1, 1])
        with pytest.raises(ObservationError, match=MESSAGE):
            envs.step(np.array([1, 1]))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_whose_simulator_begins_anew_wants_a_reset(toy_world_model: WorldModel, copied: Any) -> None:
    single = LatentObservation(gym.make("CarRacing-v3"), world_model=toy_world_model)
    makers = [partial(gym.make, "CarRacing-v3")] * 2
    both = VectorLatentObservation(SyncVectorEnv(makers), world_model=toy_world_model)
    native = gym.make_vec("dreamgym:LatentCarRacing-v0", num_envs=2, world_model=toy_world_model)
    gas = np.array([0.0, 0.5, 0.0], np.float32)
    for env, action in ((single, gas), (both, np.stack([gas, gas])), (native, np.stack([gas, gas]))):
        first, _ = env.reset(seed=1)
        env.step(action)
        twin = copied(env)
        with pytest.raises(ResetNeededError):
            twin.step(action)
        assert np.array_equal(twin.reset(seed=1)[0], first)
        twin.step(action)
        env.step(action)
        twin.close()
        env.close()


def test_a_world_that_does_not_tell_its_time_is_not_guarded(toy_world_model: WorldModel) -> None:
    env = LatentObservation(Skipping(FakeRacing(length=-1)), world_model=toy_world_model)
    env.reset(seed=1)
    env.step(np.zeros(3, np.float32))


def test_an_id_refuses_a_bundle_of_another_world(folder: str) -> None:
    for name in ("DreamCarRacing-v0", "LatentCarRacing-v0", "DreamDoomTakeCover-v0"):
        with pytest.raises(BundleVersionError, match="Corridor"):
            gym.make(f"dreamgym:{name}", world_model=folder)


def test_a_dream_may_be_asked_for_by_the_name_of_a_world_that_is_not_registered(folder: str) -> None:
    for bundle in (folder, WorldModel.load(folder)):
        assert gym.make("dreamgym:Dream-v0", world_model=bundle, world="Corridor").metadata["render_fps"] == 7
