"""Training V: what it begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamgym.config import VisionConfig
from dreamgym.data.episodes import write_episode
from dreamgym.training import load_weights
from dreamgym.vision.train import train_vision
from dreamgym.vision.vae import VAE
from tests.data.test_episodes import make_episode


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
