"""The one file that the page runs on: M, V's decoder, C, start states and the manifest, as safetensors."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from dreamgym.export import weights
from dreamgym.export.manifest import manifest
from dreamgym.export.start_states import select
from dreamgym.world_model import WorldModel
from dreamgym.world_model.files import lossless

__all__ = ["FORMAT", "dream_file"]

FORMAT: Final = 1
"""Of the file; ``tensors.js`` reads no other."""
_STARTS: Final = 16  # of each kind
_LANES: Final = 4  # the kernel adds so many numbers at once: outputs come in multiples of it


def dream_file(world_model: WorldModel) -> bytes:
    """The file's bytes, always the same for a bundle."""
    tensors = {f"memory.{name}": lossless(part) for name, part in _memory(world_model).items()}
    layers = _decoder(world_model)
    for index, (weight, bias) in enumerate(layers):
        tensors |= {f"decoder.{index}_weight": weight.half(), f"decoder.{index}_bias": bias.half()}
    if world_model.controller is not None:
        tensors |= {
            f"controller.{key}": torch.from_numpy(part) for key, part in world_model.controller.tensors().items()
        }
    chosen, states = select(world_model.starts, _STARTS)
    tensors |= {f"starts.{name}": part for name, part in states.items()}
    tensors = {name: part.contiguous() for name, part in tensors.items()}
    described = {
        "format": FORMAT,
        "fingerprint": hashlib.sha256(save(tensors)).hexdigest()[:12],  # so that a link tells whose dream it is of
        **manifest(world_model),
        "decoder": _shapes(layers),
        "starts": chosen,
    }
    # One entry: safetensors writes several in any order.
    metadata = {"manifest": json.dumps(described, allow_nan=False)}
    return bytes(save(tensors, metadata))


def _memory(world_model: WorldModel) -> dict[str, Tensor]:
    memory = world_model.memory
    maps = {"gates": weights.gates(memory), "heads": weights.heads(memory)}
    return {
        f"{name}_{kind}": _padded(part)
        for name, pair in maps.items()
        for kind, part in zip(("weight", "bias"), pair, strict=True)
    }


def _decoder(world_model: WorldModel) -> list[tuple[Tensor, Tensor]]:
    """Weights (k, k, inputs, outputs) and biases of the decoder's layers; of the first, k is 1."""
    weight, bias = weights.opening(world_model.vision)
    first = weight.transpose(0, 2, 3, 1).reshape(1, 1, len(weight), -1), bias.transpose(1, 2, 0).reshape(-1)
    others = [(layer.weight.transpose(2, 3, 0, 1), layer.bias) for layer in weights.deconvolutions(world_model.vision)]
    return [(_padded(weight), _padded(bias)) for weight, bias in (first, *others)]


def _shapes(layers: list[tuple[Tensor, Tensor]]) -> list[dict[str, Any]]:
    """What the page passes its kernel for each layer. The first one makes a whole picture of one pixel."""
    shapes = []
    side = 1
    for index, (weight, _) in enumerate(layers):
        kernel, _, inputs, outputs = weight.shape
        shapes.append({"side": side, "kernel": kernel, "inputs": inputs, "outputs": outputs})
        side = 2 * side - 2 + kernel if index else int((outputs / layers[1][0].shape[2]) ** 0.5)
    return [{**shape, "rectify": index < len(layers) - 1} for index, shape in enumerate(shapes)]


def _padded(values: np.ndarray[Any, Any]) -> Tensor:
    """Zeros on the right, to a multiple of the lanes."""
    missing = -values.shape[-1] % _LANES
    return torch.from_numpy(np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)]))
