"""The report as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dreamgym.evaluate.scores import decimals, mean_and_spread
from dreamgym.reporting import markdown_table

__all__ = ["calibration_section", "render_page", "verdict_section"]


def _passes(passes: bool) -> str:
    return "yes" if passes else "**no**"


def render_page(report: Mapping[str, Any]) -> str:
    """The whole page, from what ``report.json`` holds."""
    config = report["config"]
    about = (
        f"`{report['command']}`, {config['episodes']} real episodes and {config['dream_episodes']} dreams a policy; "
        f"default temperature {report['temperature']:g}."
    )
    sections = {
        "Verdict": verdict_section(report["verdict"]),
        "Returns of fixed policies": f"{_returns(report)}\n\n![dream return against real return](returns.png)",
        "Policies that should score at the minimum": _bad(report),
        "Nothing faster than reality": _speed(report["speed"]) if "speed" in report else None,
        "Survival": _survival(report["survival"]) if "survival" in report else None,
        "What V keeps": _reconstruction(report["reconstruction"]),
        "Open-loop error": _open_loop(report["open_loop"]),
        "Calibration, one step ahead": (
            f"{calibration_section(report['calibration'])}\n\n![calibration](calibration.png)"
        ),
        "Every policy": _policies(report),
    }
    body = [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(["# How far the dream and reality agree", about, *body]) + "\n"


def verdict_section(verdict: Mapping[str, Any]) -> str:
    """The findings of :mod:`dreamgym.fidelity.verdict` as a list, with what to try."""
    marks = {True: "passes", False: "**fails**", None: "too little to judge"}
    lines = [f"**{'Good enough' if verdict['good_enough'] else 'Not good enough yet'} to train in.**", ""]
    for finding in verdict["findings"]:
        lines.append(f"- *{finding['about']}*: {marks[finding['passes']]}; {finding['measured']}")
        if finding["passes"] is False:
            lines += [f"  - {remedy}" for remedy in finding["remedies"]]
    return "\n".join(lines)


def _returns(report: Mapping[str, Any]) -> str:
    digits = decimals(*(entry["mean_absolute_difference"] for entry in report["agreement"]))
    rows = [
        (f"{entry['temperature']:g}", f"{entry['spearman']:.3f}", f"{entry['pearson']:.3f}",
         f"{entry['bias']:+.{digits}f}", f"{entry['mean_absolute_difference']:.{digits}f}")
        for entry in report["agreement"]
    ]  # fmt: skip
    first = report["agreement"][0]
    counts = (
        f"{first['policies']} policies, {first['policies_in_upper_half']} of them in the upper half of the range of "
        "real means."
    )
    header = ("temperature", "Spearman's ρ", "Pearson's r", "mean dream − real", "mean absolute difference")
    return f"{counts}\n\n{markdown_table(header, rows)}"


def _bad(report: Mapping[str, Any]) -> str | None:
    if not report["bad_policies"]:
        return None
    config = report["config"]
    bound = (
        f"On {config['bad_episodes']} real seeds and in {config['bad_dream_episodes']} dreams each, "
        "means ± standard errors. In the dream at most the real mean plus two standard errors (of the difference of "
        "the means)."
    )
    means = [entry[of]["mean"] for entry in report["bad_policies"] for of in ("real", "dream")]
    digits = max(1, decimals(*means))
    rows = [
        (entry["policy"],
         *(f"{entry[of]['mean']:.{digits}f} ± {entry[of]['standard_error']:.{digits}f}" for of in ("real", "dream")),
         f"{100 * entry['dream']['share_failed']:.1f} %", f"{entry['standard_error']:.{digits}f}",
         _passes(entry["passes"]))
        for entry in report["bad_policies"]
    ]  # fmt: skip
    header = ("policy", "reality", "dream", "dreams that fail", "standard error of the difference", "passes")
    return f"{bound}\n\n{markdown_table(header, rows)}"


def _speed(speed: Mapping[str, Any]) -> str:
    rows = [
        ("units of progress in 100 steps, at most", f"{speed['real_units_in_100_steps']:.1f}",
         f"{speed['dream_units_in_100_steps']:.1f} ({speed['dream_policy']})"),
        ("steps of a complete episode, at least", speed["real_lap_steps"] or "–", speed["dream_lap_steps"] or "–"),
    ]  # fmt: skip
    return f"{markdown_table(('', 'reality', 'dream'), rows)}\n\nPasses: {_passes(speed['passes'])}."


def _survival(curves: Mapping[str, Any]) -> str:
    steps = curves["steps"]
    marks = [round(share * (len(steps) - 1)) for share in (0.1, 0.25, 0.5, 0.75)]
    rows = [
        (each["policy"], *(f"{each['real'][mark]:.0%}, {each['dream'][mark]:.0%}" for mark in marks),
         f"{each['largest_gap']:.2f}")
        for each in curves["policies"]
    ]  # fmt: skip
    header = ("policy: reality, dream", *(f"alive after {steps[mark]}" for mark in marks), "largest gap")
    return f"{markdown_table(header, rows)}\n\n![share alive by step](survival.png)"


def _reconstruction(figures: Mapping[str, Any]) -> str:
    moving = figures["explained_moving"]
    explained = figures["explained"]
    kept = "There is no telling what V keeps" if explained is None else f"V keeps {explained:.1%} of the variance"
    kept += f" of {figures['frames']} held-out frames"
    kept += ", which are all alike" if explained is None else ""
    kept += "" if moving is None else f", and {moving:.1%} of that of pixels that moved since the frame before"
    return f"{kept}. The frames of which it keeps least, above their reconstructions:\n\n![](worst_frames.png)"


def _open_loop(curves: Mapping[str, Any]) -> str:
    if not curves["windows"]:
        return "No episode was long enough."
    horizons = curves["pixel_horizons"]
    rows = []
    for quantity, digits in (("latent", 3), ("pixel", 1), ("progress", 2)):
        for name, curve in curves[quantity].items():
            at = curve if quantity == "pixel" else [curve[step - 1] for step in horizons]
            rows.append((f"{quantity}: {name}", *(f"{value:.{digits}f}" for value in at)))
    about = (
        f"{curves['windows']} windows of real episodes by the controller and other skilled players, dreamed on with "
        f"the real actions after {curves['burn_in']} real frames, at temperature {curves['temperature']:g}. *hold* "
        "keeps the last real frame, *other* is another window's real frame, *vision* is what V itself loses, *steady* "
        "goes on being paid as before; *real* and *paid* are the units of progress made and those that M paid for. "
        "Latents and pixels (of 255) as root mean squares, progress as mean absolute differences."
    )
    curve_table = markdown_table(("steps", *map(str, horizons)), rows)
    return f"{about}\n\n{curve_table}\n\n![error against horizon](open_loop.png)"


def calibration_section(figures: Mapping[str, Any]) -> str:
    """What :func:`dreamgym.fidelity.calibration.calibration` found."""
    termination, latents = figures["termination"], figures["latents"]
    ends = [
        (f"{entry['from']:g} – {entry['to']:g}", f"{entry['predicted']:.5f}", f"{entry['actual']:.5f}", entry["steps"])
        for entry in termination["bins"]
    ]
    losses = f"{termination['log_loss']:.5f}, of the base rate {termination['log_loss_of_the_rate']:.5f}"
    quantiles = (
        f"Latents: {latents['below_5_percent']:.1%} below M's 5 % quantile, {latents['above_95_percent']:.1%} above "
        f"its 95 % quantile; the cumulative histogram is at most {latents['largest_gap']:.3f} off "
        f"({latents['largest_gap_of_a_latent']:.3f} for the worst latent); log likelihood "
        f"{latents['log_likelihood']:.3f} nats a latent."
    )
    expected = f"{termination['expected_terminations']:.1f} expected, {termination['actual_terminations']} happened"
    parts = [
        f"{figures['steps']} steps of held-out real episodes.",
        *([] if figures["progress"] is None else _progress(figures["progress"])),
        f"Terminations, complete episodes left out: {expected}; log loss {losses}.",
        markdown_table(("predicted probability", "mean", "actual share", "steps"), ends),
        quantiles,
    ]
    return "\n\n".join(parts)


def _progress(progress: Mapping[str, Any]) -> list[str]:
    bins = [
        (f"{entry['predicted']:.4f}", f"{entry['actual']:.4f}", f"{entry['standard_error']:.4f}", entry["steps"])
        for entry in progress["bins"]
    ]
    ratio = "–" if progress["ratio"] is None else f"{progress['ratio']:.3f}"
    explained = "–" if progress["explained"] is None else f"{progress['explained']:.1%}"
    totals = progress["predicted_total"], progress["actual_total"]
    predicted, made = (f"{total:.{decimals(*totals)}f}" for total in totals)
    sums = (
        f"Reward: {predicted} units predicted, {made} made (ratio "
        f"{ratio}); {explained} of the variance between windows of {progress['window']} steps is foreseen."
    )
    return [
        sums,
        markdown_table(("predicted units a step", "actual", "standard error", "steps"), bins),
    ]


def _policies(report: Mapping[str, Any]) -> str:
    temperatures = [entry["temperature"] for entry in report["agreement"]]
    rows = []
    for entry in sorted(report["policies"], key=lambda entry: -entry["real"]["mean"]):
        dreams = [mean_and_spread(dream) for dream in entry["dream"]]
        rows.append((entry["policy"], mean_and_spread(entry["real"]), *dreams))
    return markdown_table(("policy", "reality", *(f"dream at {value:g}" for value in temperatures)), rows)
