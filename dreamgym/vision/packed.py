"""V as products of patches with packed matrices: for one frame several times as fast as by its convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamgym.errors import DivergedError
from dreamgym.products import Packed, packable
from dreamgym.vision.doubling import corner_weight, patches, place
from dreamgym.vision.vae import VAE

__all__ = ["PackedConvolutions", "PackedDecoder", "require_finite"]


_MANY_CHANNELS = 64
"""With fewer, a patch is many short runs of numbers, and to gather patches takes as long as to multiply them."""


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
                self._layers.append(_fastest(layer, dtype, side))
                side = (side - layer.kernel_size[0]) // layer.stride[0] + 1

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


def _fastest(layer: nn.Conv2d, dtype: torch.dtype, side: int) -> _ProductOfPatches | _Convolution:
    if layer.in_channels < _MANY_CHANNELS and packable(layer.weight.to(dtype), _Convolution.OPERATIONS):
        convolution = _Convolution(layer, dtype)
        if convolution.frames_are_alike(side):
            return convolution
    return _ProductOfPatches(layer, dtype)


class _ProductOfPatches:
    """A convolution and its rectifier, (n, side, side, channels) -> (n, across, across, outputs), contiguous."""

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype) -> None:
        assert layer.bias is not None
        self._kernel, self._stride = layer.kernel_size[0], layer.stride[0]
        weight = layer.weight.detach().permute(0, 2, 3, 1).flatten(1).to(dtype)  # (outputs, k * k * inputs)
        self._product = Packed(weight.contiguous(), layer.bias.detach(), rectified=True)

    def __call__(self, images: Tensor) -> Tensor:
        return _over_patches(self._product, images, self._kernel, self._stride)


class _Convolution:
    """The same by oneDNN's convolution, which takes every number where it is."""

    OPERATIONS = ("_reorder_convolution_weight", "_convolution_pointwise", "_is_mkldnn_bf16_supported")

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype) -> None:
        assert layer.bias is not None
        self._weight = layer.weight.detach().to(dtype, memory_format=torch.channels_last)
        self._bias = layer.bias.detach().to(dtype)
        self._stride = layer.stride[0]
        self._pack()

    def _pack(self) -> None:
        pack, stride = torch.ops.mkldnn._reorder_convolution_weight, self._stride
        self._packed = pack(self._weight, [0, 0], [stride, stride], [1, 1], 1, None)

    def __getstate__(self) -> tuple[Tensor, Tensor, int]:
        """Without oneDNN's layout, as in :class:`~dreamgym.products.Packed`."""
        return self._weight, self._bias, self._stride

    def __setstate__(self, state: tuple[Tensor, Tensor, int]) -> None:
        self._weight, self._bias, self._stride = state
        self._pack()

    def __call__(self, images: Tensor) -> Tensor:
        pixels, strides = images.permute(0, 3, 1, 2), [self._stride, self._stride]
        convolve = torch.ops.mkldnn._convolution_pointwise
        made: Tensor = convolve(pixels, self._packed, self._bias, [0, 0], strides, [1, 1], 1, "relu", [], "")
        return made.permute(0, 2, 3, 1).contiguous()

    def frames_are_alike(self, side: int) -> bool:
        """Whether this processor makes the same of a frame alone as among others: tried, for they differ."""
        generator = torch.Generator().manual_seed(0)
        channels = self._weight.shape[1]
        images = torch.randn(16, side, side, channels, generator=generator).to(self._weight.dtype)
        together = self(images)
        return all(torch.equal(self(images[-count:].clone()), together[-count:]) for count in range(1, 16))


def _over_patches(product: Packed, images: Tensor, kernel: int, stride: int) -> Tensor:
    """Each square patch multiplied, (n, side, side, channels) -> (n, across, across, outputs); both contiguous."""
    count, side = images.shape[:2]
    across = (side - kernel) // stride + 1
    return product.alike(patches(images, kernel, stride)).view(count, across, across, -1)


class PackedDecoder:
    """V's decoder, without its sigmoid, up to rounding; each picture the same to the bit whatever others there are.

    Its transposed convolutions are plain ones of kernel 3, see :mod:`dreamgym.vision.doubling`.

    Args:
        vision: V; its weights are copied.
    """

    def __init__(self, vision: VAE) -> None:
        with torch.no_grad():
            self._expand = Packed(vision.expand.weight.clone(), vision.expand.bias.clone())
            first, *layers = (
                vision.deconv1,
                *(each for each in vision.decoder if isinstance(each, nn.ConvTranspose2d)),
            )
            assert first.bias is not None
            self._side = first.kernel_size[0]  # of what it makes of one number a channel
            weight = first.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()  # (side * side * outputs, inputs)
            self._first = Packed(weight, first.bias.repeat(self._side**2), rectified=True)
            self._layers = [(_doubling(layer, layer is not layers[-1]), layer.kernel_size[0]) for layer in layers]

    def __call__(self, z: Tensor) -> Tensor:
        """Pixels before the sigmoid, (n, Z) -> (n, 64, 64, 3)."""
        hidden = self._first.alike(self._expand.alike(z)).view(len(z), self._side, self._side, -1)
        for product, kernel in self._layers:
            corners = _over_patches(product, F.pad(hidden, (0, 0, 2, 2, 2, 2)), 3, 1)
            hidden = place(corners, kernel)
        return hidden


def _doubling(layer: nn.ConvTranspose2d, rectified: bool) -> Packed:
    """A transposed convolution of stride 2 as the product described in :class:`PackedDecoder`."""
    assert layer.bias is not None
    return Packed(corner_weight(layer.weight).flatten(1), layer.bias.repeat(4), rectified)


def require_finite(vision: VAE) -> None:
    """Raise :class:`~dreamgym.errors.DivergedError` unless every weight of V's is finite."""
    # Once, since oneDNN's rectifier makes a zero of NaN: the pictures would be wrong and nothing would tell.
    for name, value in vision.state_dict().items():
        if not torch.isfinite(value).all():
            raise DivergedError(f"V's {name} has values that are not finite; load or train the weights again")
