"""Episodes that V and M have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dreamgym.fidelity.held_out import encode, record_episodes
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find

CAR_RACING = find("CarRacing")


def test_drives_are_recorded_once_and_encoded(toy_world_model: WorldModel, tmp_path: Path) -> None:
    first = record_episodes(tmp_path, {"straight_on": CAR_RACING.players["straight_on"]}, [15_001], length=4)
    made: list[Any] = []
    again = record_episodes(tmp_path, {"straight_on": lambda: made.append(1)}, [15_001], length=4)  # type: ignore[dict-item, func-returns-value]
    assert made == []
    np.testing.assert_array_equal(first[0].frames, again[0].frames)
    assert (first[0].actions == [0, 1, 0]).all()
    (seen,) = encode(toy_world_model, first, seed=0)
    assert seen.z.shape == (5, 8)
    assert not torch.equal(seen.z, seen.other_z)
    torch.testing.assert_close(seen.z, encode(toy_world_model, first, seed=0)[0].z)
    assert seen.failed.tolist() == [0, 0, 0, 0]
