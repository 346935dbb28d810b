"""Floating-point operations of the networks' products: each weight times and plus, as often as it is used."""

from __future__ import annotations

import torch

from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.vision.vae import FIRST_PICTURE, IMAGE_SIZE, VAE, fold

__all__ = ["decode_flop", "encode_flop", "step_flop"]


def step_flop(memory: MDNRNN) -> float:
    """Of one step of one environment, which does not ask what was missed."""
    unasked = sum(parameter.numel() for parameter in memory.event_head.parameters())
    return 2.0 * (sum(parameter.numel() for parameter in memory.parameters()) - unasked)


def encode_flop(vision: VAE) -> float:
    """Of encoding one frame."""
    total, size = 0, IMAGE_SIZE
    for layer in vision.encoder:
        if isinstance(layer, torch.nn.Conv2d):
            size = (size - layer.kernel_size[0]) // layer.stride[0] + 1
            total += layer.weight.numel() * size * size
    return 2.0 * (total + vision.mean.weight.numel() + vision.log_variance.weight.numel())


def decode_flop(vision: VAE) -> float:
    """Of decoding one frame; a transposed convolution uses its weights once for each pixel that it reads."""
    total, size = fold(vision).opening.weight.numel(), FIRST_PICTURE[1]
    for layer in vision.decoder:
        if isinstance(layer, torch.nn.ConvTranspose2d):
            total += layer.weight.numel() * size * size
            size = (size - 1) * layer.stride[0] + layer.kernel_size[0]
    return 2.0 * total
