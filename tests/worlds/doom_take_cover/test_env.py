"""The real Take Cover: its spaces, its ends and its labels."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dreamgym.collect.collect import record_episode
from dreamgym.data.episodes import pack_episode
from dreamgym.errors import ActionError, ConfigError, InstallationError, ResetNeededError, WorkerError
from dreamgym.worlds.doom_take_cover.env import DoomTakeCoverEnv
from dreamgym.worlds.doom_take_cover.labels import LABEL_SIZE, GameLabels
from dreamgym.worlds.doom_take_cover.planner import Planner
from dreamgym.worlds.real_envs import RealEnvs
from dreamgym.worlds.registry import find


@pytest.fixture
def game() -> Iterator[DoomTakeCoverEnv]:
    pytest.importorskip("vizdoom")
    env = DoomTakeCoverEnv()
    yield env
    env.close()


def test_gymnasium_accepts_both_kinds_of_actions(game: DoomTakeCoverEnv) -> None:
    check_env(game, skip_render_check=True)
    continuous = DoomTakeCoverEnv(continuous=True)
    try:
        check_env(continuous, skip_render_check=True)
    finally:
        continuous.close()


def test_a_copy_begins_anew(game: DoomTakeCoverEnv) -> None:
    game.reset(seed=3)
    for other in (copy.deepcopy(game), pickle.loads(pickle.dumps(game))):
        with pytest.raises(ResetNeededError):
            other.step(0)
        assert other.action_space == game.action_space
        other.close()
    game.step(0)


def test_a_dead_engine_is_named_by_all_that_asks_it(game: DoomTakeCoverEnv) -> None:
    for ask in (lambda: game.health, lambda: game.position, game.fireballs):
        game.reset(seed=3)
        assert game._engine is not None
        game._engine._game.close()
        with pytest.raises(WorkerError, match="process of Doom died"):
            ask()


def test_the_same_seed_and_actions_give_the_same_frames(game: DoomTakeCoverEnv) -> None:
    def play() -> list[np.ndarray]:
        frames = [game.reset(seed=5)[0]]
        frames += [game.step(action)[0] for action in np.random.default_rng(0).integers(3, size=60)]
        return frames

    first, second = play(), play()
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    other, _ = game.reset(seed=6)
    for action in np.random.default_rng(0).integers(3, size=60):
        other, *_ = game.step(action)
    assert not np.array_equal(other, first[-1])


def test_death_terminates_pays_and_shows_the_last_real_frame(game: DoomTakeCoverEnv) -> None:
    game.reset(seed=1)
    terminated, steps = False, 0
    while not terminated:
        frame, reward, terminated, truncated, info = game.step(0)
        assert reward == 1.0 and not truncated and frame.any()
        steps += 1
    assert info["health"] == 0.0 and steps > 30
    assert np.isnan(game.position) and game.fireballs() == []
    with pytest.raises(ResetNeededError, match="reset"):
        game.step(0)


def test_the_time_limit_truncates_with_a_real_frame() -> None:
    pytest.importorskip("vizdoom")
    env = find("doom-take-cover").make_env(max_episode_steps=20)
    try:
        env.reset(seed=1)
        for _ in range(20):
            frame, _, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
        assert truncated and not terminated and frame.any()
    finally:
        env.close()


@pytest.mark.parametrize(("number", "moves"), [(-1.0, 1), (-0.34, 1), (-0.33, 0), (0.33, 0), (0.34, -1)])
def test_the_number_moves_beyond_a_third(number: float, moves: int) -> None:
    pytest.importorskip("vizdoom")
    env = DoomTakeCoverEnv(continuous=True)
    try:
        env.reset(seed=1)
        before = env.position
        for _ in range(10):
            env.step(np.array([number], np.float32))
        assert np.sign(round(env.position - before, 3)) == moves
    finally:
        env.close()


def test_bad_actions_and_arguments_are_named(game: DoomTakeCoverEnv) -> None:
    with pytest.raises(ResetNeededError):
        game.step(0)
    game.reset(seed=1)
    for action in (3, -1, 0.5, None):
        with pytest.raises(ActionError, match=r"expected an action in 0\.\.2"):
            game.step(action)
    for action in ("left", [[0.0]], [0.1, 0.2], [2.0], [float("nan")]):
        with pytest.raises(ActionError, match="expected one number within"):
            DoomTakeCoverEnv(continuous=True)._index(action)
    with pytest.raises(ConfigError, match="options"):
        game.reset(options={"start": "middle"})
    with pytest.raises(ConfigError, match="render_mode"):
        DoomTakeCoverEnv("human")


def test_without_vizdoom_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vizdoom.gymnasium_wrapper", None)
    with pytest.raises(InstallationError, match=r'pip install "dreamgym\[doom\]"'):
        DoomTakeCoverEnv().reset(seed=0)


def test_labels_say_health_place_and_fireballs(game: DoomTakeCoverEnv) -> None:
    game.reset(seed=1)
    recorder = GameLabels(game)
    terminated, steps = False, 0
    while not terminated:
        _, _, terminated, _, _ = game.step(2)
        recorder.step()
        steps += 1
    found = recorder.labels()["game"]
    assert found.shape == (steps + 1, LABEL_SIZE)
    assert found[0, 0] == 1.0 and found[-1, 0] <= 0.0
    assert found[60, 1] > 0.9  # at the left wall
    balls = found[:, 3]
    seen = np.isfinite(balls)
    assert seen.any() and (balls[seen] <= 1.0).all()
    assert np.isnan(found[0, 2:]).all()  # none is in the air at the start


@pytest.mark.slow
def test_the_planner_outlives_the_others() -> None:
    pytest.importorskip("vizdoom")
    env = find("doom-take-cover").make_env()
    try:
        lengths = []
        for seed in (2_000_000, 2_000_001, 2_000_002):
            frame, _ = env.reset(seed=seed)
            planner = Planner()
            planner.reset(env.unwrapped, np.random.default_rng(0))
            over, steps = False, 0
            while not over:
                frame, _, terminated, truncated, _ = env.step(planner.act(frame))
                over, steps = terminated or truncated, steps + 1
            lengths.append(steps)
        assert min(lengths) > 1500
    finally:
        env.close()


def test_the_real_environment_is_made_by_the_world() -> None:
    pytest.importorskip("vizdoom")
    env = find("doom-take-cover").make_env(continuous=False)
    assert isinstance(env.action_space, gym.spaces.Discrete)
    env.close()


def test_an_episode_is_recorded_through_the_world() -> None:
    pytest.importorskip("vizdoom")
    world = find("doom-take-cover")
    episode = record_episode(world.players["held"](), 1_000_001, 300, player_name="held", world=world)
    length = len(episode)
    assert episode.world == "DoomTakeCover" and episode.player == "held" and not episode.complete
    assert episode.frames.shape == (length + 1, 64, 64, 3) and set(np.unique(episode.actions)) <= {-1.0, 0.0, 1.0}
    assert (episode.rewards == 1.0).all() and episode.terminated != episode.truncated
    assert episode.labels["game"].shape == (length + 1, LABEL_SIZE)
    assert episode.frames[-1].any()


def test_an_episode_in_a_used_game_is_that_in_a_new_one() -> None:
    pytest.importorskip("vizdoom")
    world = find("doom-take-cover")
    envs = RealEnvs(world)
    try:
        used = [
            pack_episode(record_episode(world.players["held"](), seed, length, envs=envs))
            for seed, length in ((1_000_004, 600), (1_000_002, 40), (1_000_003, 400))  # a death, a limit, then the last
        ]
    finally:
        envs.close()
    new = pack_episode(record_episode(world.players["held"](), 1_000_003, 400, world=world))
    assert used[-1] == new and used[0] != new
