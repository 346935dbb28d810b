"""The files of a world-model bundle: reading them with every byte verified, and replacing them as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from safetensors.torch import save
from torch import Tensor

from dreamgym.errors import BundleError, OutputFolderError
from dreamgym.files import foreign, write_bytes
from dreamgym.tensor_files import parse_tensors, read_content

__all__ = [
    "CONTROLLER",
    "FORMATS_READ",
    "FORMAT_VERSION",
    "MEMORY",
    "STARTS",
    "VISION",
    "lossless",
    "read_bundle",
    "require_bundle_or_nothing",
    "write_bundle",
]

FORMAT_VERSION: Final = 5
FORMATS_READ: Final = (3, 4, FORMAT_VERSION)
"""3 is of CarRacing alone: its card has neither actions nor rewards. Both former ones have V unfolded, and M and the
start states in float32."""
CARD: Final = "card.json"
VISION: Final = "vision.safetensors"
MEMORY: Final = "memory.safetensors"
STARTS: Final = "starts.safetensors"
CONTROLLER: Final = "controller.safetensors"

_REQUIRED: Final = (VISION, MEMORY, STARTS)
_FILE_LIMIT: Final = 1 << 28  # bytes; a bundle has some 5 MB, and a damaged name must not fill the memory
_CARD_LIMIT: Final = 1 << 22


def read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(read_content(path, _CARD_LIMIT).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path}: expected JSON, and could not read it: {error}") from error
    if not isinstance(card, dict) or not isinstance(card.get("sha256", {}), dict):
        raise BundleError(f"{path}: expected a JSON object with an object sha256")
    return card


def read_bundle(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """The card, and each file's tensors by key, every file checked against the card's SHA-256.

    Raises:
        BundleNotFoundError: a file is missing.
        BundleError: a file is damaged, by name.
    """
    card = read_card(folder / CARD)
    hashes = card.get("sha256", {})
    names = [*_REQUIRED, *([CONTROLLER] if CONTROLLER in hashes else [])]
    tensors = {}
    for name in names:
        path = folder / name
        content = read_content(path, _FILE_LIMIT)
        got = hashlib.sha256(content).hexdigest()
        if got != hashes.get(name):
            raise BundleError(
                f"{path}: expected SHA-256 {hashes.get(name)}, got {got}; the file is damaged or of another bundle"
            )
        tensors[name] = parse_tensors(content, path)
    return card, tensors


def write_bundle(
    folder: Path,
    card: dict[str, Any],
    tensors: Mapping[str, Mapping[str, Tensor]],
    metadata: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> None:
    """Write a new folder beside the target, then put it there.

    Tensors are given by the name of their file, and so is what a file says besides.

    A process killed at any moment leaves the old bundle or the new one: between the two renames the old one is under
    the name ``.NAME.previous``, where readers look as well.

    Raises:
        OutputFolderError: the target holds something else.
        BundleError: it cannot be written, or a number is not finite; what was there before is untouched.
    """
    folder = folder.absolute()
    contents = {name: _serialized(name, part, metadata.get(name)) for name, part in tensors.items()}
    card = dict(card)
    card["controller"] = CONTROLLER if CONTROLLER in contents else None
    card["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    try:
        contents[CARD] = (json.dumps(card, indent=2, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"{CARD}: expected finite numbers and other JSON values ({error}); nothing was written"
        ) from error
    require_bundle_or_nothing(folder)
    staging = folder.with_name(f".{folder.name}.staging")
    previous = folder.with_name(f".{folder.name}.previous")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _discard(staging)
        staging.mkdir()
        for name, content in contents.items():
            write_bytes(staging / name, content)
        _sync(staging)
        if folder.exists():
            _discard(previous)
            os.replace(folder, previous)
        os.replace(staging, folder)
    except OSError as error:
        if not folder.exists() and previous.exists():
            os.replace(previous, folder)
        raise BundleError(f"cannot write a bundle to {folder}: {error}; what was there before is untouched") from error
    finally:
        _discard(staging)
    with contextlib.suppress(OSError):  # the new bundle is in place: what is left is tidying up
        _sync(folder.parent)
        _discard(previous)


def lossless(values: Tensor) -> Tensor:
    """As bfloat16 where that holds the same numbers, else as they are."""
    return values.bfloat16() if torch.equal(values.bfloat16().to(values.dtype), values) else values


def _serialized(name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> bytes:
    for key, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BundleError(f"{name}: expected finite numbers, got NaN or infinity in {key}; nothing was written")
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    return bytes(save(plain, None if metadata is None else dict(metadata)))


def require_bundle_or_nothing(folder: Path) -> None:
    """Raise :class:`~dreamgym.errors.OutputFolderError` where a place for a bundle holds other things."""
    if folder.exists() and not folder.is_dir():
        raise OutputFolderError(f"expected a folder for the bundle, got the file {folder}; choose another name")
    ours = {CARD, *_REQUIRED, CONTROLLER}
    others = foreign(folder, ours)
    if others:
        raise OutputFolderError(f"{folder} holds other things ({', '.join(others[:3])}); choose an empty or new folder")


def _sync(folder: Path) -> None:
    """Make renames in the folder last; Windows cannot open folders, and needs no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
