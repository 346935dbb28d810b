"""What every training shares: checkpoints and the learning rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dreamgym.errors import BundleError
from dreamgym.training import Checkpoint, load_weights, one_cycle


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(number: float, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    save_file({"weight": torch.tensor([[1.0, number]]), "bias": torch.zeros(1)}, path)
    with pytest.raises(BundleError, match="weights: expected finite numbers, got NaN or infinity in weight"):
        load_weights(nn.Linear(2, 1), path)


def test_a_checkpoint_of_a_part_that_had_no_gradient_is_restored(tmp_path: Path) -> None:
    def trained(steps: int) -> nn.Module:
        torch.manual_seed(0)
        module = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])
        optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
        checkpoint = Checkpoint(tmp_path / "checkpoint", module, optimizer)
        for step in range(checkpoint.restore(), steps):
            optimizer.zero_grad(set_to_none=True)
            module[0](torch.ones(1, 2)).sum().backward()
            optimizer.step()
            checkpoint.save(step + 1)
        return module

    trained(1)
    resumed = trained(3)
    (tmp_path / "checkpoint").unlink()
    for ours, theirs in zip(resumed.parameters(), trained(3).parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_schedule_warms_up_peaks_and_ends_low():
    rates = [one_cycle(step, 100, 1.0) for step in range(100)]
    assert rates[0] < 0.2 and max(rates) == 1.0 and rates[-1] < 0.02
    assert rates.index(1.0) == 9
