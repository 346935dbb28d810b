from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamgym.episodes import Episode, episode_paths, is_held_out, read_episode, write_arrays, write_episode
from dreamgym.errors import EpisodeFileError


def make_episode(length: int = 5, seed: int = 0) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        frames=rng.integers(0, 256, (length + 1, 64, 64, 3), dtype=np.uint8),
        actions=rng.random((length, 3), np.float32),
        rewards=np.full(length, -0.1, np.float32),
        terminated=False,
        truncated=True,
        lap_finished=False,
        lap_units=250,
        seed=1_000_000,
        driver="test",
        versions={"preprocess": 1},
    )


def test_comes_back_as_it_was_written(tmp_path: Path):
    episode = replace(make_episode(), terminated=True, truncated=False, lap_finished=True)
    write_episode(tmp_path / "episode-000000.npz", episode)
    read = read_episode(tmp_path / "episode-000000.npz")
    for name in ("frames", "actions", "rewards"):
        assert np.array_equal(getattr(read, name), getattr(episode, name))
        assert getattr(read, name).dtype == getattr(episode, name).dtype
    blank = dict.fromkeys(("frames", "actions", "rewards"), np.empty(0))
    assert vars(replace(read, **blank)) == vars(replace(episode, **blank))
    assert list(tmp_path.iterdir()) == [tmp_path / "episode-000000.npz"]


def test_what_need_not_be_recorded_comes_back_too(tmp_path: Path):
    missed = np.array([0, 1, 0, 2, np.nan], np.float32)
    episode = replace(make_episode(), motion=np.ones((6, 4), np.float32), missed=missed)
    write_episode(tmp_path / "episode-000000.npz", episode)
    read = read_episode(tmp_path / "episode-000000.npz")
    assert read.motion is not None and np.array_equal(read.motion, episode.motion)
    assert read.missed is not None and np.array_equal(read.missed, missed, equal_nan=True)


def test_progress_counts_tiles():
    rewards = np.array([-0.1, -0.1 + 1000 / 250, -0.1 + 3 * 1000 / 250, -100.0], np.float32)
    episode = replace(make_episode(4), rewards=rewards)
    assert episode.progress.tolist() == [0.0, 1.0, 3.0, 0.0]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_a_truncated_shard_is_refused_by_name(tmp_path: Path, share: float):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(EpisodeFileError, match="delete it"):
        read_episode(path)


def test_a_pickle_in_a_shard_is_not_loaded(tmp_path: Path):
    sentinel = tmp_path / "sentinel"

    class Evil:
        def __reduce__(self):
            return Path.touch, (sentinel,)

    path = tmp_path / "episode-000000.npz"
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Evil()], dtype=object), allow_pickle=True)
    write_arrays(path, {"meta": np.zeros(1)})
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        for name in ("meta", "actions", "rewards", "frames"):
            archive.writestr(f"{name}.npy", buffer.getvalue())
    with pytest.raises(EpisodeFileError):
        read_episode(path)
    assert not sentinel.exists()
    assert pickle.dumps(Evil())  # the trap is armed: unpickling this would touch the file


def test_a_failed_write_leaves_the_old_shard(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode(seed=1))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(path, {"meta": np.array([object()])})
    assert path.read_bytes() == before
    assert episode_paths(tmp_path) == [path]
    assert len(list(tmp_path.iterdir())) == 1


def test_about_one_shard_in_twenty_is_held_out_and_always_the_same():
    paths = [Path(f"somewhere/scripted/episode-{index:06d}.npz") for index in range(4000)]
    chosen = [is_held_out(path) for path in paths]
    assert 0.03 < np.mean(chosen) < 0.07
    assert np.flatnonzero(chosen)[:5].tolist() == [26, 41, 62, 135, 144]  # in every process, for ever
    assert chosen == [is_held_out(Path("elsewhere") / "scripted" / path.name) for path in paths]
