"""Encoded episodes on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dreamgym.data.episodes import read_arrays, write_arrays
from dreamgym.data.latents import STAMP, LatentEpisode, read_latents, require_same_vision
from dreamgym.errors import ConfigError, EpisodeFileError
from dreamgym.worlds.registry import find

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mean", lambda a: a[:, :7], r"log_variance as float16 of shape \(21, 7\), got float16 of \(21, 32\)"),
        ("log_variance", lambda a: a.astype(np.float32), "got float32"),
        ("progress", lambda a: a * np.nan, "NaN or infinity in progress"),
        ("actions", lambda a: a + 3, "expected actions of CarRacing within"),
        ("actions", lambda a: a[:-1], r"mean as float16 of shape \(20, 32\)"),
        ("failed", lambda a: np.array([a, a]), "failed as bool"),
        ("mirrored_mean", lambda a: a[:3], "mirrored_mean"),
    ],
)
def test_damaged_latents_are_refused_by_name(
    latents: Path, tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
):
    path = latents / "episode-000000.npz"
    arrays = read_arrays(path)
    write_arrays(tmp_path / path.name, {**arrays, name: change(arrays[name])})
    with pytest.raises(EpisodeFileError, match=message):
        read_latents(tmp_path)


def test_a_folder_without_latents_among_others_is_named(latents: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for name, error in (("empty", ConfigError), ("nosuchfolder", EpisodeFileError)):
        with pytest.raises(error, match=f"{name}: expected .*episodes"):
            read_latents(latents, tmp_path / name)


def test_latents_are_drawn_with_a_share_of_vs_noise():
    steps = 20_000
    mean = np.full((steps + 1, 2), 0.5, np.float16)
    log_variance = np.tile(np.array([0.0, -2.0], np.float16), (steps + 1, 1))
    nothing = np.zeros(steps, np.float32)
    episode = LatentEpisode(Path(), mean, log_variance, nothing[:, None], nothing, False, 1.0)
    drawn = episode.sample(np.random.default_rng(0), 0.5)
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(drawn.std(axis=0), 0.5 * np.exp([0.0, -1.0]), rtol=0.03)
    np.testing.assert_array_equal(episode.sample(np.random.default_rng(0), 0.0, 5, 9), mean[5:9])


def test_latents_of_two_vs_are_not_read_together(latents: Path, tmp_path: Path):
    path = latents / "episode-000000.npz"
    sized = ("mean", "log_variance", "mirrored_mean", "mirrored_log_variance")
    narrow = {name: array[:, :7] if name in sized else array for name, array in read_arrays(path).items()}
    write_arrays(tmp_path / path.name, narrow)
    assert read_latents(tmp_path)[0].mean.shape[1] == 7  # alone they are as good as any
    with pytest.raises(EpisodeFileError, match=r"mean as float16 of shape \(21, 32\), got float16 of \(21, 7\)"):
        read_latents(latents, tmp_path)


def test_latents_of_another_v_or_world_are_refused_by_what_their_folder_says(
    latents: Path, vision: Path, tmp_path: Path
):
    world = find()
    require_same_vision([latents, latents], world, vision)
    (tmp_path / "unsaid").mkdir()
    require_same_vision([tmp_path / "unsaid", latents], world, None)
    made_of = json.loads((latents / STAMP).read_text())
    for name, change, said in (
        ("other", {"sha256": "0" * 64}, f"expected latents made by the V of {latents}, got another's"),
        ("doom", {"world": "DoomTakeCover"}, "expected latents of CarRacing, got those of 'DoomTakeCover'"),
    ):
        other = tmp_path / name
        other.mkdir()
        (other / STAMP).write_text(json.dumps({**made_of, **change}))
        with pytest.raises(EpisodeFileError, match=said):
            require_same_vision([latents, other], world, None)
    with pytest.raises(EpisodeFileError, match=f"made by the V of {vision}, got another's"):
        require_same_vision([tmp_path / "other"], world, vision)
