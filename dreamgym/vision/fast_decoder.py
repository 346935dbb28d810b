"""V's transposed convolutions of stride 2 as products, and so as plain convolutions: what they cost in training halves.

Of a transposed convolution of stride 2 and kernel 6, two neighbouring outputs of a row see the same three inputs, by
three taps each. So it is a plain convolution of kernel 3 over the padded input with four times the outputs, one set for
each corner of a square of two by two, which are then put in their places. A kernel of 5 has zeros for its sixth taps,
and the row and column that these would add are cut off.

Pictures are (n, height, width, channels) here, contiguous.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["corner_weight", "decode_logits", "patches", "place"]


def patches(images: Tensor, kernel: int, stride: int) -> Tensor:
    """Each square patch as a row.

    (n, side, side, channels) -> (n * across * across, kernel * kernel * channels).
    """
    count, side, _, channels = images.shape
    across = (side - kernel) // stride + 1
    frame, row, column, _ = images.stride()
    shape = (count, across, across, kernel, kernel * channels)
    rows = images.as_strided(shape, (frame, stride * row, stride * column, row, 1))
    return rows.reshape(count * across**2, kernel**2 * channels)


def corner_weight(weight: Tensor) -> Tensor:
    """The plain convolution's weights from a transposed one's.

    (inputs, outputs, k, k) -> (4 outputs, 3, 3, inputs).
    """
    inputs, outputs, kernel, _ = weight.shape
    taps = F.pad(weight, (0, 6 - kernel, 0, 6 - kernel)).view(inputs, outputs, 3, 2, 3, 2)
    # Output 2 p + a is the sum over j of input p - j times tap 2 j + a; a patch has its inputs in rising order.
    return taps.flip(2, 4).permute(3, 5, 1, 2, 4, 0).reshape(4 * outputs, 3, 3, inputs)


def place(corners: Tensor, kernel: int) -> Tensor:
    """What the plain convolution gives, as a picture.

    (n, across, across, 4 outputs) -> (n, side, side, outputs).
    """
    count, across = corners.shape[:2]
    placed = corners.view(count, across, across, 2, 2, -1).transpose(2, 3).reshape(count, 2 * across, 2 * across, -1)
    side = 2 * across - (6 - kernel)
    return placed[:, :side, :side]


class _Doubling(torch.autograd.Function):
    """A transposed convolution of stride 2: forward as a plain one, backward as two products with the same patches."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        plain = corner_weight(weight).permute(0, 3, 1, 2)
        corners = F.conv2d(images.permute(0, 3, 1, 2), plain, bias.repeat(4), padding=2)
        return place(corners.permute(0, 2, 3, 1), weight.shape[2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images, weight = ctx.saved_tensors
        inputs, outputs, kernel, _ = weight.shape
        seen = patches(grad.contiguous(), kernel, 2)  # by each input
        grad_images = (seen @ weight.permute(0, 2, 3, 1).reshape(inputs, -1).T).view_as(images)
        grad_weight = (images.reshape(-1, inputs).T @ seen).view(inputs, kernel, kernel, outputs)
        return grad_images, grad_weight.permute(0, 3, 1, 2), grad.sum((0, 1, 2))


def decode_logits(first: nn.ConvTranspose2d, layers: nn.Sequential, hidden: Tensor) -> Tensor:
    """V's decoder with gradients, in the type that autocast asks for.

    Args:
        first: over a 1x1 input, hence a product.
        layers: rectifiers, and transposed convolutions of stride 2 and kernels 5 or 6.
        hidden: (B, inputs of ``first``).

    Returns:
        Pixel values before the sigmoid, (B, 3, 64, 64), in channels-last memory.
    """
    assert first.bias is not None
    side = first.kernel_size[0]
    weight = first.weight.permute(0, 2, 3, 1).flatten(1)  # of channels-last weights a view
    images: Tensor = torch.addmm(first.bias.repeat(side**2), hidden, weight).unflatten(1, (side, side, -1))
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            assert layer.bias is not None
            images = _Doubling.apply(images, layer.weight.to(images.dtype), layer.bias.to(images.dtype))  # type: ignore[no-untyped-call]
        else:
            images = layer(images)
    return images.permute(0, 3, 1, 2)
