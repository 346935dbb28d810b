"""What training V and training M share: device, precision, schedule, checkpoints without pickle, log, pictures."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from dreamgym._compat import require_pygame
from dreamgym.errors import BundleError, ConfigError, DivergedError
from dreamgym.files import append_line, read_log, write_bytes, write_text
from dreamgym.tensor_files import read_tensors, require_finite_tensors

__all__ = [
    "Checkpoint",
    "TrainingLog",
    "autocast",
    "begin_or_resume",
    "choose_device",
    "choose_precision",
    "load_weights",
    "one_cycle",
    "require_finite",
    "save_png",
    "save_tensors",
]

Name = TypeVar("Name", bound=str)


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: expected a CUDA device, but torch finds none; use cpu or auto")
    return torch.device(name)


def _has_fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster than float32."""
    if device.type != "cpu":
        return device.type == "cuda"
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def choose_precision(name: Name, device: torch.device) -> Name | Literal["float32", "bfloat16"]:
    """``auto`` is bfloat16 where the device multiplies it faster than float32, float32 elsewhere."""
    if name == "auto":
        return "bfloat16" if _has_fast_bf16(device) else "float32"
    return name


def autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 where the device multiplies it faster than float32, float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=_has_fast_bf16(device))


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Learning rate of a step.

    Linear warm-up over the first tenth, then a cosine down to a hundredth of the peak.
    """
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
    write_bytes(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata))


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a module's weights, strictly.

    Raises:
        BundleNotFoundError: there is no such file.
        BundleError: the file cannot be read, its keys or shapes are not the module's, or a number is not finite.
    """
    tensors = read_tensors(path)
    require_finite_tensors(tensors, path)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
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
        tensors = read_tensors(self._path)
        require_finite_tensors(tensors, self._path)
        try:
            step = int(tensors.pop("training_step"))
            prefix = "weights."
            self._module.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
            for name, parameter in self._module.named_parameters():
                if not tensors.keys() & {f"{key}.{name}" for key in ("exp_avg", "exp_avg_sq", "step")}:
                    continue  # it has had no gradient, as a head that the world has no use for
                # A fused Adam goes through memory as it lies: the moments must lie as their parameter does.
                moments = {
                    key: torch.empty_like(parameter, requires_grad=False).copy_(tensors[f"{key}.{name}"])
                    for key in ("exp_avg", "exp_avg_sq")
                }
                step_count = tensors[f"step.{name}"].to(parameter.device)
                self._optimizer.state[parameter] = {"step": step_count, **moments}
        except (KeyError, RuntimeError, ValueError) as error:
            raise BundleError(
                f"cannot go on from {self._path}: {error}; put back a good copy, or move it elsewhere to train from "
                "the start"
            ) from error
        return step


def begin_or_resume(folder: Path, module: nn.Module, learning_rate: float) -> tuple[torch.optim.Adam, Checkpoint, int]:
    """A module's optimizer, its checkpoint, and the step to go on from.

    Raises:
        BundleError: the checkpoint cannot be read.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate, fused=True)
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", module, optimizer)
    return optimizer, checkpoint, checkpoint.restore()


class TrainingLog:
    """A JSONL file of training figures.

    Going on from a checkpoint drops the lines after it.

    Raises:
        EpisodeFileError: the file is damaged.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        self._path = path
        entries = read_log(
            path, lambda entry, _: (float(entry["step"]), entry), "move it elsewhere to go on with a new one"
        )
        kept = [json.dumps(entry) + "\n" for step, entry in entries if step <= first_step]
        write_text(path, "".join(kept))

    def write(self, **figures: float) -> None:
        """Append one line."""
        append_line(self._path, json.dumps({key: round(value, 6) for key, value in figures.items()}))


def save_png(path: Path, image: NDArray[np.uint8], *, scale: int = 1) -> None:
    """Write a picture, uint8 (height, width, 3), enlarged ``scale`` times, atomically."""
    require_pygame()
    import pygame

    image = image.repeat(scale, axis=0).repeat(scale, axis=1)
    buffer = io.BytesIO()  # pygame does not report a full disk as such
    pygame.image.save(pygame.surfarray.make_surface(image.swapaxes(0, 1)), buffer, path.name)
    write_bytes(path, buffer.getvalue())
