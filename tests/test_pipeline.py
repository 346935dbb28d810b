"""The whole procedure, from nothing to a driver, on a few frames; nothing is trained for real."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from dreamgym.config import PipelineConfig
from dreamgym.errors import OutputFolderError
from dreamgym.pipeline import command, train_all
from dreamgym.pipeline.rounds import Round
from dreamgym.world_model import WorldModel

SMALL = {
    "first_frames": 300,
    "aimless_frames": 200,
    "round_frames": 200,
    "vision_steps": 2,
    "memory_steps": 2,
    "memory_round_steps": 2,
    "generations": 1,
    "population": 4,
    "rollouts": 1,
    "hard_rollouts": 0,  # so few frames hold no hard moments
    "validate_every": 1,
}


LEFT_OF_A_ROUND = ("config.json", "round-0.json", "evolve-0/controller.safetensors")
"""What a finished round is, the rest of which can be made again."""


@pytest.fixture(autouse=True)
def _few_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("VALIDATION_SEEDS", 1), ("DREAMS", 2), ("DRIVES", 1)):
        monkeypatch.setattr(command, name, getattr(command, name)[:count])


def small(out: Path, **changes: Any) -> PipelineConfig:
    return PipelineConfig(out=out, **{**SMALL, **changes})


def report(run: Path, number: int) -> dict[str, Any]:
    found = Round(run, number).read_report()
    return {key: value for key, value in found.items() if key not in ("seconds", "finished")}


@pytest.mark.slow
def test_a_round_from_nothing_and_a_further_one(tmp_path: Path) -> None:
    run, bare = tmp_path / "run", tmp_path / "bare"
    train_all(small(run, rounds=1))
    first = (run / "round-0.json").read_bytes()
    for name in LEFT_OF_A_ROUND:
        (bare / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run / name, bare / name)

    shutil.rmtree(run / "episodes")  # they were encoded
    world = WorldModel.load(train_all(small(run, rounds=2)))
    assert (run / "round-0.json").read_bytes() == first  # nothing is done twice
    assert sorted(path.name for path in (run / "episodes").iterdir()) == ["drives-1"]
    assert world.controller is not None
    best = max(report(run, number)["real"]["mean"] for number in (0, 1))
    assert world.card["scores"]["validation"]["mean"] == best
    assert report(run, 1)["frames"] >= 200 + 300 + 200

    page = (run / "round-1.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert len(pictures) == 3 and all((run / picture).stat().st_size > 1000 for picture in pictures)
    assert len(re.findall(r"^\| [01] \|", page, re.MULTILINE)) == 2

    train_all(small(bare, rounds=2))  # from the controller and the scores alone
    assert report(bare, 1) == report(run, 1)

    with pytest.raises(OutputFolderError):
        train_all(small(run, rounds=2, round_frames=300))
