"""From figures to JSON, tables and plots."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure
from benchmarks.reality import SHIPPED
from dreamgym.files import write_text
from dreamgym.reporting import markdown_table

__all__ = ["Results", "fill_page", "plot_curves", "write_json"]

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


@dataclasses.dataclass(frozen=True)
class Results:
    """A whole run."""

    machine: Mapping[str, Any]
    suites: Mapping[str, Sequence[Figure]]
    """Figures by suite."""
    anchors: Sequence[Figure]
    """The real environment and the roofs, measured by turns with every suite."""
    missing: Mapping[str, str]
    """What was not measured, and why."""

    @property
    def real_rate(self) -> float:
        """Steps a second of CarRacing-v3 as Gymnasium ships it."""
        return next(figure.median for figure in self.anchors if figure.case.name == SHIPPED)


def write_json(path: Path, results: Results) -> None:
    """Every value of every round, and the machine, atomically."""

    def entry(figure: Figure) -> dict[str, Any]:
        case = {
            field.name: getattr(figure.case, field.name)
            for field in dataclasses.fields(figure.case)
            if field.name not in ("measure", "warm_up")
        }
        beside: dict[str, Any] = {}
        if figure.roofs:
            beside |= {"roofs_beside": list(figure.roofs), "share_of_roof": figure.share_of_roof}
        if figure.references:
            beside |= {"references": list(figure.references), "times_reference": figure.times_reference}
        return {**case, "values": list(figure.values), **beside}

    content = {
        "machine": dict(results.machine),
        "anchors": [entry(figure) for figure in results.anchors],
        "suites": {name: [entry(figure) for figure in figures] for name, figures in results.suites.items()},
        "not_measured": dict(results.missing),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=1) + "\n")


def fill_page(page: Path, results: Results, titles: Mapping[str, str], images: Sequence[str]) -> None:
    """Put tables and pictures between the page's two marks, in place of what stands there.

    Args:
        page: a Markdown file.
        results: the run.
        titles: of the suites, in order.
        images: files to show, relative to the page.

    Raises:
        ValueError: the page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, found_too, after = rest.partition(END)
    if not (found and found_too):
        raise ValueError(f"expected {BEGIN} and {END} in {page}")
    parts = [_machine(results), "### The roof, and the real environment\n\n" + _table(results.anchors)]
    for name, title in titles.items():
        if figures := results.suites.get(name):
            curves = any(figure.case.batch is not None for figure in figures)
            parts.append(f"### {title}\n\n" + (_pivot(figures) if curves else _table(figures)))
    parts += [f"![{Path(image).stem.replace('-', ' ')}]({image})" for image in images]
    write_text(page, f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}")


def _machine(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']};",
        f"{versions}.",
        f"Load before the run: {machine['load_before']}.",
    ]
    lines += [f"Not measured: {what} ({why})." for what, why in results.missing.items()]
    return "\n".join(lines)


def _table(figures: Sequence[Figure]) -> str:
    rows = []
    for figure in figures:
        case = figure.case
        ratio = "" if figure.times_reference is None else number(figure.times_reference)
        threads = f", {case.threads} threads" if case.unit == "GFLOP/s" and case.threads > 1 else ""
        rows.append((case.name + threads, f"{_spread(figure)} {case.unit}", ratio, _share(figure)))
    return markdown_table(("what", "median (lowest – highest)", "× CarRacing-v3", "of the roof"), rows)


def _pivot(figures: Sequence[Figure]) -> str:
    """Batch sizes down, curves across."""
    names = list(dict.fromkeys(figure.case.name for figure in figures))
    batches = sorted({figure.case.batch or 0 for figure in figures})
    cells = {
        (figure.case.batch, figure.case.name): ", ".join(filter(None, (_spread(figure), _share(figure))))
        for figure in figures
    }
    unit = f"Unit: {figures[0].case.unit}; after the range, the share of the roof measured right after."
    rows = [(f"{batch:,}", *(cells.get((batch, name), "") for name in names)) for batch in batches]
    return f"{unit}\n\n{markdown_table(('batch', *names), rows)}"


def _spread(figure: Figure) -> str:
    return f"{number(figure.median)} ({number(figure.low)} – {number(figure.high)})"


def _share(figure: Figure) -> str:
    return "" if figure.share_of_roof is None else f"{100 * figure.share_of_roof:.0f} %"


def number(value: float) -> str:
    """Three significant digits, thousands parted by commas."""
    if abs(value) >= 100:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def plot_curves(path: Path, figures: Sequence[Figure], title: str, reference: Mapping[str, float]) -> None:
    """Rates over batch sizes, both logarithmic, the range of the rounds as bars, with horizontal lines to compare with.

    Args:
        path: an SVG file.
        figures: those with a batch size.
        title: of the plot.
        reference: label and height of each line, in the figures' unit.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    mpl.rcParams["svg.hashsalt"] = "dreamgym"  # the same figures, the same file
    canvas = Canvas(figsize=(7.2, 4.4), layout="constrained")
    axes = canvas.subplots()
    for name in dict.fromkeys(figure.case.name for figure in figures):
        curve = [figure for figure in figures if figure.case.name == name]
        medians = [figure.median for figure in curve]
        spread = [[f.median - f.low for f in curve], [f.high - f.median for f in curve]]
        axes.errorbar([f.case.batch or 0 for f in curve], medians, spread, marker="o", ms=3, capsize=2, label=name)
    for label, height in reference.items():
        axes.axhline(height, color="tab:grey", linestyle="--", linewidth=1)
        axes.annotate(label, (1, height), fontsize=7, va="bottom", color="tab:grey")
    axes.set(xscale="log", yscale="log", xlabel="batch", ylabel=figures[0].case.unit, title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, format="svg", metadata={"Date": None})
