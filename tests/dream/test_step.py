"""The default engine: copies of it, and its fallback without oneDNN."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.vision import packed_linear as products
from dreamgym.world_model import WorldModel


def rollout(core: DreamCore, frames: int = 5) -> torch.Tensor:
    core.reset(seeds=torch.arange(core.num_envs), start="anywhere")
    seen = []
    for frame in range(frames):
        core.step(torch.full((core.num_envs, 3), 0.1 * frame))
        seen.append(core.features.clone())
    return torch.stack(seen)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
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
