"""Episodes as training data, and how a session is set up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dreamgym.config import CollectConfig, PlayConfig
from dreamgym.data.episodes import episode_paths, read_episode
from dreamgym.data.seeds import EARLIER_TEST_SEEDS, TEST_SEEDS
from dreamgym.errors import OutputFolderError, SeedError
from dreamgym.files import claim_folder
from dreamgym.play.commands import Command, obey
from dreamgym.play.episode_log import EpisodeFolder, EpisodeLog
from dreamgym.play.players import players
from dreamgym.play.session import Session
from dreamgym.world_model import WorldModel
from dreamgym.worlds.car_racing.preprocess import preprocess
from dreamgym.worlds.car_racing.world import CAR_RACING, MOTION_SIZE, motion
from dreamgym.worlds.registry import find
from tests.support.processes import running, wait_until

AHEAD = np.array([0.1, 0.3, 0.0], np.float32)


def saving_session(world_model: WorldModel, folder: Path, **arguments: object) -> Session:
    episodes = EpisodeFolder(folder, PlayConfig(save_episodes=folder))
    return Session(world_model, players(world_model), find("CarRacing"), folder=episodes, **arguments)  # type: ignore[arg-type]


def test_played_episode_becomes_training_data(steady_world_model: WorldModel, tmp_path: Path) -> None:
    session = saving_session(steady_world_model, tmp_path / "drives", view="both", seed=11)
    for _ in range(25):
        session.tick(AHEAD)
    obey(session, Command.PLAYER)
    for _ in range(5):
        session.tick(AHEAD)
    tiles, total = len(session.real.env.track), session.real.total
    obey(session, Command.RESTART)
    session.close()
    (path,) = episode_paths(tmp_path / "drives")
    episode = read_episode(path)
    assert len(episode) == 30
    assert episode.player == "human+controller"
    assert (episode.terminated, episode.truncated, episode.complete) == (False, True, False)
    assert (episode.seed, episode.total_units) == (11, tiles)
    assert episode.rewards.sum() == pytest.approx(total, abs=1e-3)
    env = CAR_RACING.make_env()
    observation, _ = env.reset(seed=11)
    assert np.array_equal(episode.frames[0], preprocess(observation))
    for action, frame in zip(episode.actions[:3], episode.frames[1:], strict=False):
        observation, *_ = env.step(action)
        assert np.array_equal(frame, preprocess(observation))
    assert episode.labels.get("motion") is not None
    assert np.array_equal(episode.labels["motion"][3], motion(env))
    assert episode.labels["motion"].shape == (31, MOTION_SIZE)
    assert episode.labels["missed"].shape == (30,)
    assert episode.world == "CarRacing"
    (dreamt,) = episode_paths(tmp_path / "drives" / "dreams")
    dream = read_episode(dreamt)
    assert dream.labels == {}
    assert len(dream) == 30
    assert np.array_equal(dream.actions, episode.actions)
    assert not np.array_equal(dream.frames, episode.frames)
    env.close()


def test_saved_episode_says_how_it_ended(toy_world_model: WorldModel, tmp_path: Path) -> None:
    session = saving_session(toy_world_model, tmp_path, view="reality", seed=11)
    for ended in ("failed", "complete", "time"):
        for _ in range(20):
            session.tick(AHEAD)
        session.real.ended = ended  # type: ignore[assignment]
        obey(session, Command.RESTART)
    session.close()
    ends = [
        (episode.terminated, episode.truncated, episode.complete)
        for episode in map(read_episode, episode_paths(tmp_path))
    ]
    assert ends == [(True, False, False), (True, False, True), (False, True, False)]


def test_short_episodes_are_not_saved_and_numbers_go_on(toy_world_model: WorldModel, tmp_path: Path) -> None:
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


def test_long_episode_is_cut_and_counts_as_truncated(toy_world_model: WorldModel, tmp_path: Path) -> None:
    session = saving_session(toy_world_model, tmp_path, view="reality", seed=11)
    frame = session.real.frame
    for _ in range(3010):
        session.real.log.add(AHEAD, 0.5, frame, "human")
    session.real.ended = "complete"
    episode = session.real.episode()
    assert episode is not None
    assert len(episode) == 3000
    assert (episode.terminated, episode.truncated, episode.complete) == (False, True, False)
    session.real.log.end()
    session.close()


def test_folder_of_a_collection_is_refused(tmp_path: Path) -> None:
    claim_folder(tmp_path / "collected", CollectConfig(out=tmp_path / "collected"))
    with pytest.raises(OutputFolderError):
        EpisodeFolder(tmp_path / "collected", PlayConfig())
    EpisodeFolder(tmp_path / "mine", PlayConfig(seed=1))
    EpisodeFolder(tmp_path / "mine", PlayConfig(seed=2, view="dream"))


@pytest.mark.parametrize("tests", [EARLIER_TEST_SEEDS, TEST_SEEDS])
def test_episodes_of_test_seeds_are_not_saved(toy_world_model: WorldModel, tmp_path: Path, tests: range) -> None:
    with pytest.raises(SeedError, match="training data"):
        saving_session(toy_world_model, tmp_path, view="dream", seed=tests.start)
    session = saving_session(toy_world_model, tmp_path, view="dream", seed=tests.start - 1)
    obey(session, Command.NEW)
    assert session.seed == tests.stop
    session.close()


def test_a_step_that_is_interrupted_does_not_count() -> None:
    class Recorder:
        looks = 1

        def step(self) -> None:
            self.looks += 1
            if self.looks == 25:
                raise KeyboardInterrupt

        def labels(self) -> dict[str, np.ndarray]:
            return {"look": np.zeros((self.looks, 2), np.float32)}

    log, frame = EpisodeLog(), np.zeros((64, 64, 3), np.uint8)
    log.begin(frame, 1, Recorder())
    for _ in range(23):
        log.add(AHEAD, 0.5, frame, "you")
    with pytest.raises(KeyboardInterrupt):
        log.add(AHEAD, 0.5, frame, "you")
    episode = log.episode(ended=None, total_units=1.0, world="CarRacing", versions={})
    assert episode is not None and len(episode) == len(episode.rewards) == 23
    assert (len(episode.frames), len(episode.labels["look"])) == (24, 24)


NOTING_STEPS = """
import pathlib, sys
from dreamgym import cli
from dreamgym.play.episode_log import EpisodeLog

place, add = pathlib.Path(sys.argv.pop(1)), EpisodeLog.add

def note(log, *arguments):
    add(log, *arguments)
    if len(log) == 30:
        place.touch()

EpisodeLog.add = note
sys.exit(cli.main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_window_saves_the_episode(steady_world_model: WorldModel, tmp_path: Path, number: int) -> None:
    folder, bundle = tmp_path / "drives", tmp_path / "bundle"
    steady_world_model.save(bundle)
    command = [sys.executable, "-c", NOTING_STEPS, str(tmp_path / "played")]
    command += ["play", "--world-model", str(bundle), "--player", "random"]
    arguments = ["--view", "dream", "--save-episodes", str(folder), "--size", "320", "180"]
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    with running([*command, *arguments], env=environment, stderr=subprocess.DEVNULL) as process:
        assert wait_until((tmp_path / "played").exists)
        process.send_signal(number)
        assert process.wait(300) == 128 + number
    for path in (folder / "dreams").iterdir():
        read_episode(path)
    assert list((folder / "dreams").iterdir())


def test_saved_episodes_say_what_decides_their_frames(steady_world_model: WorldModel, tmp_path: Path) -> None:
    session = saving_session(steady_world_model, tmp_path, view="both", seed=11)
    for _ in range(20):
        session.tick(AHEAD)
    session.close()
    ((path,), (dreamt,)) = (episode_paths(folder) for folder in (tmp_path, tmp_path / "dreams"))
    assert read_episode(path, CAR_RACING).versions == CAR_RACING.recorded_versions()
    assert read_episode(dreamt).versions == {"preprocess": steady_world_model.preprocess_version}
