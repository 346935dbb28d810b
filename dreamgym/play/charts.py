"""Seeing inside M: its latents and what it expected of them, reward, the end, and how far the dream has drifted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
import pygame

from dreamgym.play import theme
from dreamgym.play.session import HISTORY, Session
from dreamgym.play.theme import Painter, Rect
from dreamgym.real.world import CAR_RACING

__all__ = ["draw_charts"]

_Line = tuple[Sequence[float | None], theme.Color]
_WINDOW: Final = 25
"""Steps that rewards are averaged over: they come in lumps, one for each tile."""
_FPS: Final = CAR_RACING.fps
_REACH: Final = 3.5
"""Latents are shown within this on both sides."""


def draw_charts(painter: Painter, session: Session, box: Rect) -> None:
    """All charts, in a row where the box is wide, beneath each other where it is tall."""
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
    world = session.dream if both else session.leader
    names = [("expected by M", theme.FAINT)]
    if both or world is session.real:
        names.append(("reality", theme.REALITY))
    if both or world is session.dream:
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
        if world.expected is not None:
            mean, spread = float(world.expected.mean[index]), float(world.expected.spread[index])
            high, low = place(mean + spread), place(mean - spread)
            painter.fill((center - 0.3 * pitch, high, 0.6 * pitch, max(low - high, 1.5)), theme.FAINT)
        for z, color in dots:
            painter.fill((center - 2.5, place(float(z[index])) - 2.5, 5, 5), color)


def _draw_reward(painter: Painter, session: Session, box: Rect) -> None:
    """Reward a second, expected and paid."""
    expected = _smooth([reading.expected_reward for reading in session.readings])
    real = _smooth([reading.real_reward for reading in session.readings])
    names = [("M expects", theme.DREAM)]
    lines: list[_Line] = [(expected, theme.DREAM)]
    if session.leader is session.real:
        names.append(("paid", theme.REALITY))
        lines.insert(0, (real, theme.REALITY))
    values = [value for line, _ in lines for value in line if value is not None]
    high = _round_up(max(values, default=0.0), 100.0)
    plot = _frame(painter, "Reward a second", names, box)
    _plot(painter, plot, lines, (min([-0.1 * high, *values]), high), f"{high:.0f}")


def _draw_end(painter: Painter, session: Session, box: Rect) -> None:
    """The probability that a step ends the drive."""
    ends = [reading.end for reading in session.readings]
    now = f"{100 * ends[-1]:.1f} %" if ends else ""
    plot = _frame(painter, "Chance that M ends it", [(now, theme.TEXT)], box)
    high = _round_up(max(ends, default=0.0), 0.1)
    _plot(painter, plot, [(ends, theme.ALERT)], (-0.04 * high, high), f"{100 * high:.0f} %")


def _draw_drift(painter: Painter, session: Session, box: Rect) -> None:
    """How far the dream's picture has gone from the real one, open loop, and what V alone loses."""
    drift = [reading.drift for reading in session.readings]
    floor = [reading.floor for reading in session.readings]
    plot = _frame(painter, "Pictures differ", [("dream", theme.DREAM), ("V alone", theme.MUTED)], box)
    high = _round_up(max((value for value in drift if value is not None), default=0.0), 0.1)
    _plot(painter, plot, [(floor, theme.MUTED), (drift, theme.DREAM)], (0.0, high), f"{100 * high:.0f} %")


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


def _smooth(values: Sequence[float | None]) -> list[float | None]:
    """Running means over half a second, a second's worth; None where there is none yet."""
    result: list[float | None] = []
    total = 0.0
    for index, value in enumerate(values):
        total += value or 0.0
        if index >= _WINDOW:
            total -= values[index - _WINDOW] or 0.0
        result.append(None if value is None else _FPS * total / _WINDOW)
    return result


def _plot(painter: Painter, plot: Rect, lines: Sequence[_Line], scale: tuple[float, float], highest: str) -> None:
    """Lines over the last five seconds, the newest at the right, smooth: drawn large and shrunk."""
    low, high = scale
    box = painter.pixels(plot)
    width, height = 2 * box.width, 2 * box.height
    large = pygame.Surface((width, height))
    large.fill(theme.PANEL)

    def place(value: float) -> float:
        return (1.0 - (value - low) / (1.05 * high - low)) * (height - 1)

    pygame.draw.line(large, theme.LINE, (0, place(0.0)), (width, place(0.0)), 2)
    thickness = max(round(3.5 * painter.scale), 2)
    for values, color in lines:
        begin = HISTORY - len(values)
        steps = enumerate(values, begin)
        points = [(step / (HISTORY - 1) * width, place(value)) for step, value in steps if value is not None]
        if len(points) > 1:
            pygame.draw.lines(large, color, False, points, thickness)
    painter.surface.blit(pygame.transform.smoothscale(large, box.size), box)
    left, top, _, _ = plot
    painter.text(highest, left + 6, top + 6, theme.SMALL - 2, theme.FAINT)
