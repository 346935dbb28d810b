"""Agreement of returns, right on cases made by hand; the log of real episodes, which are not played again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamgym.errors import EpisodeFileError, OutputFolderError
from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.fidelity import agreement, probe_policies, returns
from dreamgym.fidelity.returns import overpaid, real_returns
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.episodes_by_hand import score

PLAYED = {"world": find(), "max_episode_steps": 1000}


def scores(*values: float) -> list[EpisodeScore]:
    return [score(value, seed) for seed, value in enumerate(values)]


def test_ranks_agree_as_by_hand() -> None:
    def ranked(ours: list[float], theirs: list[float]) -> float:
        real, dream = ({str(place): scores(value) for place, value in enumerate(part)} for part in (ours, theirs))
        return agreement(real, dream)["spearman"]

    assert ranked([1, 2, 3, 4], [10, 20, 25, 1000]) == pytest.approx(1.0)
    # Without ties: 1 - 6 * sum(d^2) / (n (n^2 - 1)), here d = (0, -1, -1, 2).
    assert ranked([1, 2, 3, 4], [1, 3, 4, 2]) == pytest.approx(1 - 6 * 6 / 60)
    # Ranks (1.5, 1.5, 3) against (1, 2, 3).
    assert ranked([5, 5, 9], [1, 2, 3]) == pytest.approx(np.corrcoef([1.5, 1.5, 3], [1, 2, 3])[0, 1])
    assert ranked([1, 1, 1], [1, 2, 3]) == 0.0


def test_agreement_is_as_by_hand() -> None:
    real = {"a": scores(0, 100), "b": scores(600, 600), "c": scores(900)}
    dream = {"a": scores(100), "b": scores(550, 650), "c": scores(800)}
    found = agreement(real, dream)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["bias"] == pytest.approx((50 + 0 - 100) / 3)
    assert found["mean_absolute_difference"] == pytest.approx(50)
    assert (found["policies"], found["policies_in_upper_half"]) == (3, 2)


def test_a_bad_policy_may_earn_two_standard_errors_more() -> None:
    # Standard errors of (0, 2) and (x - 1, x + 1) are 1 each: sqrt(2) together.
    real = {"idle": scores(0, 2)}
    for dreamed, passes in ((1 + 2.8, True), (1 + 2.9, False), (-50, True)):
        (entry,) = overpaid(real, {"idle": scores(dreamed - 1, dreamed + 1)})
        assert entry["standard_error"] == pytest.approx(2**0.5)
        assert entry["passes"] is passes


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """No episode takes place: the tasks that were asked for, each scored by its policy and seed."""
    asked: list[Any] = []

    def play(policies: Any, tasks: Any, *, on_episode: Any, **options: Any) -> None:
        for task in tasks:
            asked.append(task)
            on_episode(task, score(100.0 * task[0] + task[1], task[1]))

    monkeypatch.setattr(returns, "play_episodes", play)
    return asked


def test_drives_are_kept_and_not_driven_again(toy_world_model: WorldModel, tmp_path: Path, driven: list[Any]) -> None:
    policies, log = probe_policies(find()), tmp_path / "real.jsonl"
    some = dict(list(policies.items())[:2])
    real_returns(some, [1, 2], toy_world_model, log, workers=1, **PLAYED)
    assert driven == [(0, 1), (0, 2), (1, 1), (1, 2)]
    with open(log, "a", encoding="utf-8") as file:
        file.write('{"policy": "cut o')  # a kill in the middle of a line
    driven.clear()
    more = dict(list(policies.items())[:3])
    found = real_returns(more, [2, 3], toy_world_model, log, workers=1, **PLAYED)
    assert driven == [(0, 3), (1, 3), (2, 2), (2, 3)]
    assert [part.score for part in found["spin"]] == [102.0, 103.0]
    driven.clear()
    assert real_returns(more, [2, 3], toy_world_model, log, workers=1, **PLAYED) == found
    assert driven == []


def test_drives_through_another_world_model_are_refused(
    toy_world_model: WorldModel, make_world_model: Any, tmp_path: Path, driven: list[Any]
) -> None:
    log = tmp_path / "real.jsonl"
    real_returns(probe_policies(find()), [1], toy_world_model, log, workers=1, **PLAYED)
    before = log.read_bytes()
    with pytest.raises(OutputFolderError, match="another world model"):
        real_returns(probe_policies(find()), [1], make_world_model(seed=1), log, workers=1, **PLAYED)
    assert log.read_bytes() == before
    log.write_text("not an episode\n", encoding="utf-8")
    with pytest.raises(EpisodeFileError, match="move it elsewhere"):
        real_returns(probe_policies(find()), [1], toy_world_model, log, workers=1, **PLAYED)
