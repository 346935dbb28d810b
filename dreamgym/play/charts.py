"""Seeing inside M: its latents and what it expected of them, reward, the end, and how far the dream has drifted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray

from dreamgym.play import theme
from dreamgym.play.session import Session
from dreamgym.play.theme import Painter, Rect

__all__ = ["draw_charts"]

_Series = NDArray[np.float64]
_Line = tuple[_Series, theme.Color]
_WINDOW: Final = 0.5
"""Seconds that rewards are averaged over: they may come in lumps."""
_REACH: Final = 3.5
"""Latents are shown within this on both sides."""


def draw_charts(painter: Painter, session: Session, box: Rect) -> None:
    """All charts, in a row or, in a tall box, in a column."""
    left, top, width, height = box
    small = [_draw_reward, _draw_end] + ([_draw_drift] if session.side_by_side else [])
    gap = 20.0
    if width > 2 * height:
        each = (width - 0.4 * width - gap * len(small)) / len(small)
        _draw_latents(painter, session, (left, top, 0.4 * width, height))
        for index, chart in enumerate(small):
            chart(painter, session, (left + 0.4 * width + gap + index * (each + gap), top, each, height))
        return
    each = (height - 0.38 * height - gap * len(small)) / len(small)
    _draw_latents(painter, session, (left, top, width, 0.38 * height))
    for index, chart in enumerate(small):
        chart(painter, session, (left, top + 0.38 * height + gap + index * (each + gap), width, each))


def _draw_latents(painter: Painter, session: Session, box: Rect) -> None:
    """Each latent's expected spread as a bar, and where it came out as a dot."""
    both = session.side_by_side
    played = session.dream if both else session.leader
    names = [("expected by M", theme.FAINT)]
    if both or played is session.real:
        names.append(("reality", theme.REALITY))
    if both or played is session.dream:
        names.append(("dream", theme.DREAM))
    count = session.world_model.memory.latent_size
    left, top, width, height = _frame(painter, f"{count} latents", names, box)
    pitch = width / count
    middle = top + height / 2
    painter.fill((left, middle, width, 1), theme.LINE)

    def place(value: float) -> float:
        return middle - float(np.clip(value / _REACH, -1.0, 1.0)) * height / 2

    dots = [((session.real if name == "reality" else session.dream).z, color) for name, color in names[1:]]
    for index in range(count):
        center = left + (index + 0.5) * pitch
        if played.expected is not None:
            mean, spread = float(played.expected.mean[index]), float(played.expected.spread[index])
            high, low = place(mean + spread), place(mean - spread)
            painter.fill((center - 0.3 * pitch, high, 0.6 * pitch, max(low - high, 1.5)), theme.FAINT)
        for z, color in dots:
            painter.fill((center - 2.5, place(float(z[index])) - 2.5, 5, 5), color)


def _draw_reward(painter: Painter, session: Session, box: Rect) -> None:
    """Reward a second, expected and paid."""
    lines: list[_Line] = [(_second(session, "expected_reward"), theme.DREAM)]
    names = [("M expects", theme.DREAM)]
    if session.leader is session.real:
        lines.insert(0, (_second(session, "real_reward"), theme.REALITY))
        names.append(("paid", theme.REALITY))
    high = _round_up(_highest(*(line for line, _ in lines)), 1.0)
    low = min(-0.1 * high, *(-_highest(-line) for line, _ in lines), 0.0)
    _plot(painter, session, _frame(painter, "Reward a second", names, box), lines, (low, high), f"{high:.0f}")


def _draw_end(painter: Painter, session: Session, box: Rect) -> None:
    """The probability that a step ends the episode."""
    ends = _series(session, "end")
    now = f"{100 * ends[-1]:.1f} %" if len(ends) else ""
    plot = _frame(painter, "Chance that M ends it", [(now, theme.TEXT)], box)
    high = _round_up(_highest(ends), 0.1)
    _plot(painter, session, plot, [(ends, theme.ALERT)], (-0.04 * high, high), f"{100 * high:.0f} %")


def _draw_drift(painter: Painter, session: Session, box: Rect) -> None:
    """How far the dream's picture has gone from the real one, open loop, and what V alone loses."""
    drift, reconstruction = _series(session, "drift"), _series(session, "reconstruction")
    plot = _frame(painter, "Pictures differ", [("dream", theme.DREAM), ("V alone", theme.MUTED)], box)
    high = _round_up(_highest(drift), 0.1)
    lines = [(reconstruction, theme.MUTED), (drift, theme.DREAM)]
    _plot(painter, session, plot, lines, (0.0, high), f"{100 * high:.0f} %")


def _series(session: Session, name: str) -> _Series:
    """One field of all readings, float64 (n,); NaN where there was none."""
    return np.array([getattr(reading, name) for reading in session.readings], np.float64)


def _second(session: Session, name: str) -> _Series:
    """Running means of a field over half a second, a second's worth."""
    values, window = _series(session, name), max(round(_WINDOW * session.fps), 1)
    total = np.cumsum(np.nan_to_num(values))
    total[window:] -= total[:-window].copy()
    return np.where(np.isnan(values), np.nan, session.fps / window * total)


def _highest(*lines: _Series) -> float:
    found = [float(np.nanmax(line)) for line in lines if np.isfinite(line).any()]
    return max(found, default=0.0)


def _round_up(value: float, least: float) -> float:
    """The next of 1, 2, 5, 10, ... times ``least``, so that scales seldom change."""
    high = least
    for factor in itertools.cycle((2.0, 2.5, 2.0)):
        if high >= value:
            break
        high *= factor
    return high


def _frame(painter: Painter, title: str, names: list[tuple[str, theme.Color]], box: Rect) -> Rect:
    """A chart's title, its legend and its ground; returns where to plot."""
    left, top, width, height = box
    painter.text(title, left, top, theme.SMALL, theme.TEXT)
    right = left + width
    for name, color in reversed(names):
        right -= painter.text(name, right, top, theme.SMALL, color, align="right") + 12
    plot = (left, top + 20, width, height - 20)
    painter.fill(plot, theme.PANEL)
    return plot


def _plot(
    painter: Painter, session: Session, plot: Rect, lines: Sequence[_Line], scale: tuple[float, float], highest: str
) -> None:
    """Lines over the last five seconds, the newest at the right, smooth: drawn large and shrunk."""
    low, high = scale
    history = session.readings.maxlen or 1
    box = painter.pixels(plot)
    width, height = 2 * box.width, 2 * box.height
    large = pygame.Surface((width, height))
    large.fill(theme.PANEL)

    def rows(values: _Series) -> _Series:
        return (1.0 - (values - low) / (1.05 * high - low)) * (height - 1)

    (zero,) = rows(np.zeros(1))
    pygame.draw.line(large, theme.LINE, (0, zero), (width, zero), 2)
    thickness = max(round(3.5 * painter.scale), 2)
    for values, color in lines:
        columns = np.arange(history - len(values), history) / (history - 1) * width
        points = np.stack([columns, rows(values)], axis=1)[np.isfinite(values)]
        if len(points) > 1:
            pygame.draw.lines(large, color, False, points.tolist(), thickness)
    painter.surface.blit(pygame.transform.smoothscale(large, box.size), box)
    left, top, _, _ = plot
    painter.text(highest, left + 6, top + 6, theme.SMALL - 2, theme.FAINT)
