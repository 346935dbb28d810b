from __future__ import annotations

import io
import json
import os
import pickle
import re
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamgym.data.episodes import (
    Episode,
    episode_paths,
    is_held_out,
    read_arrays,
    read_episode,
    write_arrays,
    write_episode,
)
from dreamgym.errors import ConfigError, EpisodeFileError
from dreamgym.worlds.registry import find


def make_episode(length: int = 5, seed: int = 0) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        frames=rng.integers(0, 256, (length + 1, 64, 64, 3), dtype=np.uint8),
        actions=rng.random((length, 3), np.float32),
        rewards=np.full(length, -0.1, np.float32),
        terminated=False,
        truncated=True,
        complete=False,
        total_units=250,
        seed=1_000_000,
        player="test",
        versions={"preprocess": 1},
    )


def test_comes_back_as_it_was_written(tmp_path: Path):
    episode = replace(make_episode(), terminated=True, truncated=False, complete=True)
    write_episode(tmp_path / "episode-000000.npz", episode)
    read = read_episode(tmp_path / "episode-000000.npz")
    for name in ("frames", "actions", "rewards"):
        assert np.array_equal(getattr(read, name), getattr(episode, name))
        assert getattr(read, name).dtype == getattr(episode, name).dtype
    blank = dict.fromkeys(("frames", "actions", "rewards"), np.empty(0))
    assert vars(replace(read, **blank)) == vars(replace(episode, **blank))
    assert list(tmp_path.iterdir()) == [tmp_path / "episode-000000.npz"]


def test_recordings_that_call_the_player_driver_are_read(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode())
    arrays = read_arrays(path)
    meta = json.loads(arrays["meta"].tobytes())
    meta["driver"] = meta.pop("player")
    write_arrays(path, {**arrays, "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    assert read_episode(path).player == "test"


def test_the_same_arrays_are_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arrays = {"frames": np.arange(1000)}
    write_arrays(tmp_path / "a.npz", arrays)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_arrays(tmp_path / "b.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").stat().st_size < 4000  # compressed


def test_what_need_not_be_recorded_comes_back_too(tmp_path: Path):
    missed = np.array([0, 1, 0, 2, np.nan], np.float32)
    episode = replace(make_episode(), labels={"motion": np.ones((6, 4), np.float32), "missed": missed})
    write_episode(tmp_path / "episode-000000.npz", episode)
    read = read_episode(tmp_path / "episode-000000.npz")
    assert set(read.labels) == {"motion", "missed"} and np.array_equal(read.labels["motion"], episode.labels["motion"])
    assert np.array_equal(read.labels["missed"], missed, equal_nan=True)


def test_progress_counts_tiles():
    rewards = np.array([-0.1, -0.1 + 1000 / 250, -0.1 + 3 * 1000 / 250, -100.0], np.float32)
    episode = replace(make_episode(4), rewards=rewards)
    assert find().rewards.units(episode.rewards, episode.total_units).tolist() == [0.0, 1.0, 3.0, 0.0]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_a_truncated_shard_is_refused_by_name(tmp_path: Path, share: float):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(EpisodeFileError, match="expected an npz file"):
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


@pytest.mark.parametrize("key", ["frames", "label_motion", "thesis"])
def test_a_zip_bomb_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str):
    path = tmp_path / "episode-000000.npz"
    arrays = dict.fromkeys(("meta", "actions", "rewards", "frames"), np.zeros(1, np.uint8))
    write_arrays(path, {**arrays, key: np.zeros(1 << 20, np.uint8)}, compresslevel=9)
    monkeypatch.setattr("dreamgym.data.episodes._ARRAYS_LIMIT", 1 << 20)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(EpisodeFileError, match=r"at most 1048576 bytes|got \['thesis'\] besides"):
        read_episode(path)
    with pytest.raises(EpisodeFileError, match="at most 1048576 bytes"):
        read_arrays(path, ("meta",))


def test_a_method_of_compression_without_bounds_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "episode-000000.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("meta.npy", bytes(100))
    with pytest.raises(EpisodeFileError, match=r"meta\.npy by method 12"):
        read_arrays(tmp_path / "episode-000000.npz")


@pytest.mark.skipif(os.name == "nt", reason="no pipes among the files")
def test_a_pipe_is_no_episode(tmp_path: Path):
    os.mkfifo(tmp_path / "episode-000000.npz")
    with pytest.raises(EpisodeFileError, match="a pipe"):
        read_episode(tmp_path / "episode-000000.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": np.full((5, 3), 100, np.float32)}, r"within \[-1.0, 0.0, 0.0\] .. .*, got \[100.0"),
        ({"actions": np.zeros((5, 2), np.float32)}, "expected actions of 3 numbers for CarRacing, got 2"),
        ({"world": "Corridor"}, "expected an episode of CarRacing, got one of Corridor"),
    ],
)
def test_an_episode_of_another_world_is_refused(tmp_path: Path, change: dict[str, Any], message: str):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, replace(make_episode(), **change))
    read_episode(path)
    with pytest.raises(EpisodeFileError, match=rf"episode-000000\.npz: .*{message}"):
        read_episode(path, find())


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path):
    write_episode(tmp_path / "episode-000000.npz", make_episode())
    with pytest.raises(ConfigError, match="nosuchfolder: expected a folder"):
        episode_paths(tmp_path, tmp_path / "nosuchfolder")


def test_the_writer_of_the_docs_writes_what_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "episodes.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(code.split("\n\n\n", 1)[1].splitlines()) <= 15
    names: dict[str, Any] = {}
    exec(code, names)
    frames = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3))
    actions, rewards = np.linspace(-1, 1, 10).reshape(5, 2), [0, 1, 2, 3, 4]
    names["write"](tmp_path / "episode-000000.npz", "Mine", frames, actions, rewards, True)
    episode = read_episode(tmp_path / "episode-000000.npz")
    assert np.array_equal(episode.frames, frames) and np.allclose(episode.actions, actions)
    assert episode.rewards.tolist() == rewards
    assert (episode.world, episode.terminated, episode.truncated) == ("Mine", True, False)


def test_a_member_that_is_no_array_is_refused(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode())
    contents = {name: b"frames" if name == "frames.npy" else content for name, content in members(path).items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(EpisodeFileError, match="no array as frames"):
        read_episode(path)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(("name", "shape"), [("motion", (6, 3)), ("motion", (6,)), ("missed", (5, 1))])
def test_a_label_of_another_shape_than_the_worlds_is_refused(tmp_path: Path, name: str, shape: tuple[int, ...]):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, replace(make_episode(), labels={name: np.zeros(shape, np.float32)}))
    with pytest.raises(EpisodeFileError, match=f"expected the label {name} as float32 of shape"):
        read_episode(path, find())
    assert set(read_episode(path).labels) == {name}  # of a world that is not known here, it may have any


def test_labels_of_the_worlds_shapes_are_taken(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    labels = {"motion": np.zeros((6, 4), np.float32), "missed": np.zeros(5, np.float32)}
    write_episode(path, replace(make_episode(), labels=labels))
    assert set(read_episode(path, find()).labels) == {"motion", "missed"}
