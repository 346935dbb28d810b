from __future__ import annotations

import io
import json
import os
import pickle
import re
import time
import zipfile
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamgym.data.episodes import (
    Episode,
    episode_paths,
    episodes_sha256,
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
    pickle.loads(pickle.dumps(Evil()))
    assert sentinel.exists()  # the trap was armed


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
        (
            {"actions": np.full((5, 3), 100, np.float32)},
            r"within \[-1.0, 0.0, 0.0\] .. .*, got (\[100.0, 100.0, 100.0\]) .. \1; record",
        ),
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


FRAMES = make_episode().frames


@pytest.mark.parametrize(
    ("name", "array", "got"),
    [
        ("frames", FRAMES.astype(np.float32) / 255, r"float32 \(6, 64, 64, 3\)"),
        ("frames", FRAMES.astype(np.int8), r"int8 \(6, 64, 64, 3\)"),
        ("frames", np.zeros((6, 96, 96, 3), np.uint8), r"uint8 \(6, 96, 96, 3\)"),
        ("frames", FRAMES[..., 0], r"uint8 \(6, 64, 64\)"),
        ("frames", FRAMES.transpose(0, 3, 1, 2), r"uint8 \(6, 3, 64, 64\)"),
        ("frames", FRAMES[:5], r"uint8 \(5, 64, 64, 3\)"),
        ("frames", FRAMES[:0], r"uint8 \(0, 64, 64, 3\)"),
        ("actions", np.zeros((5, 3)), r"float64 \(5, 3\)"),
        ("actions", np.zeros(5, np.float32), r"float32 \(5,\)"),
        ("actions", np.float32(0), r"float32 \(\)"),
        ("rewards", np.zeros(5), r"float64 \(5,\)"),
        ("rewards", np.zeros(6, np.float32), r"float32 \(6,\)"),
        ("rewards", np.zeros((5, 1), np.float32), r"float32 \(5, 1\)"),
    ],
)
def test_arrays_that_are_not_an_episodes_are_told_with_what_was_wanted(
    tmp_path: Path, name: str, array: np.ndarray, got: str
):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode())
    write_arrays(path, {**read_arrays(path), name: array})
    with pytest.raises(EpisodeFileError, match=rf"000000\.npz: expected frames uint8 \(T \+ 1, 64, .*; got .*{got}"):
        read_episode(path)


def test_an_episode_without_a_step_is_refused_and_one_of_one_step_is_read(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode(1))
    assert len(read_episode(path)) == 1
    none = {name: np.zeros((0, *shape), np.float32) for name, shape in (("actions", (3,)), ("rewards", ()))}
    write_arrays(path, {**read_arrays(path), **none, "frames": FRAMES[:1]})
    with pytest.raises(EpisodeFileError, match=r"T at least 1; got uint8 \(1, 64, 64, 3\), float32 \(0, 3\)"):
        read_episode(path)


@pytest.mark.parametrize("name", ["actions", "rewards"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, name: str, number: float):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode())
    arrays = read_arrays(path)
    changed = arrays[name].copy()
    changed.reshape(-1)[-1] = number
    write_arrays(path, {**arrays, name: changed})
    with pytest.raises(EpisodeFileError, match=f"expected finite {name}, got NaN or infinity"):
        read_episode(path)


def test_another_programs_recording_is_to_be_kept_and_converted(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    write_arrays(path, {"obs": FRAMES, "action": np.zeros((6, 3)), "reward": np.zeros(6), "done": np.zeros(6)})
    before = path.read_bytes()
    with pytest.raises(EpisodeFileError) as caught:
        read_episode(path)
    assert re.search(r"\['actions', 'frames', 'meta', 'rewards'\] are missing.* keep it and write", str(caught.value))
    assert "delete" not in str(caught.value) and path.read_bytes() == before


def with_meta(path: Path, meta: object) -> None:
    write_episode(path, make_episode())
    array = meta if isinstance(meta, np.ndarray) else np.frombuffer(json.dumps(meta).encode(), np.uint8)
    write_arrays(path, {**read_arrays(path), "meta": array})


def meta_of(path: Path) -> dict[str, Any]:
    write_episode(path, make_episode())
    return dict(json.loads(read_arrays(path)["meta"].tobytes()))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"format": 0},
        {"format": "2"},
        {"seed": 1.0},
        {"seed": True},
        {"terminated": 1},
        {"total_units": "250"},
        {"total_units": True},
        {"player": None},
        {"versions": []},
        {"thesis": 1},
    ],
)
def test_other_entries_than_an_episodes_are_refused(tmp_path: Path, change: dict[str, Any]):
    path = tmp_path / "episode-000000.npz"
    with_meta(path, meta_of(path) | change)
    with pytest.raises(EpisodeFileError, match=r"000000\.npz: expected the entries of an episode of format 2, got"):
        read_episode(path)


@pytest.mark.parametrize("name", ["format", "seed", "terminated", "player"])
def test_an_entry_that_is_missing_is_told(tmp_path: Path, name: str):
    path = tmp_path / "episode-000000.npz"
    meta = meta_of(path)
    del meta[name]
    with_meta(path, meta)
    with pytest.raises(EpisodeFileError, match=r"000000\.npz: expected the entries of an episode.*, got"):
        read_episode(path)


@pytest.mark.parametrize("meta", [[], None, 5, np.zeros(3, np.uint8), np.zeros(3), np.array(["{}"])])
def test_entries_that_are_no_json_object_are_refused(tmp_path: Path, meta: object):
    path = tmp_path / "episode-000000.npz"
    with_meta(path, meta)
    with pytest.raises(EpisodeFileError, match="expected the entries of an episode of format 2"):
        read_episode(path)


def test_an_episode_of_the_former_format_is_read(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    meta = meta_of(path)
    del meta["world"]
    meta |= {"format": 1, "lap_finished": True, "lap_units": 270.0, "driver": "follower"}
    for name in ("complete", "total_units", "player"):
        del meta[name]
    with_meta(path, meta)
    arrays = read_arrays(path)
    motion, missed = np.ones((6, 4), np.float32), np.zeros(5, np.float32)
    write_arrays(path, {**arrays, "motion": motion, "missed": missed})
    episode = read_episode(path, find())
    assert (episode.complete, episode.total_units, episode.player) == (True, 270.0, "follower")
    assert episode.world == "CarRacing" and set(episode.labels) == {"motion", "missed"}


def test_every_entry_comes_back(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    for flags in ((True, False, False), (False, True, False), (True, False, True)):
        terminated, truncated, complete = flags
        episode = replace(
            make_episode(), terminated=terminated, truncated=truncated, complete=complete, versions={"dreamgym": "0"}
        )
        write_episode(path, episode)
        read = read_episode(path)
        assert (read.terminated, read.truncated, read.complete) == flags and read.versions == {"dreamgym": "0"}
        assert read.failed is (terminated and not complete)


def test_actions_may_be_outside_by_rounding_alone(tmp_path: Path):
    path = tmp_path / "episode-000000.npz"
    for number, fits in ((1.00005, True), (1.0002, False)):
        for sign in (1, -1):
            actions = make_episode().actions.copy()
            actions[0, 0] = sign * number
            write_episode(path, replace(make_episode(), actions=actions))
            if fits:
                read_episode(path, find())
            else:
                with pytest.raises(EpisodeFileError, match="record them as they were executed"):
                    read_episode(path, find())


@pytest.mark.parametrize(
    ("label", "fits"),
    [
        (np.zeros(5, np.float32), True),
        (np.zeros((6, 7), np.float32), True),
        (np.zeros(5), False),
        (np.zeros(4, np.float32), False),
        (np.zeros(7, np.float32), False),
        (np.zeros((5, 1, 1), np.float32), False),
        (np.float32(0), False),
    ],
)
def test_a_label_has_an_entry_a_step_or_a_frame(tmp_path: Path, label: np.ndarray, fits: bool):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, replace(make_episode(), labels={"mine": label}))
    if fits:
        assert np.array_equal(read_episode(path).labels["mine"], label)
    else:
        with pytest.raises(EpisodeFileError, match=r"label mine as float32 of shape \(T,\) or \(T \+ 1, n\) for T = 5"):
            read_episode(path)


def test_a_folder_is_the_same_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "mine"
    (folder / "inner").mkdir(parents=True)
    names = [f"episode-{number:06d}.npz" for number in range(100)]
    for name in names:
        (folder / name).write_bytes(name.encode())
    monkeypatch.chdir(folder)
    assert episodes_sha256([Path()]) == episodes_sha256([folder]) == episodes_sha256([folder / "inner" / ".."])
    held_out = [is_held_out(Path(name)) for name in names]
    assert held_out == [is_held_out(folder / name) for name in names] and any(held_out)


def test_the_hash_of_recordings_is_of_names_and_contents(tmp_path: Path):
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        write_episode(folder / "episode-000000.npz", make_episode(seed=1))
    first = episodes_sha256(folders)
    assert first == episodes_sha256(folders) and re.fullmatch("[0-9a-f]{64}", str(first))
    assert episodes_sha256([*folders, tmp_path / "none"]) is None
    write_episode(folders[1] / "episode-000000.npz", make_episode(seed=2))
    second = episodes_sha256(folders)
    (folders[1] / "episode-000000.npz").rename(folders[1] / "episode-000001.npz")
    assert len({first, second, episodes_sha256(folders), episodes_sha256(folders[:1])}) == 4


def test_arrays_may_have_just_the_bytes_that_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "episode-000000.npz"
    write_episode(path, make_episode())
    size = sum(map(len, members(path).values()))
    monkeypatch.setattr("dreamgym.data.episodes._ARRAYS_LIMIT", size)
    assert len(read_episode(path)) == 5
    monkeypatch.setattr("dreamgym.data.episodes._ARRAYS_LIMIT", size - 1)
    with pytest.raises(EpisodeFileError, match=f"at most {size - 1} bytes, got {size}"):
        read_episode(path)


def test_an_episode_is_not_changed():
    with pytest.raises(FrozenInstanceError):
        make_episode().complete = True  # type: ignore[misc]


def test_an_episode_that_no_reader_would_take_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dreamgym.data.episodes.LONGEST", 4)
    with pytest.raises(EpisodeFileError, match="at most 4 steps, got an episode of 5 by 'test'; split it"):
        write_episode(tmp_path / "episode-000000.npz", make_episode())
    assert not list(tmp_path.iterdir())
