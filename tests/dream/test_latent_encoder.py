"""V and M run along with reality: noise, independence of rows, and numbers that are not finite."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.dream.rendering import decode_frames
from dreamgym.errors import ConfigError, DivergedError, ObservationError
from dreamgym.vision.vae import VAE
from dreamgym.world_model import WorldModel
from tests.support.fake_racing import random_actions, random_frames


@pytest.fixture
def own_world_model(toy_world_model: WorldModel) -> WorldModel:
    """One whose V a test may damage."""
    return WorldModel(copy.deepcopy(toy_world_model.vision), toy_world_model.memory, toy_world_model.starts)


def test_unseeded_environments_differ(toy_world_model: WorldModel) -> None:
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    encoders = [LatentEncoder(toy_world_model) for _ in range(2)]
    for encoder in encoders:
        encoder.reset(frame)
    assert not np.isclose(encoders[0].latents(), encoders[1].latents()).any()


def test_samples_have_the_posteriors_moments(toy_world_model: WorldModel) -> None:
    count = 1200
    frame = random_frames(1)
    encoder = LatentEncoder(toy_world_model)
    encoder.reset(frame, seeds=[5])
    draws = []
    for _ in range(count):
        encoder.reset(frame)
        draws.append(encoder.latents()[0])
    mean, log_variance = toy_world_model.vision.encode(torch.from_numpy(frame).permute(0, 3, 1, 2).float() / 255)
    sigma = toy_world_model.latent_noise * torch.exp(0.5 * log_variance[0]).numpy()
    standardized = (np.stack(draws) - mean[0].numpy()) / sigma
    assert np.abs(standardized.mean(axis=0)).max() < 5 / np.sqrt(count)
    assert np.abs(standardized.std(axis=0) - 1).max() < 5 / np.sqrt(2 * count)


@pytest.mark.parametrize(
    ("num_threads", "precision"), [(1, "float32"), (2, "float32"), (1, "bfloat16"), (2, "bfloat16")]
)
def test_rows_do_not_depend_on_the_batch(
    full_size_world_model: WorldModel, threads: Callable[[int], None], num_threads: int, precision: str
) -> None:
    frames = random_frames(3, 33)
    actions = random_actions(2, 33)
    threads(num_threads)

    def run(rows: slice) -> tuple[np.ndarray, ...]:
        encoder = LatentEncoder(full_size_world_model, len(frames[0][rows]), precision=precision)
        encoder.reset(frames[0][rows], seeds=list(range(33))[rows])
        for frame, action in zip(frames[1:], actions, strict=True):
            encoder.step(frame[rows], np.ascontiguousarray(action[rows]))
        return encoder.state

    whole = run(slice(None))
    for rows in (slice(32, 33), slice(3, 5), slice(7, 10), slice(0, 17)):
        for part, alone in zip(whole, run(rows), strict=True):
            assert np.array_equal(part[rows], alone)
    assert torch.get_num_threads() == num_threads


def test_bfloat16_sees_what_float32_sees(full_size_world_model: WorldModel) -> None:
    frames, actions = random_frames(5, 16), random_actions(4, 16)

    def run(precision: str) -> np.ndarray:
        encoder = LatentEncoder(full_size_world_model, 16, latent="mean", precision=precision)
        encoder.reset(frames[0], seeds=list(range(16)))
        for frame, action in zip(frames[1:], actions, strict=True):
            encoder.step(frame, action)
        return encoder.features()

    exact, low = run("float32"), run("bfloat16")
    assert not np.array_equal(low, exact)
    for part in (slice(0, 32), slice(32, None)):  # z and h
        assert np.abs(low - exact)[:, part].max() < 0.02 * np.abs(exact[:, part]).max()


def test_encoder_is_v(full_size_world_model: WorldModel) -> None:
    vision: VAE = full_size_world_model.vision
    images = torch.rand(3, 3, 64, 64)
    features = LatentEncoder(full_size_world_model)._convolutions(images.permute(0, 2, 3, 1).contiguous())
    torch.testing.assert_close(features, vision.encoder(images).flatten(1), atol=1e-5, rtol=1e-5)


def test_weights_that_are_not_finite_are_named(own_world_model: WorldModel) -> None:
    with torch.no_grad():
        own_world_model.vision.encoder[0].bias[0] = torch.nan
    with pytest.raises(DivergedError, match=r"V's encoder\.0\.bias"):
        LatentEncoder(own_world_model)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_infinite_latent_is_an_error_and_not_clipped(own_world_model: WorldModel, sign: float) -> None:
    with torch.no_grad():
        own_world_model.vision.mean.bias[0] = sign * 3e38
        own_world_model.vision.log_variance.bias[0] = 200.0  # exp(100) is infinite
    with pytest.raises(DivergedError, match=r"environments \[0\]"):
        LatentEncoder(own_world_model).reset(random_frames(1), seeds=[0])


def test_environments_whose_latents_are_not_finite_are_named(own_world_model: WorldModel) -> None:
    frames = random_frames(2)
    with torch.no_grad():
        own_world_model.vision.encoder[6].weight.mul_(1e20)
        own_world_model.vision.mean.weight.mul_(1e25)  # infinite, or where infinities of both signs meet, NaN
    encoder = LatentEncoder(own_world_model, 2)
    with pytest.raises(DivergedError, match=r"environments \[1\].*weights"):
        encoder.reset(frames, mask=np.array([False, True]))
    healthy = LatentEncoder(WorldModel(VAE(8), own_world_model.memory, own_world_model.starts), 2)
    healthy.reset(frames)
    before = healthy.state
    healthy._convolutions, healthy._posterior = encoder._convolutions, encoder._posterior
    with pytest.raises(DivergedError, match=r"environments \[0, 1\]"):
        healthy.step(frames, np.zeros((2, 3), np.float32))
    for part, now in zip(before, healthy.state, strict=True):
        assert np.array_equal(part, now)


def test_frames_of_another_shape(toy_world_model: WorldModel) -> None:
    encoder = LatentEncoder(toy_world_model, 2)
    for frames in (np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 64, 64, 3)), np.zeros((1, 64, 64, 3), np.uint8)):
        with pytest.raises(ObservationError, match="expected"):
            encoder.reset(frames)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="num_envs"):
        LatentEncoder(toy_world_model, 0)


def test_another_precision_is_refused(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match=r"precision .*'float16'"):
        LatentEncoder(toy_world_model, precision="float16")


def test_pictures_follow_changed_weights(own_world_model: WorldModel) -> None:
    vision, z = own_world_model.vision, torch.randn(2, own_world_model.vision.latent_size)
    before = decode_frames(vision, z)
    with torch.no_grad():
        vision.decoder[-1].bias.add_(3.0)
    assert (decode_frames(vision, z) > before).any()
