"""Survival curves, on episodes made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.fidelity.plots import plot_survival
from dreamgym.fidelity.survival import is_survival, share_alive, survival
from dreamgym.worlds.registry import find
from tests.support.episodes_by_hand import score


def dead_after(steps: int) -> EpisodeScore:
    return replace(score(0.0), length=steps, failed=True)


def test_episodes_that_reached_the_limit_are_alive_to_the_end() -> None:
    episodes = [dead_after(10), dead_after(20), replace(score(0.0), length=30), replace(score(0.0), length=5)]
    assert share_alive(episodes, [0, 9, 10, 19, 20, 30]) == [1.0, 1.0, 0.75, 0.75, 0.5, 0.5]


def test_the_largest_gap_is_between_the_curves() -> None:
    real, dream = {"still": [dead_after(10), dead_after(50)]}, {"still": [dead_after(90), dead_after(50)]}
    found = survival(real, dream, 100)
    assert found["steps"][0] == 0 and found["steps"][-1] == 100
    (still,) = found["policies"]
    assert still["largest_gap"] == pytest.approx(0.5)
    assert still["real"][0] == 1.0 and still["real"][-1] == 0.0


def test_survival_is_the_score_where_no_reward_is_predicted() -> None:
    assert is_survival(find("DoomTakeCover").rewards)
    assert not is_survival(find("CarRacing").rewards)


def test_curves_are_drawn(tmp_path: Path) -> None:
    scores = {name: [dead_after(10)] for name in "abcdefg"}
    plot_survival(tmp_path / "survival.png", survival(scores, scores, 20))
    assert (tmp_path / "survival.png").read_bytes().startswith(b"\x89PNG")
