"""V: sizes, shapes, and a decoder whose first two layers are one linear map."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dreamgym.errors import BundleError
from dreamgym.training import save_tensors
from dreamgym.vision.vae import VAE, fold, load_vision, vae_loss
from tests.support.modules import parameter_count


def test_parameter_count_is_the_papers() -> None:
    assert parameter_count(VAE()) == 4_348_547


def test_first_transposed_convolution_as_a_product_is_the_convolution() -> None:
    model, z = VAE().double(), torch.randn(3, 32, dtype=torch.float64)
    hidden = model.expand(z)[:, :, None, None]
    expected = model.decoder(F.conv_transpose2d(hidden, model.deconv1.weight, model.deconv1.bias, stride=2))
    torch.testing.assert_close(model.decode_logits(z), expected)


def test_decoder_in_training_is_its_layers_and_so_are_its_gradients() -> None:
    model, z = VAE().double(), torch.randn(2, 32, dtype=torch.float64)
    weights = [*model.expand.parameters(), *model.deconv1.parameters(), *model.decoder.parameters()]
    hidden = F.conv_transpose2d(model.expand(z)[:, :, None, None], model.deconv1.weight, model.deconv1.bias, stride=2)
    layers, products = model.decoder(hidden), model.decode_logits(z)
    torch.testing.assert_close(products, layers)
    slopes = torch.randn_like(layers)
    wanted = torch.autograd.grad((layers * slopes).sum(), weights)
    torch.testing.assert_close(torch.autograd.grad((products * slopes).sum(), weights), wanted)
    with torch.no_grad():
        torch.testing.assert_close(model.decode_logits(z), products)


def test_decoder_in_training_stays_in_bfloat16_and_channels_last() -> None:
    model, z = VAE().to(memory_format=torch.channels_last), torch.randn(2, 32)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.decode_logits(z)
    assert logits.dtype is torch.bfloat16 and logits.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(logits.float(), model.decode_logits(z), atol=0.01, rtol=0.02)


def test_encoder_and_decoder_shapes() -> None:
    images = torch.rand(2, 3, 64, 64)
    reconstruction, mean, log_variance = VAE()(images, torch.randn(2, 32))
    assert reconstruction.shape == images.shape and 0 <= reconstruction.min() and reconstruction.max() <= 1
    assert mean.shape == log_variance.shape == (2, 32)


@pytest.mark.parametrize("latent_size", [32, 7])
def test_folded_decoder_is_the_decoder(latent_size: int) -> None:
    vision, z = VAE(latent_size), torch.randn(3, latent_size)
    folded = fold(vision)
    torch.testing.assert_close(folded.decode_logits(z), vision.decode_logits(z), atol=1e-5, rtol=1e-5)
    assert parameter_count(folded.opening) == (latent_size + 1) * 128 * 5 * 5
    assert parameter_count(folded) < 0.27 * parameter_count(vision)
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert all(parameter.requires_grad for parameter in vision.parameters())
    assert fold(folded) is folded


def test_folded_encoder_is_the_encoder_to_the_bit() -> None:
    vision, images = VAE(7), torch.rand(2, 3, 64, 64)
    for got, wanted in zip(fold(vision).encode(images), vision.encode(images), strict=True):
        assert torch.equal(got, wanted)


def test_folding_leaves_the_global_generator_alone() -> None:
    vision = VAE(7)
    before = torch.get_rng_state()
    fold(vision)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_training_and_of_a_bundle_are_loaded(tmp_path: Path) -> None:
    vision, path = VAE(7), tmp_path / "vision.safetensors"
    for written in (vision, fold(vision)):
        save_tensors(path, written.state_dict())
        loaded = load_vision(path, 7)
        assert loaded.folded is written.folded
        for name, value in written.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name
        with pytest.raises(BundleError, match=r"(?s)weights from .*size mismatch"):
            load_vision(path, 8)
    path.write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"vision\.safetensors"):
        load_vision(path, 7)


def test_vae_loss_is_summed_over_pixels_with_a_floor_on_the_divergence() -> None:
    images, reconstruction = torch.zeros(2, 3, 64, 64), torch.full((2, 3, 64, 64), 0.1)
    loss, error, kl = vae_loss(
        images, reconstruction, torch.zeros(2, 32), torch.zeros(2, 32), reconstruction_weight=2.0
    )
    torch.testing.assert_close(error, torch.tensor(0.01 * 3 * 64 * 64))
    assert kl == 0
    torch.testing.assert_close(loss, 2 * error + 0.5 * 32)
    _, _, kl = vae_loss(images, images, torch.ones(2, 32), torch.zeros(2, 32))
    torch.testing.assert_close(kl, torch.tensor(16.0))
