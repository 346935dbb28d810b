"""Episodes that an evaluation has played."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from dreamgym.evaluate.played import Played
from dreamgym.evaluate.scores import EpisodeScore


def test_time_of_earlier_runs_counts(tmp_path: Path) -> None:
    score = EpisodeScore(7, 1.0, 100, False, False, 0.0, 1.0, (1.0,), 1.0)
    lines = ({"episodes": 2}, {"seconds": 60.0, **dataclasses.asdict(score)})
    (tmp_path / "a.part").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert 60.0 <= Played(tmp_path / "a.part", {"episodes": 2}).seconds < 120.0
