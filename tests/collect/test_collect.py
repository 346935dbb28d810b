from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dreamgym.collect.collect import collect, plan, record_episode
from dreamgym.config import CollectConfig
from dreamgym.config.recordings import CONTROLLERS
from dreamgym.data.episodes import Episode, episode_paths, read_episode
from dreamgym.data.seeds import COLLECTION_SEEDS
from dreamgym.errors import ConfigError, OutputFolderError
from dreamgym.worlds.registry import find, names
from tests.support.processes import running, wait_until

PLAYERS = find().players


def tiles(episode: Episode) -> np.ndarray:
    """New tiles touched in each step."""
    return find().rewards.units(episode.rewards, episode.total_units)


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


@pytest.mark.parametrize("name", sorted(PLAYERS))
def test_a_player_repeats_to_the_bit_and_stays_in_the_action_space(name: str):
    first, second = (record_episode(PLAYERS[name](), 1_000_001, 40, player_name=name) for _ in range(2))
    assert np.array_equal(first.actions, second.actions)
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.rewards, second.rewards)
    low, high = np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32)
    assert ((first.actions >= low) & (first.actions <= high)).all()
    assert len(first) == 40 and first.truncated and not first.terminated
    other = record_episode(PLAYERS[name](), 1_000_002, 40)
    assert np.array_equal(first.actions, other.actions) == (name == "straight_on")


@pytest.mark.usefixtures("undrawn")
def test_the_follower_drives_and_a_wild_one_is_wilder():
    steady, wild = (record_episode(PLAYERS[name](), 1_000_003, 150) for name in ("follower", "wild_follower"))
    assert tiles(steady).sum() > 20
    assert np.abs(np.diff(wild.actions, axis=0)).mean() > np.abs(np.diff(steady.actions, axis=0)).mean()


def test_every_player_has_a_share_that_the_command_line_can_set(tmp_path: Path):
    for world in names():
        shares = CollectConfig.of(world, out=tmp_path).mix
        assert set(shares) == {*find(world).players, *CONTROLLERS}
        assert sum(shares.values()) == pytest.approx(1.0)
    assert CollectConfig(out=tmp_path) == CollectConfig.of(out=tmp_path)


def test_settings_may_be_those_of_one_of_the_worlds_recordings(tmp_path: Path):
    aimless = CollectConfig.of(recording="aimless", out=tmp_path)
    assert (aimless.frames, aimless.lengths) == (120_000, (150, 150, 300, 500, 1000))
    assert {name for name, share in aimless.mix.items() if share} == {"aimless_follower", "leaving_follower"}
    own = CollectConfig.of("doom-take-cover", "own", out=tmp_path, frames=7)
    assert own.frames == 7 and own.mix["controller"] == 0.5
    with pytest.raises(ConfigError, match=r"recording: expected one of \['scripted', 'aimless', 'own'\], got 'cat'"):
        CollectConfig.of(recording="cat", out=tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_the_leaving_follower_leaves():
    for seed in (1_000_008, 1_000_009):  # some stop on the grass, or have too little time
        episode = record_episode(PLAYERS["leaving_follower"](), seed, 400)
        assert episode.terminated and episode.failed
        assert episode.rewards[-1] == -100


@pytest.mark.usefixtures("undrawn")
def test_the_straying_agent_holds_a_few_actions():
    held = [record_episode(PLAYERS["straying_agent"](), seed, 300).actions for seed in range(1_000_060, 1_000_072)]
    counts = [len(np.unique(actions, axis=0)) for actions in held]
    assert min(counts) == 1 and max(counts) > 2 and max(counts) <= 4
    changes = [int((np.abs(np.diff(actions, axis=0)) > 0).any(axis=1).sum()) for actions in held]
    assert all(change < 4 for change in changes)
    assert len({actions[0].tobytes() for actions in held}) > 6


@pytest.mark.usefixtures("undrawn")
def test_the_parking_follower_comes_to_a_stand_and_stays():
    for seed in range(1_000_070, 1_000_074):
        episode = record_episode(PLAYERS["parking_follower"](), seed, 500)
        speed = np.abs(episode.labels["motion"][:, 0]) * 50  # units/s
        assert speed.max() > 5
        assert speed[-30:].max() < 1
        assert not episode.actions[-30:, :2].any()


@pytest.mark.usefixtures("undrawn")
def test_the_circling_follower_turns_on_and_earns_nothing_more():
    for seed in range(1_000_080, 1_000_084):
        episode = record_episode(PLAYERS["circling_follower"](), seed, 700)
        heading = np.cumsum(episode.labels["motion"][-200:, 2]) / 50  # rad
        assert abs(heading[-1]) > 2 * np.pi
        assert (np.diff(heading) * np.sign(heading[-1]) > 0).all()
        assert len(np.unique(episode.actions[-300:], axis=0)) == 1
        assert tiles(episode)[-200:].sum() == 0


@pytest.mark.usefixtures("undrawn")
def test_the_turning_follower_drives_back_over_what_is_paid():
    episode = record_episode(PLAYERS["turning_follower"](), 1_000_051, 700)
    windows = [slice(start, start + 50) for start in range(0, 700, 50)]
    made = np.array([tiles(episode)[window].sum() for window in windows])
    speed = np.array([episode.labels["motion"][1:, 0][window].mean() for window in windows])
    assert (made > 10).sum() >= 3
    assert ((made == 0) & (speed > 0.5)).sum() >= 2  # 25 units/s


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
