"""An episode and a table of them, summed up as by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dreamgym.evaluate import summarize
from dreamgym.evaluate.scores import EpisodeScore, mean_and_spread, rounded, score_episode


def score(value: float, length: int = 1000, complete: bool = False) -> EpisodeScore:
    return EpisodeScore(0, value, length, complete, False, 0.5, 280.0, (1.0, value), 100.0)


def test_an_episode_is_summed_up_as_by_hand() -> None:
    rewards = np.full(250, -0.1)
    rewards[:100] += 2.0
    rewards[120:160] += 3.0
    result = score_episode(
        7, rewards, progress=0.32, units=280, terminated=True, complete=False, max_episode_steps=500, constant=-0.1
    )
    assert result.score == pytest.approx(200 + 120 - 25)
    assert result.curve == pytest.approx((190.0, 300.0, 295.0, 295.0, 295.0))
    # The window 60..159 holds 40 of the first kind and all of the second.
    assert result.fastest_window == pytest.approx(40 * 2.0 + 40 * 3.0)
    assert (result.seed, result.length, result.failed) == (7, 250, True)


def test_an_episode_shorter_than_a_window() -> None:
    result = score_episode(
        0, [1.0, -100.0], progress=0.0, units=280, terminated=True, complete=True, max_episode_steps=200, constant=-0.1
    )
    assert result.curve == (-99.0, -99.0)
    assert result.fastest_window == pytest.approx(1.1)
    assert not result.failed


def test_summary_is_as_by_hand() -> None:
    summary = summarize([score(100.0), score(901.0, 800, True), score(902.0, 900, True), score(900.0)], 900.0)
    assert summary["mean"] == pytest.approx(700.75)
    assert summary["std"] == pytest.approx(np.std([100, 901, 902, 900], ddof=1))
    assert summary["standard_error"] == pytest.approx(np.std([100, 901, 902, 900], ddof=1) / 2)
    assert summary["share_solved"] == 0.5
    assert summary["mean_complete_steps"] == 850
    assert (summary["min"], summary["max"]) == (100, 902)
    assert summary["median"] == pytest.approx(900.5)
    assert mean_and_spread(summary, 1) == "700.8 ± 400.5"


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [(909.4, 5.2, "909 ± 5"), (3.72, 0.81, "3.7 ± 0.8"), (0.421, 0.1, "0.42 ± 0.10"),
     (0.0, 0.0, "0 ± 0"), (0.0123, None, "0.012"), (1e-9, None, "0.000000"), (float("nan"), 3.2, "nan ± 3.2"),
     (float("nan"), None, "nan")],
)  # fmt: skip
def test_small_scores_have_decimals(mean: float, std: float | None, text: str) -> None:
    assert mean_and_spread({"mean": mean, "std": std}) == text


@pytest.mark.parametrize(("value", "sign", "text"), [(3.14, "", "3.1"), (0.421, "+", "+0.42"), (-41.5, "+", "-42")])
def test_a_value_alone_has_its_decimals(value: float, sign: str, text: str) -> None:
    assert rounded(value, sign) == text


def test_one_episode_has_no_spread() -> None:
    summary = summarize([score(926.3)])
    assert (summary["std"], summary["standard_error"], summary["share_solved"]) == (None, None, None)
    assert mean_and_spread(summary, 1) == "926.3"


def test_quartiles_shares_and_curve_are_as_by_hand() -> None:
    ends = ((False, True), (True, False), (False, False), (False, False))  # complete, failed
    scores = [
        EpisodeScore(seed, 10.0 * seed, 100, complete, failed, 0.25 * seed, 280.0, (seed, 10.0 * seed), 1.0)
        for seed, (complete, failed) in enumerate(ends)
    ]
    summary = summarize(scores)
    assert [summary[name] for name in ("lower_quartile", "median", "upper_quartile")] == [7.5, 15.0, 22.5]
    assert (summary["share_complete"], summary["share_failed"]) == (0.25, 0.25)
    assert (summary["mean_progress"], summary["mean_curve"]) == (0.375, [1.5, 15.0])
