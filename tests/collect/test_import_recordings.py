"""Recordings from elsewhere become the same episodes as dreamgym's own recording would be."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from dreamgym import cli
from dreamgym.collect.collect import record_episode
from dreamgym.collect.import_recordings import import_recordings
from dreamgym.config import ImportConfig
from dreamgym.data.episodes import Episode, episode_paths, read_episode
from dreamgym.errors import (
    ActionError,
    ConfigError,
    DreamGymError,
    EpisodeFileError,
    InstallationError,
    OutputFolderError,
    RewardError,
)
from dreamgym.worlds.base import Preprocess
from dreamgym.worlds.car_racing.world import CAR_RACING
from dreamgym.worlds.resize import Resize
from tests.support import toy_world
from tests.support.toy_world import TOY

NAME = "tests.support.toy_world:TOY"
LIMIT = TOY.max_episode_steps


class Told:
    """A player that does what it is told."""

    def __init__(self, moves: list[int]) -> None:
        self._moves = iter(moves)

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        pass

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array([next(self._moves) - 1], np.float32)


def moves_of(seed: int) -> list[int]:
    """Indices of discrete actions; those of seed 1 end at the left, those of others at the time limit."""
    rng = np.random.default_rng(seed)
    return [0] * LIMIT if seed == 1 else [int(move) for move in rng.integers(1, 3, LIMIT)]


def own(seed: int) -> Episode:
    return record_episode(Told(moves_of(seed)), seed, LIMIT, world=TOY)


def as_obs(seed: int, *, paid: bool = True) -> dict[str, NDArray[Any]]:
    """As the reference code of World Models records: a frame, then the action that is taken in it."""
    env = TOY.make_env(max_episode_steps=LIMIT)
    frame, _ = env.reset(seed=seed)
    rows: dict[str, list[Any]] = {"obs": [], "action": [], "reward": [], "done": []}
    for move in moves_of(seed):
        rows["obs"].append(frame)
        rows["action"].append(move)
        frame, reward, terminated, truncated, _ = env.step(move)
        rows["reward"].append(reward)
        rows["done"].append(terminated or truncated)
        if terminated or truncated:
            break
    return {name: np.array(row) for name, row in rows.items() if paid or name in ("obs", "action")}


def as_observations(seed: int) -> dict[str, NDArray[Any]]:
    """As ctallec's world-models records: the frame that an action led to; all actions that were drawn."""
    env = TOY.make_env(max_episode_steps=LIMIT)
    env.reset(seed=seed)
    rows: dict[str, list[Any]] = {"observations": [], "rewards": [], "terminals": []}
    for move in moves_of(seed):
        frame, reward, terminated, truncated, _ = env.step(move)
        rows["observations"].append(frame)
        rows["rewards"].append(reward)
        rows["terminals"].append(terminated or truncated)
        if terminated or truncated:
            break
    return {**{name: np.array(row) for name, row in rows.items()}, "actions": np.array(moves_of(seed))}


def imported(folder: Path, layout: str, recordings: list[dict[str, NDArray[Any]]], **settings: Any) -> list[Episode]:
    (folder / "recordings" / "inner").mkdir(parents=True)
    for index, arrays in enumerate(recordings):
        np.savez_compressed(folder / "recordings" / "inner" / f"rollout_{index}.npz", **arrays)  # type: ignore[arg-type]
    config = ImportConfig(
        recordings=folder / "recordings",
        out=folder / "episodes",
        format=layout,  # type: ignore[arg-type]
        **{"world": NAME, **settings},
    )
    return [read_episode(path) for path in episode_paths(import_recordings(config))]


def assert_part(episode: Episode, whole: Episode, part: slice) -> None:
    """The episode is the given steps of the whole one."""
    steps = range(len(whole))[part]
    assert np.array_equal(episode.frames, whole.frames[steps[0] : steps[-1] + 2])
    assert np.array_equal(episode.actions, whole.actions[part])
    assert np.array_equal(episode.rewards, whole.rewards[part])


def test_obs_stands_beside_the_action_that_is_taken_in_it(tmp_path: Path) -> None:
    failed, other = imported(tmp_path, "obs", [as_obs(1), as_obs(2)])
    assert_part(other, own(2), slice(0, LIMIT - 1))  # the last action's frame was not recorded
    assert other.truncated and not other.terminated  # done came from the time limit
    whole = own(1)
    assert failed.terminated and len(failed) == len(whole)
    assert np.array_equal(failed.frames[:-1], whole.frames[:-1])
    assert np.array_equal(failed.frames[-1], failed.frames[-2])  # for the frame of the end, which was not recorded
    assert np.array_equal(failed.rewards, whole.rewards)


def test_one_more_frame_than_actions_is_a_whole_episode(tmp_path: Path) -> None:
    arrays, whole = as_obs(1), own(1)
    env = TOY.make_env()
    env.reset(seed=1)
    for move in moves_of(1)[: len(whole)]:
        last, *_ = env.step(move)
    arrays["obs"] = np.concatenate([arrays["obs"], last[None]])
    (episode,) = imported(tmp_path, "obs", [arrays])
    assert_part(episode, whole, slice(0, None))
    assert episode.terminated


def test_observations_stand_beside_the_action_that_led_to_them(tmp_path: Path) -> None:
    failed, other = imported(tmp_path, "observations", [as_observations(1), as_observations(2)])
    assert_part(failed, own(1), slice(1, None))  # the frame before the first action was not recorded
    assert_part(other, own(2), slice(1, None))
    assert failed.terminated and other.truncated and not other.terminated
    assert other.world == "Corridor" and other.player == "imported"


def test_what_is_not_recorded_must_be_said(tmp_path: Path) -> None:
    bare = [as_obs(1, paid=False), as_obs(2, paid=False)]
    with pytest.raises(ConfigError, match="--terminations"):
        imported(tmp_path / "a", "obs", bare)
    with pytest.raises(ConfigError, match="--missing-reward"):
        imported(tmp_path / "b", "obs", bare, terminations="short")
    first, second = imported(tmp_path / "c", "obs", bare, missing_reward=0.5, terminations="short")
    assert first.terminated
    assert (second.rewards == 0.5).all() and len(second) == LIMIT - 1


def test_a_constant_reward_needs_no_recording(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)
    arrays = {"obs": frames, "action": np.linspace(-1.0, 1.0, 40).astype(np.float16)}
    (episode,) = imported(tmp_path, "obs", [arrays], world="DoomTakeCover", terminations="short", invert=True)
    assert (episode.rewards == 1.0).all()
    assert set(episode.actions.ravel()) == {-1.0, 0.0, 1.0}  # as executed
    assert episode.terminated and np.array_equal(episode.frames[:-1], 255 - frames)


def test_frames_of_any_size_become_pictures_for_v(tmp_path: Path) -> None:
    arrays = as_obs(2)
    arrays["obs"] = np.kron(arrays["obs"], np.ones((1, 16, 8, 1), np.uint8))  # 128 x 72
    (episode,) = imported(tmp_path, "obs", [arrays])
    assert episode.frames.shape[1:] == (64, 64, 3)
    column = np.array([frame[0, :, 0].argmax() for frame in episode.frames]) * 9 // 64
    assert np.array_equal(column, arrays["obs"][: len(episode) + 1, 0, :, 0].argmax(axis=1) // 8)


def test_actions_of_another_range_are_scaled_and_executed(tmp_path: Path) -> None:
    arrays = as_obs(2)
    arrays["action"] = np.linspace(-2.0, 2.0, len(arrays["action"]))
    with pytest.raises(ActionError, match="--action-low"):
        imported(tmp_path / "a", "obs", [arrays])
    (episode,) = imported(tmp_path / "b", "obs", [arrays], action_low=-2.0, action_high=2.0)
    assert episode.actions[0, 0] == -1.0 and episode.actions[len(episode) // 2, 0] == 0.0


def test_the_environments_own_actions_are_those_of_a_described_world(tmp_path: Path) -> None:
    arrays = {"obs": np.zeros((40, 8, 8, 3), np.uint8), "reward": np.zeros(40), "done": np.zeros(40, bool)}
    arrays["action"] = np.linspace((-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), 40)  # as CarRacing takes them
    world = "tests.support.racing_worlds:RACING"
    (episode,) = imported(tmp_path / "a", "obs", [arrays], world=world)
    assert episode.actions[0].tolist() == [-1.0, -1.0, -1.0]  # no gas and no brake
    arrays["action"][5] = (0.0, 1.5, 0.0)
    with pytest.raises(ActionError, match=r"rollout_0.*expected actions of Box.*--action-low"):
        imported(tmp_path / "b", "obs", [arrays], world=world)
    (scaled,) = imported(tmp_path / "c", "obs", [arrays], world=world, action_low=-2.0, action_high=2.0)
    assert scaled.actions[5].tolist() == [0.0, 0.75, 0.0]


def test_grey_worlds_have_grey_frames_of_any_size(tmp_path: Path) -> None:
    red = np.zeros((40, 64, 64, 3), np.uint8)
    red[..., 0] = 200
    others = {"reward": np.zeros(40), "done": np.zeros(40, bool), "action": np.zeros((40, 3))}
    world = "tests.support.racing_worlds:GREY"
    for name, frames in {"as V's": red, "smaller": red[:, :32, :32]}.items():
        (episode,) = imported(tmp_path / name, "obs", [{"obs": frames, **others}], world=world)
        assert np.unique(episode.frames).tolist() == [60]


def test_one_channel_may_be_left_out(tmp_path: Path) -> None:
    cropped = replace(TOY, preprocess=Preprocess((20, 20, 1), Resize((20, 20, 1), (0, 10, 0, 20))))
    frames = np.zeros((40, 20, 20), np.uint8)
    frames[:, :10] = 200
    module = import_module("dreamgym.collect.import_recordings")
    pictures = module._pictures(module._Steps("here", 40, frames, frames, None, None), cropped, False)
    assert np.unique(pictures).tolist() == [200]


def test_counted_units_are_told_by_the_smallest_gain(tmp_path: Path) -> None:
    rewards = np.full(30, -0.1)
    rewards[[3, 9]] += 1000 / 250
    rewards[20] += 2 * 1000 / 250
    arrays = {
        "obs": np.zeros((31, 96, 96, 3), np.uint8),
        "action": np.zeros((30, 3)),
        "reward": rewards,
        "done": np.zeros(30, bool),
    }
    (episode,) = imported(tmp_path, "obs", [arrays], world="CarRacing")
    assert episode.total_units == pytest.approx(250)
    assert not episode.complete


def changed(name: str, value: Any) -> dict[str, NDArray[Any]]:
    return {**as_obs(2), name: value}


BAD: dict[str, tuple[Any, type[DreamGymError], str]] = {
    "other names": (as_observations(2), EpisodeFileError, "--format"),
    "float frames": (changed("obs", as_obs(2)["obs"] / 255), EpisodeFileError, "uint8"),
    "channels first": (changed("obs", as_obs(2)["obs"].transpose(0, 3, 1, 2)), EpisodeFileError, "come last"),
    "no such action": (changed("action", as_obs(2)["action"] + 2), ActionError, "0 to 2"),
    "rewards": (changed("reward", np.full(LIMIT, np.nan)), RewardError, "finite"),
    "lengths": (changed("action", np.zeros(5, int)), EpisodeFileError, r"T \+ 1 frames"),
    "one frame": (changed("obs", np.uint8(0)), EpisodeFileError, "numbers of each step as obs"),
    "one action": (changed("action", np.float32(0)), EpisodeFileError, "numbers of each step as action"),
    "words": (changed("action", np.array(["left"] * LIMIT)), EpisodeFileError, "as action, got <U4"),
    "complex actions": (changed("action", np.zeros(LIMIT, complex)), EpisodeFileError, "as action, got complex128"),
    "one reward": (changed("reward", np.float32(1)), EpisodeFileError, "as reward"),
    "two rewards a step": (
        changed("reward", np.ones((LIMIT, 2))),
        EpisodeFileError,
        "one number of each step as reward",
    ),
    "one end": (changed("done", np.array(True)), EpisodeFileError, "as done"),
    "two episodes": (
        changed("done", np.arange(LIMIT) % 2 == 1),
        EpisodeFileError,
        f"the end of one in step 2 of {LIMIT}; write each episode to a file of its own",
    ),
    "two ends a step": (changed("done", np.zeros((LIMIT, 2), bool)), EpisodeFileError, "as done"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_recording_that_does_not_fit_is_refused_by_name(case: str, tmp_path: Path) -> None:
    arrays, error, message = BAD[case]
    with pytest.raises(error, match=message) as raised:
        imported(tmp_path, "obs", [arrays])
    assert "rollout_0.npz" in str(raised.value)
    assert not episode_paths(tmp_path / "episodes")


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "terminals"])
def test_one_number_for_all_steps_is_refused_by_name(name: str, tmp_path: Path) -> None:
    arrays = {**as_observations(2), name: np.uint8(0)}
    with pytest.raises(EpisodeFileError, match=f"numbers of each step as {name}"):
        imported(tmp_path, "observations", [arrays])


def test_episodes_among_the_recordings_are_no_recordings(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "one.npz", **as_obs(2))  # type: ignore[arg-type]
    config = ImportConfig(recordings=tmp_path, out=tmp_path / "own", format="obs", world=NAME)
    for _ in range(2):
        assert len(episode_paths(import_recordings(config))) == 1


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    imported(tmp_path, "obs", [as_obs(1), as_obs(2)])
    config = ImportConfig(recordings=tmp_path / "recordings", out=tmp_path / "episodes", format="obs", world=NAME)
    paths = episode_paths(config.out)
    before = [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    import_recordings(config)  # goes on where it stopped
    assert paths[0].stat().st_mtime_ns == before[0] and paths[1].exists()
    np.savez_compressed(tmp_path / "recordings" / "more.npz", **as_obs(3))  # type: ignore[arg-type]
    with pytest.raises(OutputFolderError):
        import_recordings(config)
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "episode-000000.npz").write_text("mine")
    with pytest.raises(OutputFolderError):
        import_recordings(ImportConfig(recordings=tmp_path / "recordings", out=foreign, format="obs", world=NAME))
    assert (foreign / "episode-000000.npz").read_text() == "mine"


def test_frames_of_another_version_are_not_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(tmp_path, "obs", [as_obs(1)])
    preprocess = replace(TOY.preprocess, version=TOY.preprocess.version + 1)
    monkeypatch.setattr(toy_world, "TOY", replace(TOY, preprocess=preprocess))
    config = ImportConfig(recordings=tmp_path / "recordings", out=tmp_path / "episodes", format="obs", world=NAME)
    with pytest.raises(OutputFolderError, match="preprocess_version"):
        import_recordings(config)


def test_an_end_that_is_said_again_and_again_is_one(tmp_path: Path) -> None:
    recording = as_obs(1)
    (one,) = imported(tmp_path / "one", "obs", [recording])
    padded = {**recording, "done": recording["done"].copy()}
    padded["done"][-3:] = True
    (other,) = imported(tmp_path / "other", "obs", [padded])
    np.testing.assert_array_equal(one.actions, other.actions)


def test_an_empty_folder_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found none"):
        imported(tmp_path, "obs", [])
    with pytest.raises(ConfigError, match="there is none"):
        import_recordings(ImportConfig(recordings=tmp_path / "x", out=tmp_path / "y", format="obs", world=NAME))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "set_process_policy", lambda: None)
    np.savez_compressed(tmp_path / "one.npz", **as_obs(2))  # type: ignore[arg-type]
    out = tmp_path / "episodes"
    assert cli.main(["import", str(tmp_path), "--format", "obs", "--world", NAME, "--out", str(out)]) == 0
    assert "1 episodes" in capsys.readouterr().out


def minari_episode(seed: int) -> SimpleNamespace:
    whole, arrays = own(seed), as_obs(seed)
    last = arrays["obs"][-1:]
    return SimpleNamespace(
        id=seed,
        observations=np.concatenate([arrays["obs"], last]),
        actions=arrays["action"],
        rewards=arrays["reward"],
        terminations=np.arange(len(whole)) == (len(whole) - 1 if whole.terminated else -1),
        truncations=np.zeros(len(whole), bool),
    )


def test_minari_episodes_have_a_frame_more_than_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = [minari_episode(1), minari_episode(2)]
    recorded = SimpleNamespace(iterate_episodes=lambda: iter(episodes))
    monkeypatch.setitem(sys.modules, "minari", SimpleNamespace(MinariDataset=lambda folder: recorded))  # type: ignore[arg-type]
    failed, other = imported(tmp_path, "minari", [])
    assert (failed.terminated, other.terminated) == (True, False)
    assert np.array_equal(failed.actions, own(1).actions)
    assert np.array_equal(other.frames[:-1], own(2).frames[:-1])
    assert np.array_equal(other.rewards, own(2).rewards)


@pytest.mark.filterwarnings("ignore::UserWarning:minari")
def test_a_real_minari_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari")
    pytest.importorskip("h5py")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    steps = vars(minari_episode(2))
    minari.create_dataset_from_buffers(
        "corridor/test-v0",
        [minari.data_collector.EpisodeBuffer(**{name: list(value) for name, value in steps.items() if name != "id"})],
        observation_space=gym.spaces.Box(0, 255, (8, 9, 3), np.uint8),
        action_space=gym.spaces.Discrete(3),
        algorithm_name="told",
        author="nobody",
        author_email="nobody@example.org",
        code_permalink="https://example.org",
        description="A test.",
        data_format="hdf5",
        jpeg_encoding=False,
    )
    folder = tmp_path / "minari" / "corridor" / "test-v0"
    config = ImportConfig(recordings=folder, out=tmp_path / "episodes", format="minari", world=NAME)
    (path,) = episode_paths(import_recordings(config))
    assert np.array_equal(read_episode(path).frames[:-1], own(2).frames[:-1])
    assert np.array_equal(read_episode(path).actions, own(2).actions)


def test_without_minari_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(InstallationError, match="pip install"):
        imported(tmp_path, "minari", [])


def test_the_toy_world_is_as_these_tests_take_it() -> None:
    assert isinstance(TOY.make_env().action_space, gym.spaces.Discrete)
    assert own(1).terminated and own(2).truncated


def test_a_lap_is_complete_though_its_first_frame_is_missing(tmp_path: Path) -> None:
    rewards = np.full(30, -0.1)
    rewards[[0, 7, 19, 29]] += 1000 / 4
    arrays = {
        "observations": np.zeros((30, 96, 96, 3), np.uint8),
        "actions": np.zeros((30, 3)),
        "rewards": rewards,
        "terminals": np.arange(30) == 29,
    }
    (episode,) = imported(tmp_path, "observations", [arrays], world="CarRacing")
    assert len(episode.rewards) == 29 and episode.terminated
    assert episode.complete and not episode.failed


def test_units_are_the_worlds_where_rewards_were_not_recorded(tmp_path: Path) -> None:
    arrays = {"obs": np.zeros((31, 96, 96, 3), np.uint8), "action": np.zeros((30, 3)), "done": np.zeros(30, bool)}
    (episode,) = imported(tmp_path, "obs", [arrays], world="CarRacing", missing_reward=0.0)
    assert episode.total_units == CAR_RACING.rewards.unit and not episode.complete
