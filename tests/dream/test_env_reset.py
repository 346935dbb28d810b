"""What an episode of the dream begins from: a seed, a temperature, a start, a real frame, a saved state."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamgym.dream.env import DreamCarRacingEnv
from dreamgym.errors import ConfigError, ObservationError, TemperatureError
from dreamgym.world_model import WorldModel
from dreamgym.worlds.car_racing.preprocess import preprocess
from tests.support.toy_envs import GAS, DreamFactory, unwrapped


def test_seeds_decide_everything_and_reset_goes_on(make_dream: DreamFactory) -> None:
    def episodes(env: gym.Env[Any, Any]) -> list[list[Any]]:
        seen = []
        for seed in (7, None, None):
            env.reset(seed=seed)
            seen.append([env.step(GAS)[0].tolist() for _ in range(4)])
        return seen

    env = make_dream(temperature=(0.5, 2.0))
    first, second, third = episodes(env)
    assert [first, second, third] == episodes(env) == episodes(make_dream(temperature=(0.5, 2.0)))
    assert first != second != third != first
    unseeded = make_dream()
    unseeded.reset()
    assert unseeded.step(GAS)[0].tolist() not in [first[0], second[0]]


def test_temperature_is_live(make_dream: DreamFactory) -> None:
    env = make_dream(temperature=1.5)
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


def test_a_cold_dream_is_another_one_than_a_hot_one(make_dream: DreamFactory) -> None:
    env, other = make_dream(temperature=0.01), make_dream(temperature=1.0)
    env.reset(seed=0)
    other.reset(seed=0)
    assert not np.array_equal(env.step(GAS)[0], other.step(GAS)[0])


def test_start_options(make_dream: DreamFactory, toy_world_model: WorldModel) -> None:
    bank = toy_world_model.starts
    env = make_dream()
    observation, info = env.reset(seed=0, options={"start": 6})
    np.testing.assert_array_equal(observation, torch.cat([bank.z[6], bank.h[6]]).numpy())
    assert info["progress"] == float(bank.progress[6])
    assert env.reset(seed=0)[1]["progress"] == 0.0
    found = {env.reset(options={"start": "anywhere"})[1]["progress"] for _ in range(50)}
    assert len(found) == 6  # the beginning, and five moments
    assert make_dream(start=6).reset()[1]["progress"] == float(bank.progress[6])
    assert env.reset(options={})[1]["progress"] == 0.0


def test_dream_from_here(make_dream: DreamFactory) -> None:
    generator = np.random.default_rng(0)
    raw = generator.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    env = make_dream()
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
        ({"start": 10}, ConfigError),
        ({"temperature": -1}, TemperatureError),
        ({"observation": np.zeros((96, 96, 3))}, ObservationError),
        ({"observation": np.zeros((32, 32, 3), np.uint8)}, ObservationError),
        ({"observation": np.zeros((64, 64, 3), np.uint8), "start": "beginning"}, ConfigError),
        ({"observation": np.zeros((64, 64, 3), np.float32)}, ObservationError),
        ({"state": np.zeros(12)}, ObservationError),
        ({"state": (np.zeros(12), np.zeros(13))}, ObservationError),
        ({"progress": "half"}, ConfigError),
        ({"progress": 2.0}, ConfigError),
    ],
)
def test_bad_reset_options_change_nothing(
    make_dream: DreamFactory, options: dict[str, Any], error: type[Exception]
) -> None:
    env, twin = make_dream(), make_dream()
    env.reset(seed=0)
    twin.reset(seed=0)
    for seed in (None, 5):
        with pytest.raises(error):
            env.reset(seed=seed, options=options)
    assert env.unwrapped.np_random_seed == 0
    np.testing.assert_array_equal(env.step(GAS)[0], twin.step(GAS)[0])
    np.testing.assert_array_equal(env.reset()[0], twin.reset()[0])


def test_saved_state_replays_exactly(make_dream: DreamFactory) -> None:
    env = unwrapped(make_dream(temperature=(0.5, 1.5)))
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
    assert first == future(env) == future(unwrapped(make_dream()))
