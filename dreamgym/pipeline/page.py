"""A round's report as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamgym.evaluate.scores import mean_and_spread, rounded
from dreamgym.fidelity.page import calibration_section, verdict_section
from dreamgym.reporting import markdown_table

__all__ = ["render_page"]

_ABOUT_RETURNS = (
    "Of the round's controller: in the real validation episodes, and in dreams that begin at the true start of an "
    "episode. Validation runs are those of the evolution; the controller is the best of them."
)
_ABOUT_RECONSTRUCTIONS = "Episodes of the round's controller with other seeds; frames above their reconstructions."
_ABOUT_DREAMS = (
    "Pairs of rows: held-out episodes as V sees them, and below each the dream that left it after 16 frames and goes "
    "on with the real actions; every eighth frame."
)


def render_page(
    reports: Sequence[Mapping[str, Any]],
    *,
    reconstructions: str | None = None,
    dream: str | None = None,
    calibration: str | None = None,
) -> str:
    """The whole page of the last of the reports.

    Args:
        reports: of all rounds so far.
        reconstructions: where that picture is, as seen from the page; None where there is none.
        dream: likewise.
        calibration: likewise.
    """
    report = reports[-1]
    vision, foreseen = report["vision"], calibration_section(report["calibration"])
    checks = {name: value for name, value in vision.items() if name not in ("squared_error", "kl")}
    sections = {
        **({"Verdict": verdict_section(report["verdict"])} if "verdict" in report else {}),
        "Returns": f"{_ABOUT_RETURNS}\n\n{_returns(reports)}",
        "What V makes of these episodes": (
            f"Squared error {vision['squared_error']:.1f} a frame, summed over pixels; KL divergence "
            f"{vision['kl']:.1f} nats. {_ABOUT_RECONSTRUCTIONS}"
            + "".join(f" {name.replace('_', ' ').capitalize()}: {value:.2f}." for name, value in checks.items())
            + _picture("frames and reconstructions", reconstructions)
        ),
        "What M dreams": _ABOUT_DREAMS + _picture("dreams", dream),
        "Calibration, one step ahead": foreseen + _picture("calibration", calibration),
    }
    head = (
        f"# Round {report['round']}\n\n{report['frames']:,} frames so far. This round ended at "
        f"{report['finished']}, after {report['seconds'] / 60:.0f} minutes without a break."
    )
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def _picture(about: str, path: str | None) -> str:
    return f"\n\n![{about}]({path})" if path else "\n\nThe picture is gone."


def _returns(reports: Sequence[Mapping[str, Any]]) -> str:
    temperatures = list(reports[-1]["dream"])
    rows = [
        (
            report["round"],
            mean_and_spread(report["real"]),
            rounded(report["real"]["best"]),
            *(mean_and_spread(report["dream"][value]) for value in temperatures),
            ", ".join(f"{rounded(run['mean'])} ({run['generations']})" for run in report["validation_runs"]),
            f"{report['seconds'] / 60:.0f}",
        )
        for report in reports
    ]
    dreams = (f"dream at {value}" for value in temperatures)
    return markdown_table(("round", "reality", "best", *dreams, "validation runs (generations)", "minutes"), rows)
