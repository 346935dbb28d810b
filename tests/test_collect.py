from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dreamgym.config import CollectConfig
from dreamgym.episodes import episode_paths, read_episode
from dreamgym.errors import ConfigError, OutputFolderError, SeedError
from dreamgym.real import collect as collect_module
from dreamgym.real.collect import DRIVERS, collect, drive, plan
from dreamgym.recording import CONTROLLERS
from dreamgym.seeds import COLLECTION_SEEDS, FIDELITY_SEEDS, TEST_SEEDS, VALIDATION_SEEDS, refuse_test_seeds


def config_for(folder: Path, **changes: object) -> CollectConfig:
    return replace(CollectConfig(out=folder, frames=60, workers=1, lengths=(15, 20)), **changes)  # type: ignore[arg-type]


def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record without worker processes, which take seconds to start."""

    def record_all(missing, factories, config):
        for planned in missing:
            driver = factories[planned.driver]()
            episode = drive(driver, planned.seed, planned.length, driver_name=planned.driver)
            collect_module.write_episode(config.out / planned.file_name, episode)
            yield len(episode)

    monkeypatch.setattr(collect_module, "_record_all", record_all)


def test_seeds_are_disjoint_and_test_seeds_refused():
    groups = (VALIDATION_SEEDS, FIDELITY_SEEDS, TEST_SEEDS, COLLECTION_SEEDS)
    for index, group in enumerate(groups):
        for other in groups[index + 1 :]:
            assert group.stop <= other.start or other.stop <= group.start
    refuse_test_seeds([1, 2], "anything")
    with pytest.raises(SeedError, match="20003"):
        refuse_test_seeds([1, 20_003], "training")


def test_a_plan_is_a_function_of_the_configuration_and_keeps_to_the_frames():
    config = CollectConfig(out=Path("unused"), frames=20_000)
    episodes = list(plan(config))
    assert episodes == list(plan(config))
    assert 20_000 <= sum(episode.length for episode in episodes) < 20_000 + 50
    assert {episode.driver for episode in episodes} == {name for name, share in config.mix.items() if share > 0}
    assert all(episode.seed in COLLECTION_SEEDS for episode in episodes)
    assert episodes != list(plan(replace(config, seed=1)))
    share = sum(e.length for e in episodes if e.driver.endswith("follower")) / 20_000
    assert 0.7 < share < 0.99


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_a_driver_repeats_to_the_bit_and_stays_in_the_action_space(name: str):
    first, second = (drive(DRIVERS[name](), 1_000_001, 40, driver_name=name) for _ in range(2))
    assert np.array_equal(first.actions, second.actions)
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.rewards, second.rewards)
    low, high = np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32)
    assert ((first.actions >= low) & (first.actions <= high)).all()
    assert len(first) == 40 and first.truncated and not first.terminated
    assert not np.array_equal(first.actions, drive(DRIVERS[name](), 1_000_002, 40).actions)


def test_the_follower_drives_and_a_wild_one_is_wilder():
    steady, wild = (drive(DRIVERS[name](), 1_000_003, 150) for name in ("follower", "wild_follower"))
    assert steady.progress.sum() > 20
    assert np.abs(np.diff(wild.actions, axis=0)).mean() > np.abs(np.diff(steady.actions, axis=0)).mean()


def test_every_driver_has_a_share_that_the_command_line_can_set(tmp_path: Path):
    shares = CollectConfig(out=tmp_path).mix
    assert set(shares) == {*DRIVERS, *CONTROLLERS}
    assert sum(shares.values()) == pytest.approx(1.0)


def test_the_leaving_follower_leaves():
    for seed in (1_000_008, 1_000_009):  # some stop on the grass, or have too little time
        episode = drive(DRIVERS["leaving_follower"](), seed, 400)
        assert episode.terminated and not episode.lap_finished
        assert episode.rewards[-1] == -100


def test_the_straying_agent_holds_a_few_actions():
    held = [drive(DRIVERS["straying_agent"](), seed, 300).actions for seed in range(1_000_060, 1_000_072)]
    counts = [len(np.unique(actions, axis=0)) for actions in held]
    assert min(counts) == 1 and max(counts) > 2 and max(counts) <= 4
    changes = [int((np.abs(np.diff(actions, axis=0)) > 0).any(axis=1).sum()) for actions in held]
    assert all(change < 4 for change in changes)
    assert len({actions[0].tobytes() for actions in held}) > 6


def test_the_parking_follower_comes_to_a_stand_and_stays():
    for seed in range(1_000_070, 1_000_074):
        episode = drive(DRIVERS["parking_follower"](), seed, 500)
        assert episode.motion is not None
        speed = np.abs(episode.motion[:, 0]) * 50  # units/s
        assert speed.max() > 5
        assert speed[-30:].max() < 1
        assert not episode.actions[-30:, :2].any()


def test_the_circling_follower_turns_on_and_earns_nothing_more():
    for seed in range(1_000_080, 1_000_084):
        episode = drive(DRIVERS["circling_follower"](), seed, 700)
        assert episode.motion is not None
        heading = np.cumsum(episode.motion[-200:, 2]) / 50  # rad
        assert abs(heading[-1]) > 2 * np.pi
        assert (np.diff(heading) * np.sign(heading[-1]) > 0).all()
        assert len(np.unique(episode.actions[-300:], axis=0)) == 1
        assert episode.progress[-200:].sum() == 0


def test_the_turning_follower_drives_back_over_what_is_paid():
    episode = drive(DRIVERS["turning_follower"](), 1_000_051, 700)
    assert episode.motion is not None
    windows = [slice(start, start + 50) for start in range(0, 700, 50)]
    made = np.array([episode.progress[window].sum() for window in windows])
    speed = np.array([episode.motion[1:, 0][window].mean() for window in windows])
    assert (made > 10).sum() >= 3
    assert ((made == 0) & (speed > 0.5)).sum() >= 2  # 25 units/s


def test_an_interrupted_collection_goes_on_to_the_same_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    in_process(monkeypatch)
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


def test_another_configuration_or_a_folder_of_other_things_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    in_process(monkeypatch)
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
    with pytest.raises(ConfigError, match="unknown drivers"):
        collect(config_for(tmp_path / "run", mix={"nobody": 1.0}))
    assert not (tmp_path / "run").exists()
    for change in ({"frames": 0}, {"workers": 0}, {"mix": {}}, {"seed": -1}):
        with pytest.raises(ConfigError, match="expected"):
            config_for(tmp_path, **change)


@pytest.mark.slow
def test_killing_the_parent_leaves_whole_shards_and_no_workers(tmp_path: Path):
    script = (
        "from pathlib import Path\nfrom dreamgym.config import CollectConfig\nfrom dreamgym.recording import run\n"
        f"if __name__ == '__main__':\n    run(CollectConfig(out=Path({str(tmp_path / 'run')!r}), frames=100_000, "
        "workers=2, lengths=(20,)))\n"
    )
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen([sys.executable, tmp_path / "script.py"], start_new_session=True)
    deadline = time.monotonic() + 60
    while len(episode_paths(tmp_path / "run")) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    group = os.getpgid(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    shards = episode_paths(tmp_path / "run")
    assert len(shards) >= 4
    planned = {each.file_name: each for each in plan(CollectConfig(out=tmp_path, frames=100_000, lengths=(20,)))}
    for path in shards:
        episode, wanted = read_episode(path), planned[path.name]
        assert (episode.seed, episode.driver, len(episode)) == (wanted.seed, wanted.driver, 20)
    again = drive(DRIVERS[wanted.driver](), wanted.seed, 20)
    assert np.array_equal(episode.frames, again.frames) and np.array_equal(episode.actions, again.actions)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("workers outlived their parent")


def test_any_object_with_reset_and_act_is_a_driver():
    still = SimpleNamespace(reset=lambda env, rng: None, act=lambda frame: np.zeros(3, np.float32))
    episode = drive(still, 1_000_004, 10)
    assert len(episode) == 10 and not episode.actions.any()


def test_an_episode_without_progress_ends_when_patience_does():
    still = SimpleNamespace(reset=lambda env, rng: None, act=lambda frame: np.zeros(3, np.float32))
    episode = drive(still, 1_000_004, 100, patience=5)
    assert episode.truncated and not episode.terminated
    assert len(episode) == np.flatnonzero(episode.rewards > 0)[-1] + 1 + 5
