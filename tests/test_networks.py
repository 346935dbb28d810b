"""V and M: sizes, order of a step, and shapes."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.vision.vae import VAE, vae_loss


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_papers():
    assert parameter_count(VAE()) == 4_348_547
    memory = MDNRNN()
    assert memory.factor_head is not None
    added = (memory.progress_head, memory.termination_head, memory.missed_head, memory.factor_head)
    assert parameter_count(memory) - sum(map(parameter_count, added)) == 422_368
    assert parameter_count(MDNRNN(factors=0)) == 422_368 + 3 * 257


def test_first_transposed_convolution_as_a_product_is_the_convolution():
    model, z = VAE().double(), torch.randn(3, 32, dtype=torch.float64)
    hidden = model.expand(z)[:, :, None, None]
    expected = model.decoder(F.conv_transpose2d(hidden, model.deconv1.weight, model.deconv1.bias, stride=2))
    torch.testing.assert_close(model.decode_logits(z), expected)


def test_decoder_in_training_is_its_layers_and_so_are_its_gradients():
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


def test_decoder_in_training_stays_in_bfloat16_and_channels_last():
    model, z = VAE().to(memory_format=torch.channels_last), torch.randn(2, 32)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.decode_logits(z)
    assert logits.dtype is torch.bfloat16 and logits.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(logits.float(), model.decode_logits(z), atol=0.01, rtol=0.02)


def test_encoder_and_decoder_shapes():
    images = torch.rand(2, 3, 64, 64)
    reconstruction, mean, log_variance = VAE()(images, torch.randn(2, 32))
    assert reconstruction.shape == images.shape and 0 <= reconstruction.min() and reconstruction.max() <= 1
    assert mean.shape == log_variance.shape == (2, 32)


def test_vae_loss_is_summed_over_pixels_with_a_floor_on_the_divergence():
    images, reconstruction = torch.zeros(2, 3, 64, 64), torch.full((2, 3, 64, 64), 0.1)
    loss, error, kl = vae_loss(
        images, reconstruction, torch.zeros(2, 32), torch.zeros(2, 32), reconstruction_weight=2.0
    )
    torch.testing.assert_close(error, torch.tensor(0.01 * 3 * 64 * 64))
    assert kl == 0
    torch.testing.assert_close(loss, 2 * error + 0.5 * 32)
    _, _, kl = vae_loss(images, images, torch.ones(2, 32), torch.zeros(2, 32))
    torch.testing.assert_close(kl, torch.tensor(16.0))


def test_lstm_is_torchs_with_one_bias():
    model = MDNRNN(latent_size=4, hidden_size=6)
    reference = nn.LSTM(7, 6, batch_first=True)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(model.input_weight)
        reference.weight_hh_l0.copy_(model.recurrent_weight)
        reference.bias_ih_l0.copy_(model.bias)
        reference.bias_hh_l0.zero_()
    z, action = torch.randn(3, 5, 4), torch.randn(3, 5, 3)
    hidden, state = model(z, action)
    expected, (h, c) = reference(torch.cat([z, action], dim=2))
    torch.testing.assert_close(hidden, expected)
    torch.testing.assert_close(state.h, h[0])
    torch.testing.assert_close(state.c, c[0])


def test_stepping_equals_running_over_the_sequence():
    model = MDNRNN(latent_size=4, hidden_size=6)
    z, action = torch.randn(3, 5, 4), torch.randn(3, 5, 3)
    state = model.initial_state(3)
    for step in range(5):
        state = model.step(z[:, step], action[:, step], state)
    hidden, last = model(z, action)
    torch.testing.assert_close(state.h, hidden[:, -1])
    torch.testing.assert_close(state.c, last.c)


def test_prediction_shapes_and_signs():
    model = MDNRNN(latent_size=4, hidden_size=6, mixtures=2)
    prediction = model.predict(torch.randn(3, 5, 6))
    assert prediction.mixture.shape == (3, 5, 3, 2, 4)
    assert prediction.progress.shape == prediction.termination_logit.shape == (3, 5)
    assert (prediction.progress >= 0).all()
    assert prediction.loadings.shape == (3, 5, 4, 4)
    assert model.missed_logit(torch.randn(3, 5, 6)).shape == (3, 5)
    alone = MDNRNN(latent_size=4, hidden_size=6, factors=0)
    assert alone.predict(torch.randn(3, 5, 6)).loadings.shape == (3, 5, 0, 4)
