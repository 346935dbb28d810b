"""What is saved of what was played."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygame
import pytest

from dreamgym.config import PlayConfig
from dreamgym.data.episodes import episode_paths, read_episode
from dreamgym.data.seeds import TEST_SEEDS
from dreamgym.play.players import players
from dreamgym.play.recordings import Recordings
from dreamgym.play.session import Session
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find

AHEAD = np.array([0.1, 0.3, 0.0], np.float32)


def test_save_key_saves_what_is_played(steady_world_model: WorldModel, tmp_path: Path) -> None:
    session = Session(steady_world_model, players(steady_world_model), find("CarRacing"), view="both", seed=11)
    recordings = Recordings(PlayConfig(out=tmp_path), session.fps)
    assert "Too little" in recordings.save_episodes(session)
    for _ in range(20):
        session.tick(AHEAD)
    assert "Saved" in recordings.save_episodes(session)
    assert len(episode_paths(tmp_path / "episodes")) == len(episode_paths(tmp_path / "episodes" / "dreams")) == 1
    session.real.seed = TEST_SEEDS.start
    assert "kept for tests" in recordings.save_episodes(session)
    session.close()


@pytest.mark.parametrize("recordings", [1, 2], ids=["one window", "two windows"])
def test_videos_begun_before_the_last_one_is_whole_have_names_of_their_own(tmp_path: Path, recordings: int) -> None:
    each = [Recordings(PlayConfig(out=tmp_path), 50) for _ in range(recordings)]
    surface = pygame.Surface((64, 64))
    for name in ("001", "002"):
        window = each[-1] if name == "002" else each[0]
        assert f"video-{name}.gif" in window.toggle_video(surface, ".gif")
        window.show(surface)
        if recordings == 1:
            assert "Finishing" in window.toggle_video(surface, ".gif")  # in the background
    for window in each:
        window.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["video-001.gif", "video-002.gif"]


def test_episode_of_another_world_is_saved_with_its_name(corridor: Session, tmp_path: Path) -> None:
    recordings = Recordings(PlayConfig(out=tmp_path), corridor.fps)
    for _ in range(20):
        corridor.tick(np.ones(1, np.float32))
    assert "Saved" in recordings.save_episodes(corridor)
    (path,) = episode_paths(tmp_path / "episodes")
    episode = read_episode(path)
    assert (episode.world, episode.total_units, episode.labels) == ("Corridor", 1.0, {})
    assert set(episode.actions.ravel().tolist()) <= {-1.0, 0.0, 1.0}


def test_save_key_saves_what_is_played_alone_and_not_what_is_saved_anyway(
    steady_world_model: WorldModel, tmp_path: Path
) -> None:
    session = Session(steady_world_model, players(steady_world_model), find("CarRacing"), view="both", seed=11)
    for _ in range(20):
        session.tick(AHEAD)
    anyway = Recordings(PlayConfig(out=tmp_path, save_episodes=tmp_path / "all"), session.fps)
    assert f"saved to {tmp_path / 'all'}" in anyway.save_episodes(session)
    assert list(tmp_path.iterdir()) == []
    session.set_view("reality")
    assert "Saved" in Recordings(PlayConfig(out=tmp_path), session.fps).save_episodes(session)
    assert len(episode_paths(tmp_path / "episodes")) == 1
    assert not (tmp_path / "episodes" / "dreams").exists()
    session.close()
