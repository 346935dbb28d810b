"""What tests ask of a torch module."""

from __future__ import annotations

from torch import nn


def parameter_count(module: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(parameter.numel() for parameter in module.parameters())
