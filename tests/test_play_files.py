"""Drives as training data, and how a session is set up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dreamgym.config import CollectConfig, PlayConfig, claim_folder
from dreamgym.episodes import episode_paths, read_episode
from dreamgym.errors import BundleNotFoundError, OutputFolderError, SeedError
from dreamgym.play.commands import obey
from dreamgym.play.drivers import choose, drivers
from dreamgym.play.keymap import Command
from dreamgym.play.outputs import Outputs
from dreamgym.play.saving import EpisodeFolder
from dreamgym.play.session import Session
from dreamgym.play.setup import make_session
from dreamgym.real.preprocess import preprocess
from dreamgym.real.world import MOTION_SIZE, make_real, motion
from dreamgym.seeds import COLLECTION_SEEDS, TEST_SEEDS
from dreamgym.world_model import WorldModel

AHEAD = np.array([0.1, 0.3, 0.0], np.float32)


def saving_session(world_model: WorldModel, folder: Path, **arguments: object) -> Session:
    episodes = EpisodeFolder(folder, PlayConfig(save_episodes=folder))
    return Session(world_model, drivers(world_model), folder=episodes, **arguments)  # type: ignore[arg-type]


def test_a_person_s_drive_becomes_training_data(steady_world_model: WorldModel, tmp_path: Path) -> None:
    session = saving_session(steady_world_model, tmp_path / "drives", view="both", seed=11)
    for _ in range(25):
        session.tick(AHEAD)
    obey(session, Command.DRIVER)
    for _ in range(5):
        session.tick(AHEAD)
    tiles, total = session.real.lap_units, session.real.total
    obey(session, Command.RESTART)
    session.close()
    (path,) = episode_paths(tmp_path / "drives")
    episode = read_episode(path)
    assert len(episode) == 30
    assert episode.driver == "human+controller"
    assert (episode.terminated, episode.truncated, episode.lap_finished) == (False, True, False)
    assert (episode.seed, episode.lap_units) == (11, tiles)
    assert episode.rewards.sum() == pytest.approx(total, abs=1e-3)
    env = make_real()
    observation, _ = env.reset(seed=11)
    assert np.array_equal(episode.frames[0], preprocess(observation))
    for action, frame in zip(episode.actions[:3], episode.frames[1:], strict=False):
        observation, *_ = env.step(action)
        assert np.array_equal(frame, preprocess(observation))
    assert episode.motion is not None
    assert np.array_equal(episode.motion[3], motion(env))
    assert episode.motion.shape == (31, MOTION_SIZE)
    (dreamt,) = episode_paths(tmp_path / "drives" / "dreams")
    dream = read_episode(dreamt)
    assert dream.motion is None
    assert len(dream) == 30
    assert np.array_equal(dream.actions, episode.actions)
    assert not np.array_equal(dream.frames, episode.frames)
    env.close()


def test_how_a_drive_ended_is_saved(toy_world_model: WorldModel, tmp_path: Path) -> None:
    session = saving_session(toy_world_model, tmp_path, view="reality", seed=11)
    for ended in ("left", "lap", "time"):
        for _ in range(20):
            session.tick(AHEAD)
        session.real.ended = ended  # type: ignore[assignment]
        obey(session, Command.RESTART)
    session.close()
    ends = [
        (episode.terminated, episode.truncated, episode.lap_finished)
        for episode in map(read_episode, episode_paths(tmp_path))
    ]
    assert ends == [(True, False, False), (True, False, True), (False, True, False)]


def test_short_drives_are_not_saved_and_numbers_go_on(toy_world_model: WorldModel, tmp_path: Path) -> None:
    for _ in range(2):
        session = saving_session(toy_world_model, tmp_path, view="reality", seed=11)
        for _ in range(19):
            session.tick(AHEAD)
        obey(session, Command.NEW)
        for _ in range(20):
            session.tick(AHEAD)
        session.close()
    assert [path.name for path in episode_paths(tmp_path)] == ["episode-000000.npz", "episode-000001.npz"]
    assert not (tmp_path / "dreams").exists()


def test_a_drive_over_a_minute_is_cut_and_its_end_is_not_its_own(toy_world_model: WorldModel, tmp_path: Path) -> None:
    session = saving_session(toy_world_model, tmp_path, view="reality", seed=11)
    frame = session.real.frame
    for _ in range(3010):
        session.real.log.add(AHEAD, 0.5, frame, "human")
    session.real.ended = "lap"
    episode = session.real.episode()
    assert episode is not None
    assert len(episode) == 3000
    assert (episode.terminated, episode.truncated, episode.lap_finished) == (False, True, False)
    session.real.log.end()
    session.close()


def test_a_collection_s_folder_is_left_alone(tmp_path: Path) -> None:
    claim_folder(tmp_path / "collected", CollectConfig(out=tmp_path / "collected"))
    with pytest.raises(OutputFolderError):
        EpisodeFolder(tmp_path / "collected", PlayConfig())
    EpisodeFolder(tmp_path / "mine", PlayConfig(seed=1))
    EpisodeFolder(tmp_path / "mine", PlayConfig(seed=2, world="dream"))


def test_no_drive_on_a_test_track_is_saved(toy_world_model: WorldModel, tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="training data"):
        saving_session(toy_world_model, tmp_path, view="dream", seed=TEST_SEEDS.start)
    session = saving_session(toy_world_model, tmp_path, view="dream", seed=TEST_SEEDS.start - 1)
    obey(session, Command.NEW)
    assert session.seed == TEST_SEEDS.stop
    session.close()


def test_the_save_key(steady_world_model: WorldModel, tmp_path: Path) -> None:
    session = Session(steady_world_model, drivers(steady_world_model), view="both", seed=11)
    outputs = Outputs(PlayConfig(out=tmp_path))
    assert "Too little" in outputs.save_drives(session)
    for _ in range(20):
        session.tick(AHEAD)
    assert "Saved" in outputs.save_drives(session)
    assert len(episode_paths(tmp_path / "episodes")) == len(episode_paths(tmp_path / "episodes" / "dreams")) == 1
    session.seed = TEST_SEEDS.start
    assert "test track" in outputs.save_drives(session)
    session.close()


def test_a_controller_is_needed_where_one_is_asked_for(make_world_model: object, tmp_path: Path) -> None:
    world = make_world_model()  # type: ignore[operator]
    world.controller = None
    found = drivers(world)
    assert [driver.label for driver in found] == ["You", "Random"]
    with pytest.raises(BundleNotFoundError, match="--controller"):
        choose(found, "controller")


def test_a_given_controller_comes_before_the_bundle_s_own(toy_world_model: WorldModel, tmp_path: Path) -> None:
    assert toy_world_model.controller is not None
    toy_world_model.controller.save(tmp_path / "mine.safetensors")
    found = drivers(toy_world_model, tmp_path / "mine.safetensors")
    assert [driver.label for driver in found] == ["You", "mine", "Controller", "Random"]
    assert choose(found, "controller") == 1


def test_tracks_of_a_play_are_fresh_and_no_collection_s(toy_bundle: Path) -> None:
    seeds = set()
    for _ in range(3):
        session = make_session(PlayConfig(world_model=toy_bundle, world="dream"), "random")
        seeds.add(session.seed)
        session.close()
    assert len(seeds) == 3
    assert all(seed in COLLECTION_SEEDS and seed >= COLLECTION_SEEDS.start + 900 * 1_000_000 for seed in seeds)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_window_saves_the_drive(steady_world_model: WorldModel, tmp_path: Path, number: int) -> None:
    folder, bundle = tmp_path / "drives", tmp_path / "bundle"
    steady_world_model.save(bundle)
    command = [sys.executable, "-m", "dreamgym.cli", "play", "--world-model", str(bundle), "--driver", "random"]
    arguments = ["--world", "dream", "--save-episodes", str(folder), "--size", "320", "180"]
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    process = subprocess.Popen([*command, *arguments], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "config.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(3.0)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    for path in (folder / "dreams").iterdir():
        read_episode(path)
    assert list((folder / "dreams").iterdir())
