"""What the shipped bundles dream: the same as when they were released, and bounded for as long as anyone likes.

After a bundle has been replaced on purpose, ``DREAMGYM_WRITE_GOLDEN=1 pytest tests/dream/test_shipped_dreams.py``
writes its trajectory anew.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.memory.mdn_rnn import LATENT_LIMIT
from dreamgym.world_model import PACKAGED, WorldModel

GOLDEN = Path(__file__).parent / "golden"
BUNDLES = sorted(card.parent for card in PACKAGED.parent.glob("*/card.json"))
MARKS = (0, 1, 2, 5, 10, 20)
"""Steps whose features are kept."""
LONG = 100_000 if "DREAMGYM_LONG" in os.environ else 10_000
"""Steps of the longest dream."""
SAME_PROCESSOR, OTHER_PROCESSOR = 1e-4, 1e-3
"""How far a feature may be off: by the order of sums alone, or by other products of matrices as well, whose error M
carries on for twenty steps."""


def trajectory(folder: Path) -> dict[str, Any]:
    """Four dreams of a bundle under fixed actions: some features at some steps, and the returns."""
    core = DreamCore(WorldModel.load(folder), 4)
    core.reset(seeds=torch.arange(4), start="beginning")
    low, high = (torch.tensor(end) for end in (core.world_model.actions.low, core.world_model.actions.high))
    latents = core.world_model.memory.latent_size
    picked = [0, 1, 2, latents - 1, latents, latents + 1, -1]
    features, returns = {}, torch.zeros(4)
    for step in range(MARKS[-1] + 1):
        if step in MARKS:
            features[str(step)] = core.features[:, picked].tolist()
        share = 0.5 + 0.4 * np.sin(0.3 * step + np.arange(len(low)))
        returns += core.step((low + (high - low) * torch.tensor(share, dtype=torch.float32)).expand(4, -1)).reward
    capability = torch.backends.cpu.get_cpu_capability()
    return {"processor": capability, "features": features, "returns": returns.tolist()}


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_a_shipped_bundle_dreams_as_when_it_was_released(folder: Path) -> None:
    path, got = GOLDEN / f"{folder.name}.json", trajectory(folder)
    if os.environ.get("DREAMGYM_WRITE_GOLDEN"):
        path.write_text(json.dumps(got) + "\n")
    if not path.exists():
        pytest.skip(f"{path.name} is not written yet; see this module's docstring")
    wanted = json.loads(path.read_text())
    tolerance = SAME_PROCESSOR if wanted["processor"] == got["processor"] else OTHER_PROCESSOR
    for step in map(str, MARKS):
        np.testing.assert_allclose(got["features"][step], wanted["features"][step], atol=tolerance, err_msg=step)
    np.testing.assert_allclose(got["returns"], wanted["returns"], rtol=tolerance, atol=10 * tolerance)


@pytest.mark.slow
def test_a_long_dream_stays_bounded() -> None:
    pytest.importorskip("numba")
    world_model = WorldModel.load()
    with torch.no_grad():  # it never ends of itself
        world_model.memory.termination_head.weight.zero_()
        world_model.memory.termination_head.bias.fill_(-40.0)
    core = DreamCore(replace(world_model), 1, max_episode_steps=None, fast=True)
    core.reset(seeds=torch.tensor([0]), start="beginning")
    generator, latents = torch.Generator().manual_seed(0), world_model.memory.latent_size
    low, high = (torch.tensor(end) for end in (world_model.actions.low, world_model.actions.high))
    seen = []
    for step in range(LONG):
        if step % 50 == 0:
            action = low + (high - low) * torch.rand(1, len(low), generator=generator)
        result = core.step(action)
        if step % 100 == 0:
            seen.append(core.features[0].clone())
            assert torch.isfinite(result.reward).all() and not result.terminated.any()
    features = torch.stack(seen)
    assert features[:, :latents].abs().max() <= LATENT_LIMIT and features[:, latents:].abs().max() <= 1.0
    for part in (features[:100], features[-100:]):  # neither frozen nor blown up
        assert 0.1 < part[:, :latents].std(dim=0).median() < 3.0
