"""Recordings as latents, and what they remember of their making."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamgym.data.episodes import Episode, read_episode, write_episode
from dreamgym.data.latents import read_latents
from dreamgym.errors import BundleError, ConfigError, EpisodeFileError, OutputFolderError
from dreamgym.files import file_sha256
from dreamgym.vision.encode_dataset import encode_episodes
from dreamgym.vision.train import train_vision
from dreamgym.worlds.registry import find
from tests.support.training_runs import vision_config

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_finished_lap_is_not_the_world_left(latents: Path):
    left = [episode.failed for episode in read_latents(latents)]
    assert left == [True, True, False, False, False, False]  # each as it was driven, and mirrored


def test_latents_of_another_v_are_not_mixed_in(episodes: Path, vision: Path, latents: Path, tmp_path: Path):
    other = train_vision(replace(vision_config(episodes, tmp_path / "v", steps=1), seed=1))
    with pytest.raises(OutputFolderError, match="another V"):
        encode_episodes(episodes, other, latents)
    with pytest.raises(OutputFolderError, match=r"holds other latents \(world: 'CarRacing' there, 'Elsewhere' now\)"):
        encode_episodes(episodes, vision, latents, world=replace(find(), name="Elsewhere"))
    assert len(read_latents(latents)) == 6


def test_latents_remember_what_they_were_made_of(episodes: Path, vision: Path, tmp_path: Path):
    out = tmp_path / "latents"
    encode_episodes(episodes, vision, out)
    record = json.loads((out / "vision.json").read_text())
    assert (record["world"], record["latent_size"]) == ("CarRacing", find().sizes.latents)
    assert record["sha256"] == file_sha256(vision) and record["preprocess_version"] == find().preprocess.version
    fewer = tmp_path / "fewer"
    shutil.copytree(episodes, fewer)
    next(fewer.glob("episode-*.npz")).unlink()
    encode_episodes(fewer, vision, tmp_path / "others")
    assert (
        record["recordings_sha256"]
        != json.loads((tmp_path / "others" / "vision.json").read_text())["recordings_sha256"]
    )
    (out / "vision.json").write_text(json.dumps({"sha256": record["sha256"]}))  # as older versions wrote it
    encode_episodes(episodes, vision, out)
    assert json.loads((out / "vision.json").read_text()) == record
    (out / "vision.json").write_text("[")
    with pytest.raises(OutputFolderError, match=r"vision\.json: expected a JSON object"):
        encode_episodes(episodes, vision, out)


def test_latents_of_other_rewards_are_not_mixed_in(episodes: Path, vision: Path, latents: Path):
    world = find()
    encode_episodes(episodes, vision, latents, world=replace(world, rewards=replace(world.rewards, failure=-1.0)))
    other = replace(world, rewards=replace(world.rewards, constant=0.5))
    with pytest.raises(OutputFolderError, match=r"rewards_constant: -0\.1 there, 0\.5 now"):
        encode_episodes(episodes, vision, latents, world=other)


def test_only_recordings_that_changed_are_encoded_again(episodes: Path, vision: Path, tmp_path: Path):
    folder, out = tmp_path / "episodes", tmp_path / "latents"
    shutil.copytree(episodes, folder)
    encode_episodes(folder, vision, out)
    names = [f"episode-{index:06d}.npz" for index in range(3)]
    before = (out / names[0]).stat().st_ino
    mended = read_episode(folder / names[1])
    write_episode(folder / names[1], replace(mended, actions=mended.actions / 2))
    (out / names[2]).write_bytes(b"")
    encode_episodes(folder, vision, out)
    assert np.array_equal(read_latents(out)[2].actions, mended.actions / 2)
    assert (out / names[0]).stat().st_ino == before
    assert len(read_latents(out)) == 6


def test_a_mirrored_drive_is_the_drive_of_mirrored_frames(vision: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    frames, actions = rng.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8), rng.random((5, 3), np.float32)
    motion = rng.random((6, 4), np.float32)
    labels = {"motion": motion, "missed": np.array([0, 0, 3, 0, np.nan], np.float32)}
    drive = Episode(frames, actions, np.zeros(5, np.float32), False, True, False, 250, 1_000_000, "test", {}, labels)
    factors = np.array([-1, 1, 1], np.float32), np.array([1, -1, -1, -1], np.float32)
    mirrored_labels = {**labels, "motion": motion * factors[1]}
    other = replace(drive, frames=frames[:, :, ::-1].copy(), actions=actions * factors[0], labels=mirrored_labels)
    for name, episode in (("a", drive), ("b", other)):
        (tmp_path / name).mkdir()
        write_episode(tmp_path / name / "episode-000000.npz", episode)
        encode_episodes(tmp_path / name, vision, tmp_path / f"latents-{name}")
    (driven, mirrored), (again, back) = (read_latents(tmp_path / f"latents-{name}") for name in "ab")
    for one, two in ((driven, back), (mirrored, again)):
        for name in ("mean", "log_variance", "actions", "progress"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        for name in ("motion", "missed"):
            np.testing.assert_array_equal(one.labels[name], two.labels[name])
    assert [each.mirrored for each in (driven, mirrored)] == [False, True]


def test_a_folder_of_other_things_is_left_alone(episodes: Path, vision: Path, tmp_path: Path):
    """Recordings and latents have the same names: encoded into their own folder, recordings would be gone."""
    recordings = tmp_path / "recordings"
    shutil.copytree(episodes, recordings)
    before = {path.name: path.read_bytes() for path in recordings.iterdir()}
    for source in (recordings, episodes):
        with pytest.raises(OutputFolderError, match=r"holds something else and no vision\.json"):
            encode_episodes(source, vision, recordings)
    assert {path.name: path.read_bytes() for path in recordings.iterdir()} == before


def test_what_was_wrong_once_may_be_put_right(episodes: Path, vision: Path, tmp_path: Path):
    for wrong, error in (
        ({"latents": 5}, BundleError),
        ({"world": replace(find(), name="Elsewhere")}, EpisodeFileError),
    ):
        with pytest.raises(error):
            encode_episodes(episodes, vision, tmp_path / "latents", **wrong)
    encode_episodes(episodes, vision, tmp_path / "latents")
    assert len(read_latents(tmp_path / "latents")) == 6


def test_a_folder_without_episodes_is_named(vision: Path, tmp_path: Path):
    for name in ("nosuchfolder", "empty"):
        with pytest.raises(ConfigError, match=f"{name}: expected .*episodes"):
            encode_episodes(tmp_path / name, vision, tmp_path / "latents")
        (tmp_path / "empty").mkdir(exist_ok=True)


def test_a_second_folder_of_recordings_is_refused_where_there_are_latents_of_a_first(
    episodes: Path, vision: Path, tmp_path: Path
):
    (tmp_path / "run").mkdir()
    first, second = (Path(shutil.copytree(episodes, tmp_path / "run" / name)) for name in ("first", "second"))
    out = encode_episodes(first, vision, tmp_path / "run" / "latents")
    with pytest.raises(OutputFolderError, match=r"episodes: '\.\./first' there, '\.\./second' now"):
        encode_episodes(second, vision, out)
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    encode_episodes(moved / "first", vision, moved / "latents")
