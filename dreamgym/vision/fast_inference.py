"""V by packed weights, as oneDNN's convolutions or as products of patches: for one frame several times as fast."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamgym.errors import DivergedError
from dreamgym.vision.fast_decoder import corner_weight, patches, place
from dreamgym.vision.packed_linear import Packed, packable
from dreamgym.vision.vae import FIRST_PICTURE, VAE, fold

__all__ = ["PackedConvolutions", "PackedDecoder", "require_finite"]


_FEW_CHANNELS = 63
"""Up to so many, a patch is many short runs of numbers, and to gather patches takes as long as to multiply them."""


class PackedConvolutions:
    """A stack of convolutions, each with its weights laid out once.

    Most are products of the patches they see: in channels-last memory a patch is a few runs of contiguous numbers, so
    to gather them takes little, and the products run at the processor's peak also for a single frame. Those with few
    channels are oneDNN's own convolutions, where torch has them. The results are the layers' up to rounding, and those
    of a frame the same to the bit whatever others there are.

    Args:
        layers: square convolutions without padding, each with a rectifier after it.
        dtype: of what the products take and give, float32 or bfloat16; sums are float32 in any case.
        side: of the images. On how many threads they will be multiplied is taken to be how many torch has now.
    """

    def __init__(self, layers: nn.Sequential, dtype: torch.dtype = torch.float32, side: int = 64) -> None:
        self._dtype = dtype
        self._layers: list[_ProductOfPatches | _Convolution] = []
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None
                weight, bias = layer.weight.detach().to(dtype), layer.bias.detach()
                convolution = _Plain(weight, bias, stride=layer.stride[0])
                self._layers.append(_fastest(convolution, side, most_channels=_FEW_CHANNELS))
                side = convolution.across(side)

    def __call__(self, images: Tensor) -> Tensor:
        """What ``layers(images).flatten(1)`` is.

        Args:
            images: float32 of shape (n, height, width, channels), contiguous.

        Returns:
            (n, features), float32.
        """
        hidden = images.to(self._dtype)
        for layer in self._layers:
            hidden = layer(hidden)
        return hidden.permute(0, 3, 1, 2).flatten(1).float()


class _Plain(NamedTuple):
    """A convolution, and perhaps a rectifier after it."""

    weight: Tensor
    """(outputs, inputs, k, k), of the type that it takes and gives."""
    bias: Tensor
    """(outputs,), float32."""
    stride: int = 1
    padding: int = 0
    rectified: bool = True

    def across(self, side: int) -> int:
        """The side of what it makes of a picture."""
        return (side + 2 * self.padding - self.weight.shape[-1]) // self.stride + 1


def _fastest(layer: _Plain, side: int, most_channels: int | None = None) -> _ProductOfPatches | _Convolution:
    """The layer for pictures of a side, of the kind that makes the same of a frame whatever others there are.

    Up to ``most_channels`` input channels, or with None, by oneDNN's convolution where that can be; with more, where
    products cannot: float32 ones always can, as :class:`~dreamgym.vision.packed_linear.Packed` pads their rows.
    """
    kinds: list[type[_ProductOfPatches | _Convolution]] = [_ProductOfPatches]
    if packable(layer.weight, _Convolution.OPERATIONS):
        few = most_channels is None or layer.weight.shape[1] <= most_channels
        kinds = [_Convolution, _ProductOfPatches] if few else [_ProductOfPatches, _Convolution]
    for kind in kinds:
        float32_product = kind is _ProductOfPatches and layer.weight.dtype is torch.float32
        if float32_product or _frames_are_alike(kind, layer, side):
            return kind(layer)
    return _ProductOfPatches(layer)


def _frames_are_alike(kind: type[_ProductOfPatches | _Convolution], layer: _Plain, side: int) -> bool:
    """Whether this processor makes the same of a frame alone as among others: tried, for they differ.

    Each frame is of one colour, and one half of a kernel takes away what the other half adds. What is left is the
    rounding of the sums, which shows the order of summation; in whole sums bfloat16 would hide most of it.
    """
    taps = layer.weight.flatten(2)
    half, rest = taps.shape[2] // 2, taps.shape[2] % 2
    weight = F.pad(torch.cat([taps[..., :half], -taps[..., :half]], 2), (0, rest)).view_as(layer.weight)
    trial = kind(layer._replace(weight=weight, bias=torch.zeros_like(layer.bias), rectified=False))
    colours = torch.randn(16, 1, 1, taps.shape[1], generator=torch.Generator().manual_seed(0)).to(weight.dtype)
    images = colours.repeat(1, side, side, 1)
    together = trial(images)
    return all(torch.equal(trial(images[-count:].clone()), together[-count:]) for count in range(1, 16))


class _ProductOfPatches:
    """A convolution, (n, side, side, channels) -> (n, across, across, outputs), contiguous."""

    def __init__(self, layer: _Plain) -> None:
        self._kernel, self._stride, self._padding = layer.weight.shape[-1], layer.stride, layer.padding
        weight = layer.weight.permute(0, 2, 3, 1).flatten(1)  # (outputs, k * k * inputs)
        self._product = Packed(weight.contiguous(), layer.bias, layer.rectified)

    def __call__(self, images: Tensor) -> Tensor:
        if self._padding:
            images = F.pad(images, (0, 0, *[self._padding] * 4))
        count, side = images.shape[:2]
        across = (side - self._kernel) // self._stride + 1
        return self._product.alike(patches(images, self._kernel, self._stride)).view(count, across, across, -1)


class _Convolution:
    """The same by oneDNN's convolution, which takes every number where it is."""

    OPERATIONS = ("_reorder_convolution_weight", "_convolution_pointwise", "_is_mkldnn_bf16_supported")

    def __init__(self, layer: _Plain) -> None:
        self._layer = layer
        self._places = [layer.padding] * 2, [layer.stride] * 2, [1, 1], 1  # and dilation and groups
        self._bias = layer.bias.to(layer.weight.dtype)
        weight = layer.weight.contiguous(memory_format=torch.channels_last)
        self._packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._places, None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Without oneDNN's layout, as in :class:`~dreamgym.vision.packed_linear.Packed`."""
        return _Convolution, (self._layer,)

    def __call__(self, images: Tensor) -> Tensor:
        after = "relu" if self._layer.rectified else "none"
        convolve = torch.ops.mkldnn._convolution_pointwise
        made: Tensor = convolve(images.permute(0, 3, 1, 2), self._packed, self._bias, *self._places, after, [], "")
        return made.permute(0, 2, 3, 1).contiguous()


class PackedDecoder:
    """V's decoder without its sigmoid, up to rounding.

    Each picture is the same to the bit whatever others there are.

    Its transposed convolutions are plain ones of kernel 3, see :mod:`dreamgym.vision.fast_decoder`.

    Args:
        vision: V; its weights are copied.
    """

    def __init__(self, vision: VAE) -> None:
        folded = fold(vision)
        channels, self._side, _ = FIRST_PICTURE
        with torch.no_grad():
            # Outputs by channel, row and column become those of a picture with its channels innermost.
            inner = torch.arange(channels * self._side**2).view(channels, -1).T.flatten()
            opening = folded.opening
            self._first = Packed(opening.weight[inner], opening.bias[inner], rectified=True)
            layers = [each for each in folded.decoder if isinstance(each, nn.ConvTranspose2d)]
            self._layers: list[tuple[_ProductOfPatches | _Convolution, int]] = []
            side = self._side
            for layer in layers:
                self._layers.append((_doubling(layer, side, layer is not layers[-1]), layer.kernel_size[0]))
                side = 2 * side - 2 + layer.kernel_size[0]

    def __call__(self, z: Tensor) -> Tensor:
        """Pixels before the sigmoid, (n, Z) -> (n, 64, 64, 3)."""
        hidden = self._first.alike(z).view(len(z), self._side, self._side, -1)
        for corners, kernel in self._layers:
            hidden = place(corners(hidden), kernel).contiguous()
        return hidden


def _doubling(layer: nn.ConvTranspose2d, side: int, rectified: bool) -> _ProductOfPatches | _Convolution:
    """A transposed convolution of stride 2 as a plain one; see :mod:`dreamgym.vision.fast_decoder`."""
    assert layer.bias is not None
    weight = corner_weight(layer.weight).permute(0, 3, 1, 2)
    return _fastest(_Plain(weight, layer.bias.repeat(4), padding=2, rectified=rectified), side)


def require_finite(vision: VAE) -> None:
    """Raise :class:`~dreamgym.errors.DivergedError` unless every weight of V's is finite."""
    # Once, since oneDNN's rectifier makes a zero of NaN: the pictures would be wrong and nothing would tell.
    for name, value in vision.state_dict().items():
        if not torch.isfinite(value).all():
            raise DivergedError(f"V's {name} has values that are not finite; load or train the weights again")
