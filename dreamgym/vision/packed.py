"""V as products of patches with packed matrices: for one frame several times as fast as by its convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamgym.errors import DivergedError
from dreamgym.products import Packed
from dreamgym.vision.vae import VAE

__all__ = ["PackedConvolutions", "PackedDecoder", "require_finite"]


class PackedConvolutions:
    """A stack of convolutions, each a product of the patches it sees with its weights, which are laid out once.

    In channels-last memory a patch is a few runs of contiguous numbers, so to gather them takes little, and the
    products run at the processor's peak also for a single frame. The results are the layers' up to rounding, and those
    of a frame the same to the bit whatever others there are.

    Args:
        layers: square convolutions without padding, each with a rectifier after it.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        self._sizes: list[tuple[int, int]] = []  # kernel and stride
        self._products: list[Packed] = []
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None
                weight = layer.weight.detach().permute(0, 2, 3, 1).flatten(1).contiguous()  # (outputs, k * k * inputs)
                self._sizes.append((layer.kernel_size[0], layer.stride[0]))
                self._products.append(Packed(weight, layer.bias.detach(), rectified=True))

    def __call__(self, images: Tensor) -> Tensor:
        """What ``layers(images).flatten(1)`` is.

        Args:
            images: float32 of shape (n, height, width, channels), contiguous.

        Returns:
            (n, features).
        """
        hidden = images
        for (kernel, stride), product in zip(self._sizes, self._products, strict=True):
            hidden = _over_patches(product, hidden, kernel, stride)
        return hidden.permute(0, 3, 1, 2).flatten(1)


def _over_patches(product: Packed, images: Tensor, kernel: int, stride: int) -> Tensor:
    """Each square patch multiplied, (n, side, side, channels) -> (n, across, across, outputs); both contiguous."""
    count, side, _, channels = images.shape
    across = (side - kernel) // stride + 1
    frame, row, column, _ = images.stride()
    shape = (count, across, across, kernel, kernel * channels)
    patches = images.as_strided(shape, (frame, stride * row, stride * column, row, 1))
    return product.alike(patches.reshape(count * across**2, -1)).view(count, across, across, -1)


class PackedDecoder:
    """V's decoder, without its sigmoid, up to rounding; each picture the same to the bit whatever others there are.

    Of a transposed convolution of stride 2 and kernel 6, two neighbouring outputs of a row see the same three inputs,
    by three taps each. So it is a plain convolution of kernel 3 over the padded input with four times the outputs, one
    set for each corner of a square of two by two, which are then put in their places. A kernel of 5 has zeros for its
    sixth taps, and the row and column that these would add are cut off.

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
            self._layers = [(_doubling(layer, layer is not layers[-1]), 6 - layer.kernel_size[0]) for layer in layers]

    def __call__(self, z: Tensor) -> Tensor:
        """Pixels before the sigmoid, (n, Z) -> (n, 64, 64, 3)."""
        hidden = self._first.alike(self._expand.alike(z)).view(len(z), self._side, self._side, -1)
        for product, surplus in self._layers:
            corners = _over_patches(product, F.pad(hidden, (0, 0, 2, 2, 2, 2)), 3, 1)
            count, across = corners.shape[:2]
            placed = corners.view(count, across, across, 2, 2, -1).transpose(2, 3).flatten(3, 4).flatten(1, 2)
            hidden = placed[:, : 2 * across - surplus, : 2 * across - surplus]
        return hidden


def _doubling(layer: nn.ConvTranspose2d, rectified: bool) -> Packed:
    """A transposed convolution of stride 2 as the product described in :class:`PackedDecoder`."""
    assert layer.bias is not None
    inputs, outputs, kernel, _ = layer.weight.shape
    taps = F.pad(layer.weight, (0, 6 - kernel, 0, 6 - kernel)).view(inputs, outputs, 3, 2, 3, 2)
    # Output 2 p + a is the sum over j of input p - j times tap 2 j + a; a patch has its inputs in rising order.
    weight = taps.flip(2, 4).permute(3, 5, 1, 2, 4, 0).reshape(4 * outputs, 9 * inputs)
    return Packed(weight.contiguous(), layer.bias.repeat(4), rectified)


def require_finite(vision: VAE) -> None:
    """Raise :class:`~dreamgym.errors.DivergedError` unless every weight of V's is finite."""
    # Once, since oneDNN's rectifier makes a zero of NaN: the pictures would be wrong and nothing would tell.
    for name, value in vision.state_dict().items():
        if not torch.isfinite(value).all():
            raise DivergedError(f"V's {name} has values that are not finite; load or train the weights again")
