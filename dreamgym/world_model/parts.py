"""The parts of a bundle, made of its tensors: right in keys, shapes, dtypes and values, or refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dreamgym.errors import BundleError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT
from dreamgym.worlds.base import ActionSet

if TYPE_CHECKING:
    from dreamgym.controller.linear import LinearController

__all__ = ["StartBank", "controller_of", "fill", "start_bank_of"]


@dataclass(frozen=True)
class StartBank:
    """Real moments that a dream may begin at; N of them, float32 tensors."""

    z: Tensor
    """(N, latent_size), within +-10."""
    h: Tensor
    """(N, hidden_size), within +-1; zero at the start."""
    c: Tensor
    """(N, hidden_size)."""
    progress: Tensor
    """Share already made of what completes an episode, in [0, 1], (N,)."""
    at_start: Tensor
    """Whether the moment is the true start of an episode, bool (N,)."""
    hard: Tensor
    """Whether it is one of the world's hard moments, bool (N,)."""

    def __len__(self) -> int:
        return len(self.z)

    def to(self, device: torch.device | str) -> StartBank:
        """The bank on a device."""
        return StartBank(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def _require(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[tuple[int, ...], tuple[torch.dtype, ...]]], path: Path
) -> None:
    """Keys, shapes, dtypes and finiteness, or a BundleError that says which."""
    missing, unexpected = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or unexpected:
        raise BundleError(f"{path}: missing keys {missing}, unexpected keys {unexpected}")
    for key, (shape, dtypes) in wanted.items():
        got = tensors[key]
        if tuple(got.shape) != shape or got.dtype not in dtypes:
            either = " or ".join(map(str, dtypes))
            raise BundleError(f"{path}: expected {key} as {either} of {shape}, got {got.dtype} of {tuple(got.shape)}")
        if got.is_floating_point() and not torch.isfinite(got).all():
            raise BundleError(f"{path}: expected finite numbers, got NaN or infinity in {key}")


def fill(module: nn.Module, tensors: Mapping[str, Tensor], dtypes: tuple[torch.dtype, ...], path: Path) -> None:
    """Give a module its weights, in float32, and make it ready for use.

    Args:
        module: V or M.
        tensors: its weights, by name.
        dtypes: those that the file may have.
        path: of the file, for messages.

    Raises:
        BundleError: other keys, shapes or dtypes, or values that are not finite.
    """
    _require(tensors, {key: (tuple(value.shape), dtypes) for key, value in module.state_dict().items()}, path)
    module.load_state_dict({key: value.float() for key, value in tensors.items()}, assign=True)
    module.eval().requires_grad_(False)


def start_bank_of(
    tensors: Mapping[str, Tensor], sizes: Mapping[str, int], halves: Sequence[str], path: Path
) -> StartBank:
    """Start states of a file's tensors; ``halves`` names those in float16.

    Raises:
        BundleError: other keys, shapes or dtypes, values out of range, or none at all.
    """
    count = len(tensors["z"]) if "z" in tensors and tensors["z"].ndim else 0
    z, h = (count, sizes["latent_size"]), (count, sizes["hidden_size"])
    shapes: dict[str, tuple[int, ...]] = {"z": z, "h": h, "c": h, "progress": (count,)}
    wanted = {key: (shape, (torch.float16 if key in halves else torch.float32,)) for key, shape in shapes.items()}
    _require(tensors, wanted | dict.fromkeys(("at_start", "hard"), ((count,), (torch.bool,))), path)
    if not count:
        raise BundleError(f"{path}: expected at least one start state, got none")
    # Rewards may be negative, and so progress before a moment.
    for key, low, high in (("z", -LATENT_LIMIT, LATENT_LIMIT), ("h", -1.0, 1.0), ("progress", -math.inf, 1.0)):
        if not ((tensors[key] >= low) & (tensors[key] <= high)).all():
            bounds = f"at most {high}" if low == -math.inf else f"within {low} .. {high}"
            raise BundleError(f"{path}: expected {key} {bounds}, got values outside")
    return StartBank(**{key: value.float() if key in shapes else value for key, value in tensors.items()})


def controller_of(
    tensors: Mapping[str, Tensor], sizes: Mapping[str, int], actions: ActionSet, path: Path
) -> LinearController:
    """The controller of a file's tensors.

    Raises:
        BundleError: other keys, shapes or dtypes, or values that are not finite.
    """
    from dreamgym.controller.linear import LinearController

    count, observation = sizes["action_size"], sizes["latent_size"] + sizes["hidden_size"]
    dtypes = (torch.float32,)
    _require(tensors, {"weights": ((count, observation), dtypes), "bias": ((count,), dtypes)}, path)
    return LinearController(tensors["weights"].numpy(), tensors["bias"].numpy(), actions.squash)
