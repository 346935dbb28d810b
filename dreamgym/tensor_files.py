"""The one reader of safetensors files: bundles, controllers, weights and checkpoints.

Such files come from anywhere. What is no regular file, or too large, is refused before memory is taken; what is no
safetensors file is refused by name. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load
from torch import Tensor

from dreamgym.errors import BundleError, BundleNotFoundError

__all__ = ["parse_metadata", "parse_tensors", "read_content", "read_tensors", "require_finite_tensors"]

_LIMIT: Final = 1 << 30
"""Bytes of a file. The paper's sizes need 16 MB and a checkpoint three times that; ten times those sizes fit."""
_OTHER_KINDS: Final = {
    b"PK\x03\x04": "a zip archive, as torch.save, numpy.savez and Stable-Baselines3 write them",
    b"\x80": "a pickle",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"{": "text, such as JSON",
    b"[": "text, such as JSON",
}
"""What other files begin with."""


def read_content(path: Path, limit: int = _LIMIT) -> bytes:
    """The bytes of a regular file of a limited size.

    Raises:
        BundleNotFoundError: there is none.
        BundleError: it is a folder, a pipe or a device, larger than the limit, or cannot be read.
    """
    try:
        if not path.is_file() and path.exists():  # opening a pipe would wait, reading a device may never end
            raise BundleError(f"{path}: expected a regular file, got a folder, a pipe or a device")
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise BundleNotFoundError(
            f"{path}: expected a file, there is none; correct its name or copy it again"
        ) from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    if len(content) > limit:
        raise BundleError(f"{path}: expected at most {limit} bytes, got more")
    return content


def parse_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file's content, by key.

    Raises:
        BundleError: it is none; the message names ``path`` and, where it is known, what the content is instead.
    """
    try:
        return load(content)
    except Exception as error:  # the library has errors of its own, and torch's for sizes that do not fit
        kinds = [kind for start, kind in _OTHER_KINDS.items() if content.startswith(start)]
        if not kinds:
            raise BundleError(f"{path}: expected a safetensors file, and could not read it: {error}") from error
        raise BundleError(
            f"{path}: expected a safetensors file, got {kinds[0]}; write its tensors with "
            "safetensors.torch.save_file, where you trust the file enough to read it"
        ) from error


def parse_metadata(content: bytes) -> dict[str, str]:
    """The metadata in the content of a file that :func:`parse_tensors` has read."""
    length = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + length]).get("__metadata__") or {})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by key.

    Raises:
        BundleNotFoundError: there is no such file.
        BundleError: it is no safetensors file, or cannot be read.
    """
    return parse_tensors(read_content(path), path)


def require_finite_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise :class:`~dreamgym.errors.BundleError`, naming file and key, where a number is NaN or infinite."""
    for key, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BundleError(f"{path}: expected finite numbers, got NaN or infinity in {key}")
