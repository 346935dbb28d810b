"""V's packed convolutions and decoder against V itself."""

from __future__ import annotations

import pickle

import pytest
import torch

from dreamgym.vision import fast_inference as packed
from dreamgym.vision.fast_inference import PackedConvolutions, PackedDecoder
from dreamgym.vision.vae import VAE
from dreamgym.world_model import WorldModel


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_convolutions_by_onednn_and_by_patches_are_the_same(
    full_size_world_model: WorldModel, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.rand(3, 64, 64, 3)
    fast = PackedConvolutions(full_size_world_model.vision.encoder, dtype)
    if not isinstance(fast._layers[0], packed._Convolution):
        pytest.skip("oneDNN does not convolve here")
    monkeypatch.setattr(packed, "_FEW_CHANNELS", 0)
    plain = PackedConvolutions(full_size_world_model.vision.encoder, dtype)
    tolerance = 1e-5 if dtype is torch.float32 else 0.02
    torch.testing.assert_close(fast(images), plain(images), atol=tolerance, rtol=tolerance)
    assert torch.equal(pickle.loads(pickle.dumps(fast))(images), fast(images))


def test_packed_decoder_is_v(full_size_world_model: WorldModel) -> None:
    vision: VAE = full_size_world_model.vision
    z = torch.randn(5, 32)
    pictures = PackedDecoder(vision)(z)
    torch.testing.assert_close(pictures.permute(0, 3, 1, 2), vision.decode_logits(z), atol=1e-5, rtol=1e-5)


def test_packed_decoder_is_the_same_by_onednn_and_by_patches(
    full_size_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, fast = torch.randn(5, 32), PackedDecoder(full_size_world_model.vision)
    if not isinstance(fast._layers[0][0], packed._Convolution):
        pytest.skip("oneDNN does not convolve here")
    monkeypatch.setattr(packed, "packable", lambda *_: False)
    plain = PackedDecoder(full_size_world_model.vision)
    torch.testing.assert_close(fast(z), plain(z), atol=1e-5, rtol=1e-5)
    assert torch.equal(pickle.loads(pickle.dumps(fast))(z), fast(z))
