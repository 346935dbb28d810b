"""The fast path by its parts: copies of it, and its fallback without oneDNN."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch

from dreamgym import products
from dreamgym.dream import graphs
from dreamgym.dream.core import DreamCore
from dreamgym.errors import DivergedError
from dreamgym.world_model import WorldModel


def rollout(core: DreamCore, frames: int = 5) -> torch.Tensor:
    core.reset(seeds=torch.arange(core.num_envs), start="anywhere")
    seen = []
    for frame in range(frames):
        core.step(torch.full((core.num_envs, 3), 0.1 * frame))
        seen.append(core.features.clone())
    return torch.stack(seen)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda core: pickle.loads(pickle.dumps(core))])
def test_copies_dream_on_alike(
    toy_world_model: WorldModel, precision: str, duplicate: Callable[[DreamCore], DreamCore]
) -> None:
    core = DreamCore(toy_world_model, 3, precision=precision)
    before = duplicate(core)
    expected = rollout(core)
    during = duplicate(core)
    assert torch.equal(during.features, core.features)
    for each in (core, during):
        each.step(torch.zeros(3, 3))
    assert torch.equal(during.features, core.features)
    assert torch.equal(rollout(before), expected)


def test_products_without_onednn_agree(full_size_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rollout(DreamCore(full_size_world_model, 20))
    monkeypatch.setattr(products, "packable", lambda weight, operations: False)
    torch.testing.assert_close(rollout(DreamCore(full_size_world_model, 20)), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_captured_steps_are_the_default_ones(
    toy_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """What a GPU's graph would launch, here without one: static buffers, nothing decided between its kernels."""
    captured: list[str] = []

    def capture(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
        captured.append("")
        for _ in range(4):  # to warm up, and to record
            work()
        return work

    def drive(core: DreamCore) -> torch.Tensor:
        core.reset(seeds=torch.arange(20), start="anywhere")
        seen = []
        for frame in range(30):
            step = core.step(torch.full((20, 3), frame / 40), torch.arange(20) != 3 if frame % 7 == 6 else None)
            if frame == 10:
                core.set_temperature(2.0)
            if frame % 5 == 4:
                core.reset(torch.arange(20) % 4 == frame % 4)
            seen.append(torch.cat([core.features, step.reward[:, None], step.terminated[:, None]], dim=1))
        return torch.stack(seen)

    default = DreamCore(toy_world_model, 20, precision=precision, temperature=(0.5, 1.5))
    expected = drive(default)
    monkeypatch.setattr(graphs, "wanted", lambda device: True)
    monkeypatch.setattr(graphs, "capture", capture)
    core = DreamCore(toy_world_model, 20, precision=precision, temperature=(0.5, 1.5))
    assert torch.equal(drive(core), expected)
    assert len(captured) == 2  # one from each side
    assert core.clamped == default.clamped
    core.c[5] = torch.nan
    with pytest.raises(DivergedError, match=r"rows \[5\]"):
        core.step(torch.zeros(20, 3))
