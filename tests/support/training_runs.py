"""Short trainings of V and M, whole and cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dreamgym.config import MemoryConfig, VisionConfig
from dreamgym.training import one_cycle


def vision_config(episodes: Path, out: Path, *, steps: int) -> VisionConfig:
    return VisionConfig(episodes=(episodes,), out=out, steps=steps, batch_size=4, checkpoint_every=2)


def memory_config(latents: Path, out: Path, *, steps: int) -> MemoryConfig:
    small = {"batch_size": 4, "sequence_length": 12, "checkpoint_every": 2, "remember_every": 1, "input_noise": 0.5}
    return MemoryConfig(latents=(latents,), out=out, steps=steps, **small)  # type: ignore[arg-type]


class Cut(Exception):
    pass


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def cut_at(monkeypatch: pytest.MonkeyPatch, module: str, step: int | None) -> list[int]:
    """Die in the given step, as a killed run does: after the last checkpoint, before the next.

    Returns:
        The steps begun, as they come.
    """
    begun = []

    def dying(number: int, steps: int, peak: float) -> float:
        begun.append(number)
        if number == step:
            raise Cut
        return one_cycle(number, steps, peak)

    monkeypatch.setattr(f"dreamgym.{module}.train.one_cycle", dying)
    return begun


def whole_and_resumed(
    train: Callable[[Any], Path], configured: Callable[[str], Any], step: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path, list[int]]:
    """Weights of a run, those of one that was cut off at a step and resumed, and the steps of the latter part."""
    module = train.__module__.split(".")[1]
    whole = train(configured("whole"))
    with monkeypatch.context() as patch:
        cut_at(patch, module, step)
        with pytest.raises(Cut):
            train(configured("cut"))
    begun = cut_at(monkeypatch, module, None)
    return whole, train(configured("cut")), begun
