"""The report as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["calibration_section", "render_page", "table"]


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _verdict(passes: bool) -> str:
    return "yes" if passes else "**no**"


def render_page(report: Mapping[str, Any]) -> str:
    """The whole page, from what ``report.json`` holds."""
    config = report["config"]
    about = (
        f"`{report['command']}`, {config['episodes']} real tracks and {config['dream_episodes']} dreams a policy; "
        f"default temperature {report['temperature']:g}."
    )
    parts = [
        "# How far the dream and reality agree",
        about,
        "## Returns of fixed policies",
        _returns(report),
        "![dream return against real return](returns.png)",
        "## Policies that must earn nothing",
        _bad_bound(config),
        _bad(report),
        "## Nothing faster than a car",
        _race(report["race"]),
        "## Open-loop error",
        _open_loop(report["open_loop"]),
        "## Calibration, one step ahead",
        calibration_section(report["calibration"]),
        "![calibration](calibration.png)",
        "## Every policy",
        _policies(report),
    ]
    return "\n\n".join(parts) + "\n"


def _returns(report: Mapping[str, Any]) -> str:
    rows = [
        (f"{entry['temperature']:g}", f"{entry['spearman']:.3f}", f"{entry['pearson']:.3f}", f"{entry['bias']:+.0f}",
         f"{entry['mean_absolute_difference']:.0f}")
        for entry in report["agreement"]
    ]  # fmt: skip
    first = report["agreement"][0]
    counts = f"{first['policies']} policies, {first['policies_above_500']} of them above 500 in reality."
    header = ("temperature", "Spearman's ρ", "Pearson's r", "mean dream − real", "mean absolute difference")
    return f"{counts}\n\n{table(header, rows)}"


def _bad_bound(config: Mapping[str, Any]) -> str:
    return (
        f"On {config['bad_episodes']} real tracks and in {config['bad_dream_episodes']} dreams each, "
        "means ± standard errors. In the dream at most the real mean plus two standard errors (of the difference of "
        "the means)."
    )


def _bad(report: Mapping[str, Any]) -> str:
    rows = [
        (entry["policy"], *(f"{entry[of]['mean']:.1f} ± {entry[of]['standard_error']:.1f}" for of in ("real", "dream")),
         f"{100 * entry['dream']['share_leaving']:.1f} %", f"{entry['standard_error']:.1f}", _verdict(entry["passes"]))
        for entry in report["bad_policies"]
    ]  # fmt: skip
    header = ("policy", "reality", "dream", "dreams that leave", "standard error of the difference", "passes")
    return table(header, rows)


def _race(race: Mapping[str, Any]) -> str:
    rows = [
        ("tiles in 100 steps, at most", f"{race['real_tiles_in_100_steps']:.1f}",
         f"{race['dream_tiles_in_100_steps']:.1f} ({race['dream_policy']})"),
        ("steps of a lap, at least", race["real_lap_steps"] or "–", race["dream_lap_steps"] or "–"),
    ]  # fmt: skip
    return f"{table(('', 'reality', 'dream'), rows)}\n\nPasses: {_verdict(race['passes'])}."


def _open_loop(curves: Mapping[str, Any]) -> str:
    if not curves["windows"]:
        return "No drive was long enough."
    horizons = curves["pixel_horizons"]
    rows = []
    for quantity, digits in (("latent", 3), ("pixel", 1), ("progress", 2)):
        for name, curve in curves[quantity].items():
            at = curve if quantity == "pixel" else [curve[step - 1] for step in horizons]
            rows.append((f"{quantity}: {name}", *(f"{value:.{digits}f}" for value in at)))
    about = (
        f"{curves['windows']} windows of real drives by the controller and the scripted follower, dreamed on with the "
        f"real actions after {curves['burn_in']} real frames, at temperature {curves['temperature']:g}. *hold* keeps "
        "the last real frame, *other* is another window's real frame, *floor* is what V itself loses, *steady* goes on "
        "at the last real speed; *real* and *paid* are the tiles made and the tiles M paid for. Latents and pixels "
        "(of 255) as root mean squares, tiles as mean absolute differences."
    )
    curve_table = table(("steps", *map(str, horizons)), rows)
    return f"{about}\n\n{curve_table}\n\n![error against horizon](open_loop.png)"


def calibration_section(figures: Mapping[str, Any]) -> str:
    """What :func:`dreamgym.fidelity.calibration.calibration` found."""
    progress, termination, latents = figures["progress"], figures["termination"], figures["latents"]
    bins = [
        (f"{entry['predicted']:.4f}", f"{entry['actual']:.4f}", f"{entry['standard_error']:.4f}", entry["steps"])
        for entry in progress["bins"]
    ]
    ends = [
        (f"{entry['from']:g} – {entry['to']:g}", f"{entry['predicted']:.5f}", f"{entry['actual']:.5f}", entry["steps"])
        for entry in termination["bins"]
    ]
    ratio = "–" if progress["ratio"] is None else f"{progress['ratio']:.3f}"
    tiles = f"{progress['predicted_total']:.0f} tiles predicted, {progress['actual_total']:.0f} made (ratio {ratio})"
    losses = f"{termination['log_loss']:.5f}, of the base rate {termination['log_loss_of_the_rate']:.5f}"
    quantiles = (
        f"Latents: {latents['below_5_percent']:.1%} below M's 5 % quantile, {latents['above_95_percent']:.1%} above "
        f"its 95 % quantile; the cumulative histogram is at most {latents['largest_gap']:.3f} off "
        f"({latents['largest_gap_of_a_latent']:.3f} for the worst latent); log likelihood "
        f"{latents['log_likelihood']:.3f} nats a latent."
    )
    expected = f"{termination['expected_ends']:.1f} expected, {termination['actual_ends']} happened"
    parts = [
        f"{figures['steps']} steps of held-out real drives.",
        f"Progress: {tiles}.",
        table(("predicted tiles a step", "actual", "standard error", "steps"), bins),
        f"Ends without a lap: {expected}; log loss {losses}.",
        table(("predicted probability", "mean", "actual share", "steps"), ends),
        quantiles,
    ]
    return "\n\n".join(parts)


def _policies(report: Mapping[str, Any]) -> str:
    temperatures = [entry["temperature"] for entry in report["agreement"]]
    rows = []
    for entry in sorted(report["policies"], key=lambda entry: -entry["real"]["mean"]):
        dreams = [f"{dream['mean']:.0f} ± {dream['std']:.0f}" for dream in entry["dream"]]
        rows.append((entry["policy"], f"{entry['real']['mean']:.0f} ± {entry['real']['std']:.0f}", *dreams))
    return table(("policy", "reality", *(f"dream at {value:g}" for value in temperatures)), rows)
