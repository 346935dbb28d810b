"""Products of rows with a fixed matrix, by oneDNN where torch has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamgym.threads import single_thread

__all__ = ["PADDING", "Packed", "packable"]

PADDING: Final = 16
"""Rows of a product do not depend on their number from here up, whoever computes it."""

_OPERATIONS: Final = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")


class Packed:
    """A matrix to multiply rows by, laid out once for oneDNN where torch has it.

    oneDNN's products are faster than those of ``torch.mm``: twice in float32 on AMD, where MKL leaves half of every
    vector empty, and a few per cent in bfloat16 for not packing the matrix anew in every step.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), float32, added to each row's product.
        rectified: whether negative results become 0.
    """

    @single_thread()  # as the products will be computed
    def __init__(self, weight: Tensor, bias: Tensor | None = None, rectified: bool = False) -> None:
        self._weight, self._bias, self._rectified = weight, bias, rectified
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, None) if packable(weight, _OPERATIONS) else None
        self.padding = 1 if self._packed is not None and self._rows_are_alike() else PADDING
        """How many rows to multiply at least for a row to come out the same to the bit whatever their number."""

    def __getstate__(self) -> tuple[Tensor, Tensor | None, bool]:
        """oneDNN's layout can be neither pickled nor copied, and belongs to this machine: a copy packs for itself."""
        return self._weight, self._bias, self._rectified

    def __setstate__(self, state: tuple[Tensor, Tensor | None, bool]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs), of the weight's type."""
        if self._packed is None:
            product = torch.mm(rows, self._weight.T)
            product = product if self._bias is None else product.add_(self._bias)
            return product.relu_() if self._rectified else product
        after = "relu" if self._rectified else "none"
        linear: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self._bias, after, [], "")
        return linear

    def alike(self, rows: Tensor) -> Tensor:
        """As a call, with each row independent of the others, to the bit."""
        count = len(rows)
        return self(F.pad(rows, (0, 0, 0, -count % self.padding)))[:count] if count % self.padding else self(rows)

    def _rows_are_alike(self) -> bool:
        """Whether this processor gives a row the same product alone as among others: tried, for they differ."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(3 * PADDING, self._weight.shape[1], generator=generator).to(self._weight.dtype)
        together = self(rows)
        return all(torch.equal(self(rows[-count:].clone()), together[-count:]) for count in range(1, PADDING + 1))


def packable(weight: Tensor, operations: Iterable[str]) -> bool:
    """Whether oneDNN is there for such weights, and torch has these operations of its."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in operations):
        return False
    if weight.dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype is torch.float32
