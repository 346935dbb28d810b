"""V's, M's and C's weights as plain arrays, in forms that other runtimes take."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.vision.vae import FIRST_PICTURE, VAE, fold

__all__ = ["Convolution", "deconvolutions", "gates", "heads", "opening"]

Array = NDArray[np.float32]


class Convolution(NamedTuple):
    """A transposed convolution of stride 2 without padding."""

    weight: Array
    """(inputs, outputs, kernel, kernel)."""
    bias: Array
    """(outputs,)."""


def gates(memory: MDNRNN) -> tuple[Array, Array]:
    """From [z | h | a] to the LSTM's gates.

    In the order i, f, g, o: weight (Z + H + A, 4 H) and bias (4 H,).
    """
    z, a = memory.input_weight.split([memory.latent_size, memory.action_size], dim=1)
    return _array(torch.cat([z, memory.recurrent_weight, a], dim=1).T), _array(memory.bias)


def heads(memory: MDNRNN) -> tuple[Array, Array]:
    """From h to all head outputs of M.

    Weight (H, (3 K + F) Z + 2) and bias.

    The outputs are the mixture (3, K, Z), the loadings (F, Z), the reward head (zeros where there is none) and the
    termination logit.
    """
    silent = memory.bias.new_zeros(1, memory.hidden_size), memory.bias.new_zeros(1)
    factors = [] if memory.factor_head is None else [_map(memory.factor_head)]
    reward = silent if memory.reward_head is None else _map(memory.reward_head)
    weights, biases = zip(_map(memory.mixture_head), *factors, reward, _map(memory.termination_head), strict=True)
    return _array(torch.cat(weights).T), _array(torch.cat(biases))


def opening(vision: VAE) -> tuple[Array, Array]:
    """From z to the first picture before its rectifier, (C, k, k).

    Weight (Z, C, k, k) and bias (C, k, k).
    """
    linear = fold(vision).opening
    return _array(linear.weight.T.unflatten(1, FIRST_PICTURE)), _array(linear.bias.unflatten(0, FIRST_PICTURE))


def deconvolutions(vision: VAE) -> list[Convolution]:
    """The decoder's transposed convolutions after the first; a rectifier is before each."""
    layers = [layer for layer in vision.decoder if isinstance(layer, nn.ConvTranspose2d)]
    return [Convolution(_array(layer.weight), _array(layer.bias)) for layer in layers]


def _map(head: nn.Linear) -> tuple[Tensor, Tensor]:
    return head.weight, head.bias


def _array(value: Tensor | None) -> Array:
    assert value is not None
    return np.ascontiguousarray(value.detach().cpu().float().numpy())
