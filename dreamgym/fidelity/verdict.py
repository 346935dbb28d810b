"""Whether a world model is good enough to train in, in plain words, and what to try where it is not.

:func:`diagnose` reads what was measured and skips what was not: a full report of ``dreamgym fidelity``, or the few
figures that ``dreamgym train all`` has at its end.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from dreamgym.evaluate.scores import decimals, rounded

__all__ = ["Finding", "diagnose", "is_good_enough", "render", "to_json"]

LEAST_EXPLAINED: Final = 0.7
"""Of the frames' variance. CarRacing's shipped V keeps more than 0.9; below 0.7 a person does not know the scene."""
LEAST_EXPLAINED_MOVING: Final = 0.4
"""Of the variance of pixels that moved. Small moving things are what V loses first: a V of Take Cover that kept less
than half of its fireballs gave a controller that died as soon as a blind one."""
REMEMBERED_SECONDS: Final = 0.5
"""For so long an open-loop dream must be nearer to the truth than a frozen picture: the time of a reaction. A dream is
one draw of many futures, so that for a second or more even a perfect one may be further away."""
MOST_UNEXPECTED: Final = 2.0
"""Ratio of terminations expected to those that happened, either way: chance alone gives 2 with 5 of them or fewer."""
FEWEST_TERMINATIONS: Final = 5
LEAST_FORESEEN: Final = 0.3
"""Of the variance of reward between windows of a second. CarRacing's shipped M foresees more than 0.8; below 0.3 the
return of a dream says little about the policy."""
MOST_REWARD_ERROR: Final = 0.25
"""Of the sum of rewards, as a share of the sum of their sizes: beyond, every return in the dream is off by as much."""
MOST_OVERPAID: Final = 0.05
"""What a probe gets too much, as a share of what the controller earns above it. An optimizer finds any such gain; one
below a twentieth is never worth giving up play for."""
LEAST_SPEARMAN: Final = 0.7
"""Between dream and reality, over policies: below, the better of two policies is often the worse in the dream."""
MOST_OPTIMISM: Final = 0.25
"""What the controller's mean return in the dream may be above reality's, as a share of the larger: an optimizer always
finds a little that is not there; beyond a quarter it mostly optimizes errors."""
MOST_UNFAMILIAR: Final = 0.3
"""Nats a latent that the controller's own episodes may be less likely than the other players': a third more error in
every latent than on the data."""

NEXT: Final = (
    "A controller that is still weak may need a longer search: more generations (`dreamgym evolve --generations`), or "
    "an RL library in the dream. One that does better in the dream than in reality needs its own episodes: one more "
    "round of `train all`."
)
"""What to do where nothing fails."""


@dataclass(frozen=True)
class Finding:
    """One question about a world model, and its answer."""

    about: str
    """What was asked, in a few words."""
    passes: bool | None
    """None where there was too little to judge by."""
    measured: str
    """A sentence with the figures."""
    remedies: tuple[str, ...] = ()
    """What to try where it does not pass, the likeliest first."""


def diagnose(report: Mapping[str, Any], *, fps: int) -> list[Finding]:
    """Every question that the figures answer.

    Args:
        report: any of ``reconstruction``, ``open_loop``, ``calibration``, ``familiarity``, ``policies``,
            ``bad_policies`` beside these, and ``agreement``, as ``report.json`` has them. For ``policies`` may stand
            ``controller``, its mean returns as ``{"real": ..., "dream": ...}``.
        fps: steps in a second.
    """
    findings: list[Finding] = []
    if "reconstruction" in report:
        findings.append(_vision(report["reconstruction"]))
    if "open_loop" in report:
        findings.append(_memory(report["open_loop"], max(1, round(REMEMBERED_SECONDS * fps))))
    if "calibration" in report:
        findings.append(_terminations(report["calibration"]["termination"]))
        if report["calibration"]["progress"] is not None:
            findings.append(_reward(report["calibration"]["progress"]))
    if len(report.get("familiarity", {})) > 1 and "controller" in report["familiarity"]:
        findings.append(_data(report["familiarity"]))
    controller = _of_controller(report)
    if controller is not None:
        findings.append(_optimism(*controller))
    if report.get("bad_policies"):
        findings.append(_kindness(report["bad_policies"], report["policies"]))
    if report.get("agreement"):
        findings.append(_ranking(report["agreement"][0]))
    return findings


def is_good_enough(findings: Sequence[Finding]) -> bool:
    """Whether nothing that could be judged fails."""
    return all(finding.passes is not False for finding in findings)


def from_json(entry: Mapping[str, Any]) -> list[Finding]:
    """The findings of a verdict that :func:`to_json` gave."""
    return [Finding(**{**finding, "remedies": tuple(finding["remedies"])}) for finding in entry["findings"]]


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The verdict as ``report.json`` holds it."""
    return {"good_enough": is_good_enough(findings), "findings": [asdict(finding) for finding in findings]}


def render(findings: Sequence[Finding], width: int = 100) -> str:
    """The verdict as plain text, for a terminal and a page."""
    failing = [finding for finding in findings if finding.passes is False]
    head = (
        "Verdict: good enough to train in."
        if not failing
        else f"Verdict: not good enough to train in yet ({len(failing)} of {len(findings)} checks fail)."
    )
    lines = [line for finding in findings for line in _lines(finding, width)]
    if not failing:
        lines += textwrap.wrap(NEXT, width, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([head, *lines])


def _lines(finding: Finding, width: int) -> Iterator[str]:
    mark = {True: "ok  ", False: "FAIL", None: "?   "}[finding.passes]
    yield from textwrap.wrap(
        f"{mark} {finding.about}: {finding.measured}", width, initial_indent="  ", subsequent_indent=" " * 7
    )
    if finding.passes is False:
        for remedy in finding.remedies:
            yield from textwrap.wrap(f"- {remedy}", width, initial_indent=" " * 7, subsequent_indent=" " * 9)


def _vision(figures: Mapping[str, Any]) -> Finding:
    about, explained, moving = "V sees what matters", figures["explained"], figures["explained_moving"]
    if explained is None:
        return Finding(about, None, "the held-out frames are all alike.")
    measured = f"V keeps {explained:.0%} of the frames' variance"
    if moving is not None:
        measured += f", and {moving:.0%} where pixels moved"
    seen = explained >= LEAST_EXPLAINED and (moving is None or moving >= LEAST_EXPLAINED_MOVING)
    return Finding(
        about,
        seen,
        f"{measured} (at least {LEAST_EXPLAINED:.0%} and {LEAST_EXPLAINED_MOVING:.0%} wanted).",
        (
            "Look at worst_frames.png of `dreamgym fidelity`: is what the player must see still there?",
            "Small bright things: `train vision --error-power-weight` makes badly wrong pixels count more.",
            "Train V for more steps, or with a larger --reconstruction-weight.",
            "More latents (--latents), or a crop that leaves out what never matters.",
        ),
    )


def _memory(curves: Mapping[str, Any], step: int) -> Finding:
    about = "M remembers"
    horizon = min(step, len(curves.get("horizons", ())))
    if not horizon:
        return Finding(about, None, "no recorded episode was long enough.")
    if curves["windows"] < 2:
        return Finding(about, None, "one recorded episode alone was long enough, which has no other to compare with.")
    dream, hold, other = (curves["latent"][name][horizon - 1] for name in ("dream", "hold", "other"))
    return Finding(
        about,
        dream < hold and dream < other,
        f"after {horizon} steps without a look at reality a dream is {dream:.2f} off, a frozen picture {hold:.2f} and "
        f"a picture of another moment {other:.2f}.",
        (
            "Train M for more steps; check that its loss on held-out episodes still falls.",
            "Record more episodes: M forgets what it has seen too little of.",
            "Longer training sequences or more hidden units (`train memory`).",
            "Check that an action is recorded with the frame before it: a shift by one looks like this.",
        ),
    )


def _terminations(figures: Mapping[str, Any]) -> Finding:
    expected, actual = figures["expected_terminations"], figures["actual_terminations"]
    measured = f"{expected:.1f} were expected and {actual} happened"
    if max(expected, actual) < FEWEST_TERMINATIONS:
        return Finding("Terminations come when they should", None, f"{measured}: too few to judge by.")
    ratio = max(expected, 0.01) / max(actual, 0.01)
    beats_rate = figures["log_loss"] <= figures["log_loss_of_the_rate"]
    return Finding(
        "Terminations come when they should",
        1.0 / MOST_UNEXPECTED <= ratio <= MOST_UNEXPECTED and beats_rate,
        f"{measured}; log loss {figures['log_loss']:.4f} against {figures['log_loss_of_the_rate']:.4f} for always "
        "saying the mean rate.",
        (
            "Record more episodes that fail, with players who fail in different ways.",
            "Fit the termination head again, to M's own dreams too (`train all --dreamed-terminations`).",
            "See the first finding: a failure that V does not show cannot be foreseen.",
        ),
    )


def _reward(figures: Mapping[str, Any]) -> Finding:
    about, explained, error = "Reward is predictable", figures["explained"], figures["error_of_total"]
    if explained is None:
        return Finding(about, None, "the held-out episodes pay too little to judge by.")
    return Finding(
        about,
        explained >= LEAST_FORESEEN and error <= MOST_REWARD_ERROR,
        f"M foresees {explained:.0%} of how the reward of a second varies, and its sum is off by {error:.0%} of what "
        "was paid and charged in all.",
        (
            "Check that the reward shows in the picture, or follows from what was seen: M knows nothing else.",
            "Record more episodes that are paid: with a better player, or the controller itself.",
            "Reward that comes late or seldom: give the world a label that comes before it.",
        ),
    )


def _data(likelihoods: Mapping[str, float]) -> Finding:
    own = likelihoods["controller"]
    others = [value for name, value in likelihoods.items() if name != "controller"]
    mean = sum(others) / len(others)
    return Finding(
        "The data reach where the controller goes",
        mean - own <= MOST_UNFAMILIAR,
        f"a latent of the controller's own episodes has {own:.2f} nats, of the other players' {mean:.2f}.",
        (
            "Record episodes of the controller, disturbed too, and train on: one more round of `train all`.",
            "Add players that come to such places (a world's `players` and `recordings`).",
        ),
    )


def _of_controller(report: Mapping[str, Any]) -> tuple[float, float] | None:
    """The controller's mean return in reality and in the dream at the default temperature, where they are known."""
    if "controller" in report:
        return report["controller"]["real"], report["controller"]["dream"]
    for entry in report.get("policies", ()):
        if entry["policy"] == "controller":
            return entry["real"]["mean"], entry["dream"][0]["mean"]
    return None


def _optimism(real: float, dream: float) -> Finding:
    larger, digits = max(abs(real), abs(dream), 1e-9), decimals(real, dream)
    return Finding(
        "The controller gets in reality what the dream promises",
        (dream - real) / larger <= MOST_OPTIMISM,
        f"{real:.{digits}f} in reality and {dream:.{digits}f} in the dream.",
        (
            "Record episodes of this controller and train M on: one more round of `train all`.",
            "Evolve at a higher temperature, or penalize what reality punishes (smoothness, action_penalty).",
            "Choose checkpoints by real validation episodes, never by their score in the dream.",
        ),
    )


def _kindness(probes: Sequence[Mapping[str, Any]], policies: Sequence[Mapping[str, Any]]) -> Finding:
    about = "Policies that should score at the minimum do"
    best = next((entry["real"]["mean"] for entry in policies if entry["policy"] == "controller"), None)
    if best is None:
        return Finding(about, None, "there is no policy of the name controller to compare them with.")
    kind = []
    for entry in probes:
        real, dream = entry["real"]["mean"], entry["dream"]["mean"]
        if not entry["passes"] and dream - real > MOST_OVERPAID * max(best - real, 0.0):
            digits = decimals(real, dream)
            kind.append(f"{entry['policy']} {dream:.{digits}f} instead of {real:.{digits}f}")
    paid = "; ".join(kind) if kind else f"none of {len(probes)} gets more than in reality that would matter"
    return Finding(
        about,
        not kind,
        f"{paid} (the controller has {rounded(best)} in reality).",
        (
            "Record players who do just that, for as long as an episode lasts.",
            "A reward threshold in the world's RewardRule: small spurious predictions count as 0.",
            "A higher temperature while evolving makes such gains less sure.",
        ),
    )


def _ranking(figures: Mapping[str, Any]) -> Finding:
    rho, bias = figures["spearman"], figures["bias"]
    return Finding(
        "The dream ranks policies as reality does",
        rho >= LEAST_SPEARMAN,
        f"Spearman's rho is {rho:.2f} over {figures['policies']} policies, and the dream pays "
        f"{rounded(bias, '+')} more than reality on average.",
        ("Look at the table of policies for those that differ most, and record episodes like theirs.",),
    )
