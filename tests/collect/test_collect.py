from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward
from numpy.typing import NDArray

from dreamgym.collect.collect import collect, plan, record_episode
from dreamgym.config import CollectConfig
from dreamgym.data.episodes import episode_paths, read_episode
from dreamgym.data.seeds import COLLECTION_SEEDS
from dreamgym.errors import ActionError, ConfigError, EpisodeFileError, OutputFolderError, RewardError
from dreamgym.worlds import registry
from dreamgym.worlds.base import Auxiliary, Labels, Preprocess
from dreamgym.worlds.registry import find
from tests.support.processes import running, wait_until
from tests.support.toy_world import TOY, Wanderer

PLAYERS = find().players


def config_for(folder: Path, **changes: object) -> CollectConfig:
    return replace(CollectConfig(out=folder, frames=60, workers=1, lengths=(15, 20)), **changes)  # type: ignore[arg-type]


def test_a_plan_is_a_function_of_the_configuration_and_keeps_to_the_frames():
    config = CollectConfig(out=Path("unused"), frames=20_000)
    episodes = list(plan(config))
    assert episodes == list(plan(config))
    assert 20_000 <= sum(episode.length for episode in episodes) < 20_000 + 50
    assert {episode.player for episode in episodes} == {name for name, share in config.mix.items() if share > 0}
    assert all(episode.seed in COLLECTION_SEEDS for episode in episodes)
    assert episodes != list(plan(replace(config, seed=1)))
    share = sum(e.length for e in episodes if e.player.endswith("follower")) / 20_000
    assert 0.7 < share < 0.99


def test_an_interrupted_collection_goes_on_to_the_same_shards(tmp_path: Path):
    whole = collect(config_for(tmp_path / "whole"))
    collect(config_for(tmp_path / "cut"))
    shards = episode_paths(tmp_path / "cut")
    kept = shards[0].stat().st_mtime_ns
    for shard in shards[1:]:
        shard.unlink()
    collect(config_for(tmp_path / "cut"))
    assert shards[0].stat().st_mtime_ns == kept
    assert [path.name for path in episode_paths(whole)] == [path.name for path in shards]
    for one, other in zip(episode_paths(whole), shards, strict=True):
        assert np.array_equal(read_episode(one).frames, read_episode(other).frames)


def test_workers_are_replaced_before_simulators_leak_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["dreamgym.collect.collect"], "_EPISODES_OF_A_WORKER", 1)
    config = config_for(tmp_path)
    assert [path.name for path in episode_paths(collect(config))] == [each.file_name for each in plan(config)]


def test_damaged_shards_are_recorded_again(tmp_path: Path):
    shards = episode_paths(collect(config_for(tmp_path)))
    before = [path.read_bytes() for path in shards]
    shards[0].write_bytes(before[0][:500])
    shards[1].write_bytes(b"")
    with pytest.warns(UserWarning, match=r"recorded again, .*episode-00000[01]\.npz"):
        collect(config_for(tmp_path))
    assert [path.read_bytes() for path in shards] == before


def test_a_recording_of_something_else_under_a_shards_name_is_left_alone(tmp_path: Path):
    first, second, *_ = episode_paths(collect(config_for(tmp_path)))
    second.write_bytes(first.read_bytes())
    with pytest.raises(OutputFolderError, match=r"episode-000001\.npz: expected .* got another recording"):
        collect(config_for(tmp_path))
    assert second.read_bytes() == first.read_bytes()


def test_frames_of_another_version_are_not_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    collect(config_for(tmp_path))
    episode_paths(tmp_path)[1].unlink()
    world = find()
    changed = replace(world, preprocess=replace(world.preprocess, version=99))
    monkeypatch.setitem(registry._entries, world.name, changed)
    with pytest.raises(OutputFolderError, match="preprocess_version: '1' there, '99' now"):
        collect(config_for(tmp_path))


def test_another_configuration_or_a_folder_of_other_things_is_left_alone(tmp_path: Path):
    collect(config_for(tmp_path / "run"))
    before = [(path, path.read_bytes()) for path in episode_paths(tmp_path / "run")]
    with pytest.raises(OutputFolderError, match="frames: 60 there, 90 now"):
        collect(config_for(tmp_path / "run", frames=90))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputFolderError, match="something else"):
        collect(config_for(tmp_path / "other"))
    assert (tmp_path / "other" / "thesis.txt").read_text() == "precious"
    assert before == [(path, path.read_bytes()) for path in episode_paths(tmp_path / "run")]


def test_bad_settings_are_refused_by_name(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"mix: expected players of CarRacing, .*got \['nobody'\]"):
        config_for(tmp_path / "run", mix={"nobody": 1.0})
    with pytest.raises(ConfigError, match="unknown players"):
        collect(config_for(tmp_path / "run", mix={"controller": 1.0}))
    assert not (tmp_path / "run").exists()
    for change in ({"frames": 0}, {"workers": 0}, {"mix": {}}, {"seed": -1}, {"lengths": ()}, {"patience": 0}):
        with pytest.raises(ConfigError, match="expected"):
            config_for(tmp_path, **change)


@pytest.mark.slow
def test_killing_the_parent_leaves_whole_shards_and_no_workers(tmp_path: Path):
    script = (
        "from pathlib import Path\nfrom dreamgym.config import CollectConfig\n"
        "from dreamgym.collect.command import run\n"
        f"if __name__ == '__main__':\n    run(CollectConfig(out=Path({str(tmp_path / 'run')!r}), frames=100_000, "
        "workers=2, lengths=(20,)))\n"
    )
    (tmp_path / "script.py").write_text(script)
    run = tmp_path / "run"
    with running([sys.executable, tmp_path / "script.py"]) as process:
        enough = wait_until(lambda: run.is_dir() and len(episode_paths(run)) >= 4)
        process.kill()
        process.wait()
        workers_ended = wait_until(lambda: not group_exists(process.pid))
    shards = episode_paths(run)
    assert enough and workers_ended
    planned = {each.file_name: each for each in plan(CollectConfig(out=tmp_path, frames=100_000, lengths=(20,)))}
    for path in shards:
        episode, wanted = read_episode(path), planned[path.name]
        assert (episode.seed, episode.player, len(episode)) == (wanted.seed, wanted.player, 20)
    again = record_episode(PLAYERS[wanted.player](), wanted.seed, 20)
    assert np.array_equal(episode.frames, again.frames) and np.array_equal(episode.actions, again.actions)


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_any_object_with_reset_and_act_is_a_player():
    still = SimpleNamespace(reset=lambda env, rng: None, act=lambda frame: np.zeros(3, np.float32))
    episode = record_episode(still, 1_000_004, 10)
    assert len(episode) == 10 and not episode.actions.any()


def test_an_episode_without_progress_ends_when_patience_does():
    still = SimpleNamespace(reset=lambda env, rng: None, act=lambda frame: np.zeros(3, np.float32))
    episode = record_episode(still, 1_000_004, 100, patience=5)
    assert episode.truncated and not episode.terminated
    assert len(episode) == np.flatnonzero(episode.rewards > 0)[-1] + 1 + 5


def test_what_is_recorded_stays_when_a_player_fills_its_array_anew():
    action = np.zeros(3, np.float32)

    def act(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        action[1] += 0.125
        return action

    episode = record_episode(SimpleNamespace(reset=lambda env, rng: None, act=act), 1_000_004, 4)
    assert episode.actions[:, 1].tolist() == [0.125, 0.25, 0.375, 0.5]


def test_what_is_recorded_stays_when_an_environment_draws_into_one_array():
    shown = np.zeros((64, 64, 3), np.uint8)

    class Drawing(gym.Wrapper):
        def reset(self, **kwargs):
            return shown, self.env.reset(**kwargs)[1]

        def step(self, action):
            shown[:] += 1
            return shown, *self.env.step(action)[1:]

    seen = Preprocess((64, 64, 3), lambda frames: frames)
    world = replace(find(), preprocess=seen, make_env=lambda *given, **named: Drawing(find().make_env(*given, **named)))
    still = SimpleNamespace(reset=lambda env, rng: None, act=lambda frame: np.zeros(3, np.float32))
    frames = record_episode(still, 1_000_004, 3, world=world).frames
    assert frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


def test_a_bound_that_float32_rounds_outward_is_within_the_range():
    low, high = (-1.1, 0.0, 0.0), (1.1, 1.1, 1.2)
    world = replace(find(), actions=replace(find().actions, low=low, high=high))
    full = np.clip([9.0, 9.0, 0.0], low, high).astype(np.float32)
    player = SimpleNamespace(reset=lambda env, rng: None, act=lambda frame: full)
    assert record_episode(player, 1_000_004, 2, world=world).actions.tolist() == [full.tolist()] * 2


@pytest.mark.parametrize("action", [[0.0, 5.0, 0.0], [0.0, float("nan"), 0.0], [0.0, 1.0], ["left"], [[0.0], []]])
def test_actions_that_training_would_refuse_are_not_recorded(action: list[float]):
    player = SimpleNamespace(reset=lambda env, rng: None, act=lambda frame: action)
    for name, told in (("mine", "mine"), ("", "SimpleNamespace")):
        with pytest.raises(ActionError, match=f"player {told}: expected actions of 3 numbers within"):
            record_episode(player, 1_000_004, 3, player_name=name)


class _NoLabels:
    """Records nothing of what it was made for."""

    def __init__(self, env: Any) -> None:
        self._given: dict[str, Any] = {}

    def step(self) -> None:
        pass

    def labels(self) -> dict[str, Any]:
        return self._given


class _ShortLabels(_NoLabels):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._given = {"depth": np.zeros((2, 1), np.float32)}


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [(_NoLabels, ConfigError, r"to give \['depth'\].*got \[\]"), (_ShortLabels, EpisodeFileError, "the recorder of")],
)
def test_labels_that_m_could_not_learn_are_refused_with_the_first_episode(
    record: Any, error: type[Exception], message: str
) -> None:
    labels = Labels(record=record, auxiliaries=(Auxiliary("depth", "value", size=1, weight=1.0),))
    with pytest.raises(error, match=message):
        record_episode(Wanderer(), 0, 10, world=replace(TOY, labels=labels))


@pytest.mark.parametrize("reward", [float("nan"), float("-inf"), 1e39])
def test_a_reward_that_no_recording_can_hold_is_refused_in_its_step(reward: float):
    def make_env(**options: Any) -> Any:
        return TransformReward(TOY.make_env(**options), lambda paid: reward)

    with pytest.raises(RewardError, match=r"Corridor, seed 5, step 1: expected a finite reward .* got"):
        record_episode(Wanderer(), 5, 10, world=replace(TOY, make_env=make_env))
