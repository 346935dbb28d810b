"""Training V: what it begins with, resuming, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.config import VisionConfig
from dreamgym.data.episodes import read_episode, write_episode
from dreamgym.errors import BundleError, ConfigError, EpisodeFileError, OutputFolderError
from dreamgym.training import load_weights
from dreamgym.vision.train import train_vision
from dreamgym.vision.vae import VAE
from tests.data.test_episodes import make_episode
from tests.support.training_runs import same_weights, vision_config, whole_and_resumed

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("start_at_mean", [True, False])
def test_v_begins_with_the_frames_mean_colour_where_it_is_asked_to(tmp_path: Path, start_at_mean: bool) -> None:
    (tmp_path / "episodes").mkdir()
    colour = np.array([255, 128, 0], np.uint8)
    episode = replace(make_episode(4), frames=np.broadcast_to(colour, (5, 64, 64, 3)).copy())
    write_episode(tmp_path / "episodes" / "episode-000000.npz", episode)
    config = VisionConfig(
        episodes=(tmp_path / "episodes",),
        out=tmp_path / "vision",
        steps=1,
        batch_size=2,
        frame_stride=1,
        learning_rate=1e-9,
        latents=3,
        start_at_mean=start_at_mean,
    )
    vision = VAE(3)
    load_weights(vision, train_vision(config))
    with torch.no_grad():
        drawn = vision.decode(torch.zeros(1, 3)).mean(dim=(0, 2, 3)).numpy()
    begun = np.array([0.98, 0.5, 0.02]) if start_at_mean else np.full(3, 0.5)
    np.testing.assert_allclose(drawn, begun, atol=0.03)


def test_v_cut_off_and_resumed_is_v_to_the_bit(episodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, resumed, begun = whole_and_resumed(
        train_vision, lambda run: vision_config(episodes, tmp_path / run, steps=4), 3, monkeypatch
    )
    assert begun == [2, 3]
    assert same_weights(whole, resumed)
    logs = [(tmp_path / run / "log.jsonl").read_text() for run in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert list((tmp_path / "cut").glob("reconstructions-*.png"))


def test_a_finished_v_does_not_miss_what_it_began_with(episodes: Path, tmp_path: Path):
    begun = train_vision(vision_config(episodes, tmp_path / "begun", steps=1))
    config = replace(vision_config(episodes, tmp_path / "v", steps=1), initial=begun)
    weights = train_vision(config)
    begun.unlink()
    assert train_vision(config) == weights


def test_another_configuration_is_refused_and_the_run_left_alone(episodes: Path, tmp_path: Path):
    weights = train_vision(vision_config(episodes, tmp_path, steps=1))
    before = weights.read_bytes()
    with pytest.raises(OutputFolderError, match="steps: 1 there, 2 now"):
        train_vision(vision_config(episodes, tmp_path, steps=2))
    assert weights.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"frames": np.zeros((11, 64, 64, 3), np.float32)},
        {"frames": np.zeros((11, 96, 96, 3), np.uint8)},
        {"frames": np.zeros((11, 3, 64, 64), np.uint8)},
        {"actions": np.full((10, 3), np.nan, np.float32)},
        {"world": "Corridor"},
    ],
)
def test_frames_of_other_kinds_are_refused_before_training(episodes: Path, tmp_path: Path, change: dict[str, Any]):
    recorded = read_episode(episodes / "episode-000000.npz")
    short = replace(recorded, frames=recorded.frames[:11], actions=recorded.actions[:10], rewards=recorded.rewards[:10])
    (tmp_path / "data").mkdir()
    write_episode(tmp_path / "data" / "episode-000007.npz", replace(short, **change))
    with pytest.raises(EpisodeFileError, match=r"episode-000007\.npz: expected"):
        train_vision(vision_config(tmp_path / "data", tmp_path / "run", steps=1))


def test_a_damaged_checkpoint_is_refused_by_name(episodes: Path, tmp_path: Path):
    weights = train_vision(vision_config(episodes, tmp_path, steps=2))
    weights.unlink()
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(BundleError, match=r"checkpoint\.safetensors: expected a safetensors file"):
        train_vision(vision_config(episodes, tmp_path, steps=2))


@pytest.mark.parametrize("name", ["nosuchfolder", "empty"])
def test_a_folder_without_episodes_among_those_of_v_is_named(episodes: Path, tmp_path: Path, name: str):
    (tmp_path / "empty").mkdir()
    config = replace(vision_config(episodes, tmp_path / "run", steps=1), episodes=(episodes, tmp_path / name))
    with pytest.raises(ConfigError, match=f"{name}: expected .*episodes"):
        train_vision(config)
