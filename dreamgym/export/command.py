"""The command ``export``."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from safetensors.torch import save

from dreamgym import __version__
from dreamgym.config import ExportConfig
from dreamgym.export.manifest import manifest
from dreamgym.export.start_states import select
from dreamgym.files import write_files
from dreamgym.world_model import WorldModel

__all__ = ["onnx_files", "run"]

_STARTS: Final = 32  # of each kind


def run(config: ExportConfig) -> None:
    """Write the files.

    Raises:
        BundleError: no bundle there, or a damaged one.
        OutputFolderError: the folder holds something else.
    """
    files = onnx_files(WorldModel.load(config.world_model, world=config.world), half=config.half)
    write_files(config.out, files)
    for name, content in files.items():
        print(f"{config.out / name}: {len(content):,} bytes")


def onnx_files(world_model: WorldModel, *, half: bool = False) -> dict[str, bytes]:
    """ONNX files of a bundle, start states and a manifest, by name.

    M's step, V and C; the same bytes each time.

    Args:
        world_model: a bundle.
        half: store weights in float16.
    """
    from dreamgym.export import graphs

    facts = manifest(world_model)
    files = {
        "step.onnx": graphs.step(world_model.memory, facts, half=half),
        "decoder.onnx": graphs.decoder(world_model.vision, facts, half=half),
        "encoder.onnx": graphs.encoder(world_model.vision, facts, half=half),
    }
    if world_model.controller is not None:
        files["controller.onnx"] = graphs.controller(world_model.controller, facts)
    chosen, states = select(world_model.starts, _STARTS)
    files["starts.safetensors"] = bytes(save({name: part.contiguous() for name, part in states.items()}))
    described: dict[str, Any] = {
        "dreamgym": __version__,
        **facts,
        "latent_noise": world_model.latent_noise,
        "starts": chosen,
        "weights": "float16" if half else "float32",
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "bundle": world_model.card.get("sha256", {}),
    }
    return {**files, "manifest.json": (json.dumps(described, indent=2, allow_nan=False) + "\n").encode()}
