"""V's encoder as products of patches with packed matrices: for one frame twice as fast as convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dreamgym.errors import DivergedError
from dreamgym.products import Packed
from dreamgym.vision.vae import VAE

__all__ = ["PackedConvolutions", "require_finite"]


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
            count, side, _, channels = hidden.shape
            across = (side - kernel) // stride + 1
            frame, row, column, _ = hidden.stride()
            shape = (count, across, across, kernel, kernel * channels)
            patches = hidden.as_strided(shape, (frame, stride * row, stride * column, row, 1))
            hidden = product.alike(patches.reshape(count * across**2, -1)).view(count, across, across, -1)
        return hidden.permute(0, 3, 1, 2).flatten(1)


def require_finite(vision: VAE) -> None:
    """Raise :class:`~dreamgym.errors.DivergedError` unless every weight of V's is finite."""
    # Once, since oneDNN's rectifier makes a zero of NaN: the pictures would be wrong and nothing would tell.
    for name, value in vision.state_dict().items():
        if not torch.isfinite(value).all():
            raise DivergedError(f"V's {name} has values that are not finite; load or train the weights again")
