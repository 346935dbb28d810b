"""The plots of a fidelity report. matplotlib is imported when the first is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamgym.errors import InstallationError
from dreamgym.files import atomic_write

__all__ = ["plot_calibration", "plot_open_loop", "plot_returns", "plot_survival", "require_matplotlib"]

_COLOURS = {
    "dream": "tab:blue",
    "hold": "tab:orange",
    "steady": "tab:orange",
    "other": "tab:grey",
    "vision": "tab:green",
}


def require_matplotlib() -> None:
    """Raise :class:`~dreamgym.errors.InstallationError` unless plots can be drawn and ranks compared."""
    try:
        import matplotlib.figure  # noqa: F401
        import scipy.stats  # noqa: F401
    except ImportError as error:
        raise InstallationError(
            f"this needs matplotlib and scipy, of which one does not import ({error}); run: "
            "pip install 'dreamgym[train]'"
        ) from error


def _figure(columns: int, height: float = 4.0) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure  # without pyplot: no display, no state of the process's

    figure = Figure(figsize=(4.6 * columns, height), layout="constrained")
    return figure, list(np.ravel(figure.subplots(1, columns)))


def _save(figure: Any, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def plot_returns(
    path: Path,
    real: Mapping[str, tuple[float, float]],
    dreams: Mapping[float, Mapping[str, tuple[float, float]]],
    correlations: Mapping[float, float],
    bad: Sequence[str],
) -> None:
    """Dream return against real return, a panel a temperature.

    Args:
        path: of the PNG.
        real: each policy's mean return and its standard error.
        dreams: the same at each temperature.
        correlations: Spearman's at each temperature.
        bad: policies drawn as crosses.
    """
    figure, axes = _figure(len(dreams))
    values = [value for table in (real, *dreams.values()) for value, _ in table.values()]
    margin = 0.03 * (max(values) - min(values)) or 1.0
    ends = (min(values) - margin, max(values) + margin)
    for axis, (temperature, dream) in zip(axes, dreams.items(), strict=True):
        axis.plot(ends, ends, color="lightgrey", zorder=0)
        for name, (value, error) in real.items():
            theirs, spread = dream[name]
            style = {"fmt": "x", "color": "tab:red"} if name in bad else {"fmt": "o", "color": "tab:blue"}
            axis.errorbar(value, theirs, xerr=error, yerr=spread, markersize=4, elinewidth=0.7, **style)
        axis.set(xlim=ends, ylim=ends, xlabel="return in reality", ylabel="return in the dream")
        axis.set_title(f"temperature {temperature:g}: ρ = {correlations[temperature]:.2f}")
    _save(figure, path)


def plot_open_loop(path: Path, curves: Mapping[str, Any]) -> None:
    """Error against horizon: latents, pixels, progress."""
    figure, axes = _figure(3, 3.6)
    panels = (
        ("latent", "horizons", "latents: rms difference"),
        ("pixel", "pixel_horizons", "pixels: rms difference of 255"),
        ("progress", "horizons", "progress: mean difference, units"),
    )
    for axis, (quantity, horizons, title) in zip(axes, panels, strict=True):
        for name, curve in curves[quantity].items():
            if name in _COLOURS:
                axis.plot(curves[horizons], curve, label=name, color=_COLOURS[name])
        axis.set(title=title, xlabel="steps dreamed", ylim=(0, None))
        axis.legend(frameon=False)
    _save(figure, path)


def plot_calibration(path: Path, figures: Mapping[str, Any]) -> None:
    """Predicted against actual progress and ends, and the histogram of quantiles."""
    figure, axes = _figure(3, 3.6)
    if figures["progress"] is not None:
        _predicted_against_actual(axes[0], figures["progress"]["bins"], "reward, units a step")
    _predicted_against_actual(axes[1], figures["termination"]["bins"], "probability of the end")
    for scale in (axes[1].set_xscale, axes[1].set_yscale):
        scale("symlog", linthresh=1e-4)
    axes[1].set(xlim=(-2e-5, 1.5), ylim=(-2e-5, 1.5))
    shares = figures["latents"]["histogram"]
    axes[2].bar((np.arange(len(shares)) + 0.5) / len(shares), shares, width=0.9 / len(shares))
    axes[2].axhline(1.0 / len(shares), color="tab:red")
    axes[2].set(title="quantiles of the latents", xlabel="quantile of M's prediction", ylabel="share")
    _save(figure, path)


def plot_survival(path: Path, curves: Mapping[str, Any], columns: int = 6) -> None:
    """Share of episodes alive by step, dream and reality, a panel a policy."""
    from matplotlib.figure import Figure

    policies = curves["policies"]
    rows = -(-len(policies) // columns)
    figure = Figure(figsize=(2.2 * columns, 1.9 * rows), layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)))
    for axis, each in zip(axes, policies, strict=False):
        axis.plot(curves["steps"], each["real"], color="tab:orange", label="reality")
        axis.plot(curves["steps"], each["dream"], color="tab:blue", label="dream")
        axis.set_title(each["policy"], fontsize=8)
        axis.set(ylim=(0, 1.05))
    for axis in axes[len(policies) :]:
        axis.set_axis_off()
    axes[0].legend(frameon=False, fontsize=7)
    figure.supxlabel("steps")
    figure.supylabel("share alive")
    _save(figure, path)


def _predicted_against_actual(axis: Any, bins: Sequence[Mapping[str, float]], title: str) -> None:
    predicted, actual = [entry["predicted"] for entry in bins], [entry["actual"] for entry in bins]
    errors = [entry.get("standard_error", 0.0) for entry in bins]
    top = max([*predicted, *actual, 1e-6])
    axis.plot((0, top), (0, top), color="lightgrey", zorder=0)
    axis.errorbar(predicted, actual, yerr=errors, fmt="o", markersize=4)
    axis.set(title=title, xlabel="predicted", ylabel="actual")
