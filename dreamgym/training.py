"""What training V and training M share: device, precision, schedule, checkpoints without pickle, log, pictures."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dreamgym.config import whole_lines, write_text
from dreamgym.errors import BundleError, ConfigError, DivergedError

__all__ = [
    "Checkpoint",
    "TrainingLog",
    "autocast",
    "choose_device",
    "load_weights",
    "one_cycle",
    "require_finite",
    "save_png",
    "save_tensors",
]


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: expected a CUDA device, but torch finds none; use cpu or auto")
    return torch.device(name)


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 where the device multiplies it faster than float32, float32 elsewhere."""
    enabled = device.type == "cuda" or _cpu_has_bf16()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Learning rate of a step: linear warm-up over the first tenth, then a cosine down to a hundredth of the peak."""
    warmup = max(1, steps // 10)
    if step < warmup:
        return peak * (step + 1) / warmup
    fraction = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * fraction)))


def require_finite(loss: Tensor, step: int, what: str) -> None:
    """Raise :class:`~dreamgym.errors.DivergedError` unless the loss is finite."""
    if not bool(torch.isfinite(loss)):
        raise DivergedError(
            f"{what}: the loss became {loss.item()} at step {step}; the same run would come to the same "
            "again. Choose another output folder and a lower --learning-rate, and for M, to go on from its last "
            "checkpoint, --initial with the newest memory-*.safetensors of this one"
        )


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write safetensors atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a module's weights, strictly.

    Raises:
        BundleError: if the file cannot be read, or its keys or shapes are not the module's.
    """
    try:
        module.load_state_dict(load_file(path))
    except Exception as error:
        raise BundleError(f"cannot load {type(module).__name__} weights from {path}: {error}") from error


class Checkpoint:
    """Weights, the moments of a fused Adam and the step, in one safetensors file."""

    def __init__(self, path: Path, module: nn.Module, optimizer: torch.optim.Adam) -> None:
        self._path, self._module, self._optimizer = path, module, optimizer

    def save(self, step: int) -> None:
        """Write atomically."""
        tensors = {f"weights.{name}": tensor for name, tensor in self._module.state_dict().items()}
        for name, parameter in self._module.named_parameters():
            for key, value in self._optimizer.state[parameter].items():
                tensors[f"{key}.{name}"] = value
        tensors["training_step"] = torch.tensor(step)
        save_tensors(self._path, tensors)

    def restore(self) -> int:
        """Load what was saved last, if anything; the step to go on from."""
        if not self._path.exists():
            return 0
        try:
            tensors = load_file(self._path)
            step = int(tensors.pop("training_step"))
            prefix = "weights."
            self._module.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
            for name, parameter in self._module.named_parameters():
                # A fused Adam goes through memory as it lies: the moments must lie as their parameter does.
                moments = {
                    key: torch.empty_like(parameter, requires_grad=False).copy_(tensors[f"{key}.{name}"])
                    for key in ("exp_avg", "exp_avg_sq")
                }
                step_count = tensors[f"step.{name}"].to(parameter.device)
                self._optimizer.state[parameter] = {"step": step_count, **moments}
        except Exception as error:
            raise BundleError(f"cannot go on from {self._path}: {error}; delete it to train from the start") from error
        return step


class TrainingLog:
    """A JSONL file of training figures; going on from a checkpoint drops the lines after it."""

    def __init__(self, path: Path, first_step: int) -> None:
        self._path = path
        write_text(path, "".join(line for line in whole_lines(path) if json.loads(line)["step"] <= first_step))

    def write(self, **figures: float) -> None:
        """Append one line."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({key: round(value, 6) for key, value in figures.items()}) + "\n")


def save_png(path: Path, image: NDArray[np.uint8], *, scale: int = 1) -> None:
    """Write a picture, uint8 (height, width, 3), enlarged ``scale`` times, atomically."""
    import pygame

    image = image.repeat(scale, axis=0).repeat(scale, axis=1)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp.png")
    try:
        pygame.image.save(pygame.surfarray.make_surface(image.swapaxes(0, 1)), str(temporary))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
