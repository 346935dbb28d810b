"""The batched dream repeats to the bit: by row, by thread, by process, by seed, and from a saved state."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.errors import ConfigError
from dreamgym.world_model import WorldModel
from tests.support.dream_cores import SIZES, drive, started


def rollout(core: DreamCore, seeds: Tensor, frames: int = 25) -> Tensor:
    """Rewards and features of a drive with a reset of some rows on the way, (B, ...)."""
    core.reset(seeds=seeds, start="anywhere")
    seen = []
    for frame in range(frames):
        step = core.step(drive(seeds, frame))
        seen.append(torch.cat([step.reward[:, None], core.features, core.temperature[:, None]], dim=1))
        if frame % 5 == 4:
            core.reset(seeds % 3 == frame % 3, start="anywhere")
    return torch.stack(seen, dim=1)


@pytest.mark.parametrize(
    ("precision", "fast"),
    [("float32", False), ("float32", True), ("bfloat16", False), ("bfloat16", True), ("float64", False)],
)
@pytest.mark.parametrize("sizes", [*SIZES, {"latent_size": 32, "hidden_size": 256, "mixtures": 5}])
def test_rows_do_not_depend_on_batch_neighbours_or_threads(
    make_world_model: Callable[..., WorldModel],
    threads: Callable[[int], None],
    sizes: dict[str, int],
    precision: str,
    fast: bool,
) -> None:
    model = make_world_model(**sizes)

    def run(seeds: Tensor) -> Tensor:
        return rollout(DreamCore(model, len(seeds), temperature=(0.8, 1.2), precision=precision, fast=fast), seeds)

    threads(1)
    together = run(torch.arange(300))
    assert together.isfinite().all()
    for count, used in ((1, 1), (1, 2), (2, 1), (15, 2), (17, 1), (64, 3), (130, 2), (300, 2), (300, 3)):
        threads(used)
        assert torch.equal(run(torch.arange(count)), together[:count]), (count, used)
    elsewhere = torch.tensor([250, 3, 250, 99])
    assert torch.equal(run(elsewhere), together[elsewhere])


ROLLOUT = """
import hashlib, sys, torch
from dreamgym.dream.core import DreamCore
from dreamgym.world_model import WorldModel

digest = hashlib.sha256()
for fast in (False, True):
    core = DreamCore(WorldModel.load(sys.argv[1]), 3, temperature=(0.5, 2.0), fast=fast)
    core.reset(seeds=torch.tensor([5, 6, 7]), start="anywhere")
    for frame in range(1000):
        step = core.step(torch.full((3, 3), (frame % 7) / 7))
        for part in (core.features, step.reward, step.terminated):
            digest.update(part.contiguous().numpy().tobytes())
print(digest.hexdigest())
"""


def test_a_thousand_steps_repeat_to_the_bit_in_another_process(
    toy_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["rollout", str(toy_bundle)])
    exec(ROLLOUT, {})
    here = capsys.readouterr().out
    command = [sys.executable, "-c", ROLLOUT, str(toy_bundle)]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert here == there
    assert len(here) == 65


def test_reset_with_a_seed_repeats_and_without_goes_on(toy_world_model: WorldModel) -> None:
    core = DreamCore(toy_world_model, 2)
    seeds = torch.tensor([3, 4])
    episodes = []
    for given in (seeds, None, None, seeds, None):
        core.reset(seeds=given)
        core.step(torch.zeros(2, 3))
        episodes.append(core.features.clone())
    first, second, third, again, second_again = episodes
    assert torch.equal(first, again)
    assert torch.equal(second, second_again)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert core.episode.tolist() == [1, 1]


def test_unseeded_rows_differ_and_leave_the_global_generators_alone(toy_world_model: WorldModel) -> None:
    before = torch.get_rng_state()
    core = DreamCore(toy_world_model, 4)
    core.reset()
    core.step(torch.zeros(4, 3))
    assert len({tuple(row) for row in core.z.tolist()}) == 4
    assert torch.equal(torch.get_rng_state(), before)


def test_saved_state_replays_exactly(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 3, temperature=(0.7, 1.4))
    for frame in range(20):
        core.step(drive(core.seed, frame))
    saved = core.get_state()
    futures = []
    for target in (core, core, DreamCore(toy_world_model, 3)):
        target.set_state(saved)
        futures.append([])
        for frame in range(200):
            step = target.step(drive(target.seed, frame))
            if frame % 50 == 49:
                target.reset(torch.tensor([True, False, True]))
            futures[-1].append(torch.cat([step.reward[:, None], target.features, target.temperature[:, None]], dim=1))
    for future in futures[1:]:
        assert torch.equal(torch.stack(future), torch.stack(futures[0]))
    with pytest.raises(ConfigError, match="num_envs"):
        DreamCore(toy_world_model, 4).set_state(saved)
    with pytest.raises(ConfigError, match="expected a state"):
        core.set_state({"z": saved["z"]})
