"""The verdict: each question passes and fails where it should, and says what to try."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from dreamgym.fidelity.verdict import NEXT, Finding, diagnose, from_json, is_good_enough, render, to_json

HORIZONS = list(range(1, 101))


def summary(mean: float) -> dict[str, float]:
    return {"mean": mean}


def good_report() -> dict[str, Any]:
    return {
        "reconstruction": {"explained": 0.95, "explained_moving": 0.8},
        "open_loop": {
            "windows": 12,
            "horizons": HORIZONS,
            "latent": {name: [size] * 100 for name, size in (("dream", 0.5), ("hold", 1.0), ("other", 1.5))},
        },
        "calibration": {
            "termination": {
                "expected_terminations": 9.0,
                "actual_terminations": 10,
                "log_loss": 0.1,
                "log_loss_of_the_rate": 0.2,
            },
            "progress": {"explained": 0.8, "error_of_total": 0.05},
        },
        "familiarity": {"controller": 0.5, "follower": 0.4},
        "bad_policies": [{"policy": "still", "real": summary(-93.0), "dream": summary(-93.0), "passes": True}],
        "policies": [{"policy": "controller", "real": summary(900.0), "dream": [summary(910.0)]}],
        "agreement": [{"spearman": 0.95, "policies": 38, "bias": 30.0}],
    }


def failing(report: dict[str, Any]) -> list[Finding]:
    return [finding for finding in diagnose(report, fps=50) if finding.passes is False]


def test_a_good_world_model_passes_every_question() -> None:
    findings = diagnose(good_report(), fps=50)
    assert [finding.passes for finding in findings] == [True] * 8
    assert is_good_enough(findings)
    text = render(findings)
    assert text.splitlines()[0] == "Verdict: good enough to train in."
    assert " ".join(text.split()).endswith(NEXT)


@pytest.mark.parametrize("windows", [0, 1])
def test_m_is_not_judged_without_another_moment(windows: int) -> None:
    report = good_report()
    report["open_loop"] |= {"windows": windows} | ({"horizons": [], "latent": {}} if windows == 0 else {})
    (finding,) = [each for each in diagnose(report, fps=50) if each.about == "M remembers"]
    assert finding.passes is None


@pytest.mark.parametrize(
    ("path", "value", "about"),
    [
        (("reconstruction", "explained"), 0.5, "V sees"),
        (("reconstruction", "explained_moving"), 0.1, "V sees"),
        (("open_loop", "latent", "dream"), [1.1] * 100, "M remembers"),
        (("calibration", "termination", "expected_terminations"), 1.0, "Terminations"),
        (("calibration", "termination", "expected_terminations"), 40.0, "Terminations"),
        (("calibration", "termination", "log_loss"), 0.3, "Terminations"),
        (("calibration", "progress", "explained"), 0.1, "Reward"),
        (("calibration", "progress", "error_of_total"), 0.3, "Reward"),
        (("familiarity", "controller"), -0.2, "The data"),
        (("agreement", 0, "spearman"), 0.3, "The dream ranks"),
        (("policies", 0, "dream", 0, "mean"), 1500.0, "The controller gets"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_try(path: tuple[Any, ...], value: Any, about: str) -> None:
    report = good_report()
    part = report
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    (finding,) = failing(report)
    assert finding.about.startswith(about)
    assert finding.remedies
    text = render(diagnose(report, fps=50))
    assert text.startswith("Verdict: not good enough to train in yet (1 of 8 checks fail).")
    assert f"FAIL {about}" in text
    assert "longer search" not in text
    assert f"- {finding.remedies[0].split()[0]}" in text


def test_a_dream_is_too_kind_where_a_probe_is_paid_what_would_tempt() -> None:
    report = good_report()
    (probe,) = report["bad_policies"]
    probe["passes"] = False
    probe["dream"] = summary(-90.0)  # sure, but 3 of the 993 points between it and the controller
    assert not failing(report)
    probe["dream"] = summary(0.0)
    (finding,) = failing(report)
    assert "still 0 instead of -93" in finding.measured


def test_memory_is_judged_at_the_same_time_whatever_the_frame_rate() -> None:
    report = good_report()
    report["open_loop"]["latent"]["dream"] = [0.5] * 20 + [2.0] * 80  # good for 20 steps
    assert [finding.about for finding in failing(report)] == ["M remembers"]
    assert not [finding for finding in diagnose(report, fps=35) if finding.passes is False]


def test_too_little_to_judge_by_is_no_failure() -> None:
    report = good_report()
    report["calibration"]["termination"] |= {"expected_terminations": 0.1, "actual_terminations": 1}
    report["calibration"]["progress"]["explained"] = None
    report["open_loop"] = {"windows": 0, "latent": {}}
    report["reconstruction"] = {"explained": None, "explained_moving": None}
    found = {finding.about: finding.passes for finding in diagnose(report, fps=50)}
    assert list(found.values()).count(None) == 4
    assert is_good_enough(diagnose(report, fps=50))


def test_probes_without_a_controller_are_not_judged() -> None:
    probe = {"policy": "still", "real": {"mean": 0.0}, "dream": {"mean": 1.0}, "passes": False}
    other = {"policy": "mine", "real": {"mean": 1.0}, "dream": [{"mean": 1.0}]}
    (finding,) = diagnose({"bad_policies": [probe], "policies": [other]}, fps=10)
    assert finding.passes is None


def test_a_controller_may_be_better_in_reality_than_in_the_dream() -> None:
    for real, dream, passes in ((-40.0, -120.0, True), (900.0, 700.0, True), (300.0, 900.0, False), (0.0, 0.0, True)):
        (finding,) = diagnose({"controller": {"real": real, "dream": dream}}, fps=50)
        assert finding.passes is passes


def test_a_verdict_is_the_same_when_it_is_read_again() -> None:
    report = good_report()
    report["agreement"][0]["spearman"] = 0.1
    findings = diagnose(report, fps=50)
    assert from_json(json.loads(json.dumps(to_json(findings)))) == findings
    assert to_json(findings)["good_enough"] is False


def test_what_was_not_measured_is_not_asked() -> None:
    report = copy.deepcopy(good_report())
    report["calibration"]["progress"] = None
    assert "Reward is predictable" not in {finding.about for finding in diagnose(report, fps=50)}
    assert diagnose({}, fps=50) == []
    only = {"reconstruction": report["reconstruction"]}
    assert [finding.about for finding in diagnose(only, fps=50)] == ["V sees what matters"]
