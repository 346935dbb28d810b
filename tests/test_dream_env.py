"""The dream as a Gymnasium environment."""

from __future__ import annotations

import copy
import doctest
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.play import PlayableGame

from dreamgym.dream import env as dream_env
from dreamgym.dream.env import DreamCarRacingEnv
from dreamgym.dream.rendering import decode_frames, enlarge
from dreamgym.errors import (
    ActionError,
    BundleNotFoundError,
    ConfigError,
    ObservationError,
    ResetNeededError,
    TemperatureError,
)
from dreamgym.real.preprocess import preprocess
from dreamgym.world_model import MODELS_VARIABLE, WorldModel
from dreamgym.wrappers.real_env import LatentCarRacingEnv

ID = "dreamgym:DreamCarRacing-v0"
GAS = np.array([0.1, 0.5, 0.0], np.float32)
Make = Callable[..., gym.Env[Any, Any]]


@pytest.fixture
def make(toy_world_model: WorldModel) -> Iterator[Make]:
    made = []

    def make_one(**options: Any) -> gym.Env[Any, Any]:
        made.append(gym.make(ID, world_model=toy_world_model, **options))
        return made[-1]

    yield make_one
    for env in made:
        env.close()
        env.close()


def unwrapped(env: gym.Env[Any, Any]) -> DreamCarRacingEnv:
    assert isinstance(env.unwrapped, DreamCarRacingEnv)
    return env.unwrapped


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("render_mode", [None, "rgb_array", "human"])
@pytest.mark.parametrize("obs_type", ["features", "latent", "rgb"])
def test_check_env_has_no_complaint(make: Make, obs_type: str, render_mode: str | None, continuous: bool) -> None:
    options = {"obs_type": obs_type, "render_mode": render_mode, "continuous": continuous}
    check_env(make(**options).unwrapped, skip_render_check=render_mode is not None)


def test_check_env_tries_every_render_mode(toy_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(toy_bundle))
    check_env(gym.make(ID).unwrapped)


@pytest.mark.parametrize("obs_type", ["features", "rgb"])
def test_sb3_check_env(make: Make, obs_type: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")
        checker.check_env(make(obs_type=obs_type))
    checker.check_env(make(obs_type=obs_type, continuous=False))


def test_spaces(make: Make) -> None:
    env = make()
    assert env.observation_space == gym.spaces.Box(
        np.array([-10] * 8 + [-1] * 12, np.float32), np.array([10] * 8 + [1] * 12, np.float32)
    )
    assert env.action_space == gym.spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))
    assert make(obs_type="latent").observation_space == gym.spaces.Box(-10, 10, (8,), np.float32)
    assert make(obs_type="rgb").observation_space == gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert make(continuous=False).action_space == gym.spaces.Discrete(5)


def test_full_size_features_are_288_floats(full_size_bundle: Path) -> None:
    env = gym.make(ID, world_model=full_size_bundle)
    assert env.observation_space.shape == (288,)
    assert env.observation_space.contains(env.reset(seed=0)[0])
    assert env.observation_space.contains(env.step(GAS)[0])
    assert isinstance(env.metadata["render_fps"], int)
    env.close()


@pytest.mark.parametrize("obs_type", ["features", "latent", "rgb"])
def test_observation_types_show_the_same_dream(make: Make, toy_world_model: WorldModel, obs_type: str) -> None:
    env, features = make(obs_type=obs_type), make()
    env.reset(seed=5)
    features.reset(seed=5)
    for _ in range(3):
        (seen, *rest), (full, *expected) = env.step(GAS), features.step(GAS)
        assert rest == expected
        z = torch.from_numpy(full[:8])
        if obs_type == "rgb":
            with torch.no_grad():
                image = toy_world_model.vision.decode(z[None])[0].permute(1, 2, 0).mul(255).numpy()
            np.testing.assert_allclose(seen, image, atol=0.501)
        else:
            np.testing.assert_array_equal(seen, full[: len(seen)])


def test_returns_plain_python_types(make: Make) -> None:
    env = make()
    _, info = env.reset(seed=0)
    assert {key: type(value) for key, value in info.items()} == {"progress": float, "temperature": float}
    _, reward, terminated, truncated, info = env.step(GAS)
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert {key: type(value) for key, value in info.items()} == {"progress": float, "temperature": float}


@pytest.mark.parametrize("obs_type", ["features", "latent", "rgb"])
def test_observations_are_copies(make: Make, obs_type: str) -> None:
    env, twin = make(obs_type=obs_type), make(obs_type=obs_type)
    first, _ = env.reset(seed=1)
    twin.reset(seed=1)
    kept = first.copy()
    second, *_ = env.step(GAS)
    np.testing.assert_array_equal(first, kept)
    first[:], second[:] = 0, 0
    twin.step(GAS)
    np.testing.assert_array_equal(env.step(GAS)[0], twin.step(GAS)[0])


def test_seeds_decide_everything_and_reset_goes_on(make: Make) -> None:
    def episodes(env: gym.Env[Any, Any]) -> list[list[Any]]:
        seen = []
        for seed in (7, None, None):
            env.reset(seed=seed)
            seen.append([env.step(GAS)[0].tolist() for _ in range(4)])
        return seen

    env = make(temperature=(0.5, 2.0))
    first, second, third = episodes(env)
    assert [first, second, third] == episodes(env) == episodes(make(temperature=(0.5, 2.0)))
    assert first != second != third != first
    unseeded = make()
    unseeded.reset()
    assert unseeded.step(GAS)[0].tolist() not in [first[0], second[0]]


def test_lap_finished_is_told_at_the_end(toy_world_model: WorldModel, make_world_model: Any) -> None:
    model = make_world_model(seed=8, lap_units=2.0)
    with torch.no_grad():
        model.memory.termination_head.bias.fill_(-90.0)
    env = DreamCarRacingEnv(world_model=model)
    env.reset(seed=0)
    total = 0.0
    for _ in range(100):
        _, reward, terminated, truncated, info = env.step(GAS)
        total += reward
        assert not truncated
        if terminated:
            break
        assert "lap_finished" not in info
    assert info["lap_finished"] is True
    assert info["progress"] == 1.0
    assert 900 < total <= 1000
    with torch.no_grad():
        model.memory.termination_head.bias.fill_(90.0)
    off = DreamCarRacingEnv(world_model=model)
    off.reset(seed=0)
    _, reward, terminated, _, info = off.step(GAS)
    assert (reward, terminated, info["lap_finished"]) == (-100.0, True, False)


def test_registered_time_limit(make: Make) -> None:
    env = make(max_episode_steps=3)
    assert gym.spec("DreamCarRacing-v0").max_episode_steps == 1000
    env.reset(seed=0)
    assert [env.step(GAS)[3] for _ in range(3)] == [False, False, True]


def test_discrete_actions_are_those_of_car_racing(make: Make) -> None:
    discrete, continuous = make(continuous=False), make()
    mapping = [[0, 0, 0], [0.6, 0, 0], [-0.6, 0, 0], [0, 0.2, 0], [0, 0, 0.8]]
    for action, meaning in enumerate(mapping):
        for env in (discrete, continuous):
            env.reset(seed=action)
        left = discrete.step(action)
        right = continuous.step(np.array(meaning, np.float32))
        np.testing.assert_array_equal(left[0], right[0])
        np.testing.assert_array_equal(discrete.step(np.int64(action))[0], continuous.step(np.float32(meaning))[0])


@pytest.mark.parametrize(
    ("continuous", "action"),
    [
        (True, [0.0, 0.0]),
        (True, 0),
        (True, np.zeros((1, 3), np.float32)),
        (True, [np.nan, 0, 0]),
        (True, [0, np.inf, 0]),
        (True, [0, 0, -1e-3]),
        (True, [0, 0, 1 + 2e-6]),
        (True, ["a", "b", "c"]),
        (True, None),
        (False, 5),
        (False, -1),
        (False, 1.0),
        (False, [1]),
        (False, None),
        (False, np.nan),
    ],
)
def test_bad_actions_change_nothing(toy_world_model: WorldModel, continuous: bool, action: Any) -> None:
    env, twin = (DreamCarRacingEnv(world_model=toy_world_model, continuous=continuous) for _ in range(2))
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ActionError, match="expected"):
        env.step(action)
    good = GAS if continuous else 3
    np.testing.assert_array_equal(env.step(good)[0], twin.step(good)[0])


def test_step_and_render_before_reset(toy_world_model: WorldModel) -> None:
    env = DreamCarRacingEnv("rgb_array", world_model=toy_world_model)
    with pytest.raises(ResetNeededError):
        env.step(GAS)
    with pytest.raises(gym.error.ResetNeeded):
        env.render()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"obs_type": "pixels"}, ConfigError, "features.*pixels"),
        ({"temperature": 0}, TemperatureError, "positive"),
        ({"temperature": float("nan")}, TemperatureError, "nan"),
        ({"temperature": (2, 1)}, TemperatureError, "low"),
        ({"render_mode": "ansi"}, ConfigError, "rgb_array.*ansi"),
        ({"start": "nowhere"}, ConfigError, "nowhere"),
        ({"precision": "int8"}, ConfigError, "int8"),
    ],
)
def test_bad_arguments(
    toy_world_model: WorldModel, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DreamCarRacingEnv(world_model=toy_world_model, **options)


def test_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError):
        gym.make(ID, world_model=str(tmp_path))


def test_temperature_is_live(make: Make) -> None:
    env = make(temperature=1.5)
    inner = unwrapped(env)
    assert env.reset(seed=0)[1]["temperature"] == inner.temperature == 1.5
    inner.temperature = 0.25
    assert env.step(GAS)[4]["temperature"] == 0.25
    assert env.reset()[1]["temperature"] == 0.25
    assert env.reset(options={"temperature": 3.0})[1]["temperature"] == 3.0
    assert env.reset()[1]["temperature"] == 0.25
    with pytest.raises(TemperatureError):
        inner.temperature = -1
    assert inner.temperature == 0.25
    inner.temperature = [0.5, 0.75]
    assert inner.temperature == 0.25
    assert 0.5 <= env.reset()[1]["temperature"] <= 0.75
    assert 0.9 <= env.reset(options={"temperature": (0.9, 1.0)})[1]["temperature"] <= 1.0
    inner.temperature = None
    assert inner.temperature == 1.0


def test_a_cold_dream_is_another_one_than_a_hot_one(make: Make) -> None:
    env, other = make(temperature=0.01), make(temperature=1.0)
    env.reset(seed=0)
    other.reset(seed=0)
    assert not np.array_equal(env.step(GAS)[0], other.step(GAS)[0])


def test_start_options(make: Make, toy_world_model: WorldModel) -> None:
    bank = toy_world_model.starts
    env = make()
    observation, info = env.reset(seed=0, options={"start": 6})
    np.testing.assert_array_equal(observation, torch.cat([bank.z[6], bank.h[6]]).numpy())
    assert info["progress"] == float(bank.progress[6])
    assert env.reset(seed=0)[1]["progress"] == 0.0
    found = {env.reset(options={"start": "anywhere"})[1]["progress"] for _ in range(50)}
    assert len(found) == 6  # the line, and five moments
    assert make(start=6).reset()[1]["progress"] == float(bank.progress[6])
    assert env.reset(options={})[1]["progress"] == 0.0


def test_dream_from_here(make: Make) -> None:
    generator = np.random.default_rng(0)
    raw = generator.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    env = make()
    observation, info = env.reset(seed=3, options={"observation": raw})
    assert info["progress"] == 0.0
    assert not observation[8:].any()
    again, _ = env.reset(seed=3, options={"observation": preprocess(raw)})
    np.testing.assert_array_equal(observation, again)
    h, c = generator.uniform(-1, 1, 12).astype(np.float32), generator.normal(size=12)
    options = {"observation": raw, "state": (h, c), "progress": 0.5}
    moment, info = env.reset(seed=3, options=options)
    np.testing.assert_array_equal(moment[:8], observation[:8])
    np.testing.assert_array_equal(moment[8:], h)
    assert info["progress"] == 0.5
    np.testing.assert_array_equal(unwrapped(env).core.c[0].numpy(), c.astype(np.float32))
    other, _ = env.reset(options={"observation": raw})
    assert not np.array_equal(other[:8], observation[:8])  # another draw from V's posterior


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"temprature": 1.0}, ConfigError),
        ({"start": "nowhere"}, ConfigError),
        ({"start": 8}, ConfigError),
        ({"temperature": -1}, TemperatureError),
        ({"observation": np.zeros((96, 96, 3))}, ObservationError),
        ({"observation": np.zeros((32, 32, 3), np.uint8)}, ObservationError),
        ({"observation": np.zeros((64, 64, 3), np.uint8), "start": "line"}, ConfigError),
        ({"observation": np.zeros((64, 64, 3), np.float32)}, ObservationError),
        ({"state": np.zeros(12)}, ObservationError),
        ({"state": (np.zeros(12), np.zeros(13))}, ObservationError),
        ({"progress": "half"}, ConfigError),
        ({"progress": 2.0}, ConfigError),
    ],
)
def test_bad_reset_options_change_nothing(make: Make, options: dict[str, Any], error: type[Exception]) -> None:
    env, twin = make(), make()
    env.reset(seed=0)
    twin.reset(seed=0)
    for seed in (None, 5):
        with pytest.raises(error):
            env.reset(seed=seed, options=options)
    assert env.unwrapped.np_random_seed == 0
    np.testing.assert_array_equal(env.step(GAS)[0], twin.step(GAS)[0])
    np.testing.assert_array_equal(env.reset()[0], twin.reset()[0])


def test_saved_state_replays_exactly(make: Make) -> None:
    env = unwrapped(make(temperature=(0.5, 1.5)))
    env.reset(seed=2)
    for _ in range(10):
        env.step(GAS)
    saved = env.get_state()

    def future(target: DreamCarRacingEnv) -> list[Any]:
        target.set_state(saved)
        seen: list[Any] = []
        for frame in range(200):
            observation, *rest = target.step(np.array([np.sin(frame), 0.5, 0.0], np.float32))
            seen += [observation.tolist(), rest]
            if frame == 100:
                seen.append(target.reset()[1])
        return [*seen, target.np_random.integers(1 << 30)]

    first = future(env)
    assert first == future(env) == future(unwrapped(make()))


def test_copies_are_independent(make: Make) -> None:
    env = make()
    env.reset(seed=0)
    twin = copy.deepcopy(env)
    expected = [env.step(GAS)[0].tolist() for _ in range(3)]
    assert [twin.step(GAS)[0].tolist() for _ in range(3)] == expected


def test_spec_round_trips(toy_bundle: Path) -> None:
    env = gym.make(ID, world_model=str(toy_bundle), temperature=(0.5, 2.0), obs_type="latent")
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


def test_render_modes(make: Make) -> None:
    env = make(render_mode="rgb_array", obs_type="rgb")
    observation, _ = env.reset(seed=0)
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert (picture.shape, picture.dtype) == ((560, 640, 3), np.uint8)
    np.testing.assert_array_equal(picture, enlarge(observation[None])[0])
    listed = make(render_mode="rgb_array_list")
    listed.reset(seed=0)
    listed.step(GAS)
    frames = listed.render()
    assert isinstance(frames, list)
    assert len(frames) == 2
    human = make(render_mode="human")
    human.reset(seed=0)
    human.step(GAS)
    assert human.render() is None
    human.close()
    human.reset(seed=0)  # opens it again
    silent = make()
    silent.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert silent.render() is None


def test_enlarging_keeps_the_picture() -> None:
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    frame[:, :32, :, 0] = 200
    frame[:, :, 48:, 2] = 100
    large = enlarge(frame)[0]
    assert large.shape == (560, 640, 3)
    np.testing.assert_array_equal(large[35::70, 40::80], frame[0, 4::8, 4::8])


def test_decoded_frames_do_not_depend_on_their_neighbours(toy_world_model: WorldModel, threads: Any) -> None:
    torch.manual_seed(0)
    z = torch.randn(35, 8)
    threads(1)
    together = decode_frames(toy_world_model.vision, z)
    for count, used in ((1, 1), (2, 2), (9, 1), (17, 2), (35, 2)):
        threads(used)
        assert torch.equal(decode_frames(toy_world_model.vision, z[-count:]), together[-count:])
        assert torch.get_num_threads() == used


@pytest.mark.parametrize("continuous", [True, False])
def test_keys_drive(make: Make, continuous: bool) -> None:
    env = make(continuous=continuous, render_mode="rgb_array")
    env.reset(seed=0)
    keys = unwrapped(env).get_keys_to_action()
    assert all(env.action_space.contains(action) for action in keys.values())
    assert len(keys) == 16
    a, d, w, s = (ord(key) for key in "adws")
    combinations = [(a,), (d,), (w,), (s,), tuple(sorted((a, w))), tuple(sorted((d, s)))]
    if continuous:
        wanted = [[-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0.8], [-1, 1, 0], [1, 0, 0.8]]
        np.testing.assert_allclose([keys[combination] for combination in combinations], wanted)
    else:
        assert [keys[combination] for combination in combinations] == [2, 1, 3, 4, 2, 1]
    pygame = pytest.importorskip("pygame")
    arrows = (pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_DOWN)
    for letter, arrow in zip("adws", arrows, strict=True):
        np.testing.assert_array_equal(keys[(ord(letter),)], keys[(arrow,)])
    assert set(arrows) < set(PlayableGame(env).relevant_keys)
    pygame.quit()


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


@pytest.mark.slow
def test_making_and_closing_leaks_nothing(toy_world_model: WorldModel) -> None:
    resource = pytest.importorskip("resource")

    def peak() -> int:
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    def use(times: int) -> None:
        for _ in range(times):
            env = gym.make(ID, world_model=toy_world_model, render_mode="rgb_array")
            for _ in range(5):
                env.reset()
                env.step(GAS)
            env.render()
            env.close()

    use(20)
    before = peak()
    use(200)
    assert peak() - before < 20_000  # kilobytes
