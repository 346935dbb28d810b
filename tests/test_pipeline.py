"""The whole procedure, from nothing to a driver, on a few frames; nothing is trained for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dreamgym import pipeline
from dreamgym.config import PipelineConfig
from dreamgym.errors import OutputFolderError
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


@pytest.mark.slow
def test_two_rounds_from_nothing_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "VALIDATION_SEEDS", pipeline.VALIDATION_SEEDS[:1])
    monkeypatch.setattr(pipeline, "FIDELITY_SEEDS", pipeline.FIDELITY_SEEDS[:2])
    config = PipelineConfig(out=tmp_path / "run", rounds=1, **SMALL)  # type: ignore[arg-type]
    pipeline.train_all(config)
    first = (tmp_path / "run" / "round-0.json").read_text(encoding="utf-8")

    further = PipelineConfig(out=tmp_path / "run", rounds=2, **SMALL)  # type: ignore[arg-type]
    world = WorldModel.load(pipeline.train_all(further))
    assert (tmp_path / "run" / "round-0.json").read_text(encoding="utf-8") == first  # nothing is done twice
    reports = [json.loads((tmp_path / "run" / f"round-{number}.json").read_text("utf-8")) for number in (0, 1)]
    assert world.controller is not None
    assert world.card["scores"]["validation"]["mean"] == max(report["real"]["mean"] for report in reports)
    card = json.loads((tmp_path / "run" / "world-1" / "card.json").read_text(encoding="utf-8"))
    assert card["data"]["frames"] >= 200 + 300 + 200

    with pytest.raises(OutputFolderError):
        pipeline.train_all(PipelineConfig(out=tmp_path / "run", rounds=2, **{**SMALL, "round_frames": 300}))  # type: ignore[arg-type]
