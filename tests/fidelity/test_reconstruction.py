"""What V keeps of frames: all of those it draws exactly, and none of those it does not tell apart."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamgym.fidelity.held_out import SeenEpisode
from dreamgym.fidelity.reconstruction import APART, reconstruction
from dreamgym.vision.train import to_images
from dreamgym.world_model import WorldModel
from tests.support.episodes_by_hand import make_episode

STEPS = 200


class Remembers:
    """A decoder that draws what was drawn before, by the number in the first latent."""

    def __init__(self, images: Tensor) -> None:
        self._images = images

    def decode(self, z: Tensor) -> Tensor:
        return self._images[z[:, 0].long()]


def with_decoder(world_model: WorldModel, images: Tensor) -> WorldModel:
    return dataclasses.replace(world_model, vision=Remembers(images))  # type: ignore[arg-type]


@pytest.fixture
def seen(toy_world_model: WorldModel) -> SeenEpisode:
    frames = np.full((STEPS + 1, 64, 64, 3), 100, np.uint8)
    frames[1::32, :8] = 200  # a bar that comes and goes, in every second of the frames that are looked at
    episode = make_episode(STEPS, frames=frames)
    z = torch.arange(STEPS + 1.0)[:, None].expand(-1, 8)
    return SeenEpisode(episode, z, z, toy_world_model.rewards)


def kept(toy_world_model: WorldModel, seen: SeenEpisode, images: Tensor) -> dict[str, Any]:
    return reconstruction(with_decoder(toy_world_model, images), [seen])


def test_exact_pictures_keep_all(toy_world_model: WorldModel, seen: SeenEpisode) -> None:
    found = kept(toy_world_model, seen, to_images(seen.episode.frames))
    assert found["explained"] == found["explained_moving"] == pytest.approx(1.0)
    blind = kept(toy_world_model, seen, to_images(np.full_like(seen.episode.frames, 100)))
    assert blind["explained"] < 0.5
    assert blind["explained_moving"] < 0.5


def test_frames_that_are_all_alike_say_nothing(toy_world_model: WorldModel) -> None:
    frames = np.full((STEPS + 1, 64, 64, 3), 100, np.uint8)
    z = torch.arange(STEPS + 1.0)[:, None].expand(-1, 8)
    still = SeenEpisode(make_episode(STEPS, frames=frames), z, z, toy_world_model.rewards)
    found = kept(toy_world_model, still, to_images(np.full_like(frames, 101)))
    assert found["explained"] is found["explained_moving"] is None


def test_the_worst_frame_comes_first_and_moments_are_told_once(toy_world_model: WorldModel, seen: SeenEpisode) -> None:
    images = to_images(seen.episode.frames).clone()
    images[97] = 1.0
    found = kept(toy_world_model, seen, images)
    assert found["worst"][0]["frame"] == 97
    frames = sorted(entry["frame"] for entry in found["worst"])
    assert all(later - earlier >= APART for earlier, later in itertools.pairwise(frames))
