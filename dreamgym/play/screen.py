"""The window's picture of a session: header, worlds, numbers; what is beneath or beside them is in other modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pygame

from dreamgym.play import theme
from dreamgym.play.charts import draw_charts
from dreamgym.play.gauges import draw_controls, draw_numbers, draw_temperature
from dreamgym.play.keymap import BINDINGS, Command
from dreamgym.play.legend import draw_help, draw_legend
from dreamgym.play.overlays import draw_ending, draw_message
from dreamgym.play.pictures import smooth_surface
from dreamgym.play.session import Session
from dreamgym.play.theme import Painter, Rect
from dreamgym.play.worlds import World

__all__ = ["Status", "draw"]

_TOP: Final = 100.0
_CAPS: Final = {binding.command: binding.cap for binding in BINDINGS}
_TABS: Final = (("reality", Command.REALITY), ("dream", Command.DREAM), ("both", Command.BOTH))


@dataclass(frozen=True)
class Status:
    """What the window knows and the session does not."""

    rate: float | None = None
    """Steps a second, measured."""
    recording: float | None = None
    """Seconds recorded so far, None where nothing is."""


def draw(surface: pygame.Surface, session: Session, status: Status) -> None:
    """Draw everything.

    Args:
        surface: of any size; everything scales with it and keeps its shape.
        session: what to show.
        status: of the window.
    """
    painter = Painter(surface)
    surface.fill(theme.BACKGROUND)
    if session.help:
        draw_help(painter)
        return
    _header(painter, session, status)
    if session.view == "both":
        _both(painter, session)
    else:
        _single(painter, session)


def _header(painter: Painter, session: Session, status: Status) -> None:
    painter.text("dreamgym", theme.MARGIN, 21, theme.TITLE, bold=True)
    left = 168.0
    for view, command in _TABS:
        active = session.view == view
        color = theme.TEXT if active else theme.MUTED
        cap_width = painter.keycap(_CAPS[command], left, 17, color)
        width = painter.text(view.capitalize(), left + cap_width + 8, 22.5, theme.BODY, color, bold=active)
        if active:
            painter.fill((left, 53, cap_width + 8 + width, 3), theme.TEXT)
        left += cap_width + width + 34
    painter.fill((0, 56, theme.WIDTH, 1), theme.LINE)

    if session.asleep:
        _space(painter, "Wake up", theme.REALITY)
    elif session.view != "dream":
        _space(painter, "Dream from here", theme.DREAM)
    right: float = theme.WIDTH - theme.MARGIN
    right = _hint(painter, Command.HELP, "Help", right, theme.MUTED) - 28
    driver = "You drive" if session.person_drives else f"{session.driver.label} drives"
    right = _hint(painter, Command.DRIVER, driver, right, theme.TEXT) - 28
    right -= painter.text(_clock(session, status), right, 22.5, theme.BODY, theme.MUTED, align="right") + 28
    if status.recording is not None:
        minutes, seconds = divmod(int(status.recording), 60)
        right -= painter.text(
            f"{minutes}:{seconds:02d}", right, 22.5, theme.BODY, theme.ALERT, bold=True, align="right"
        )
        painter.rounded((right - 18, 22, 12, 12), theme.ALERT, radius=6)


def _space(painter: Painter, label: str, color: theme.Color) -> None:
    """The key between the worlds, beside them."""
    cap = _CAPS[Command.DREAM_FROM_HERE]
    painter.text(label, 496 + painter.keycap(cap, 496, 17, color) + 8, 22.5, theme.BODY, color, bold=True)


def _hint(painter: Painter, command: Command, label: str, right: float, color: theme.Color) -> float:
    """A keycap and what it does, set from the right; returns their left end."""
    bold = color == theme.TEXT
    left = right - painter.text(label, right, 22.5, theme.BODY, color, bold=bold, align="right") - 8
    cap = _CAPS[command]
    left -= max(painter.width_of(cap, theme.SMALL, bold=True) + 14, 24)
    painter.keycap(cap, left, 17, color)
    return left


def _clock(session: Session, status: Status) -> str:
    if session.clock.paused:
        return "Paused"
    speed = {1.0: "", 0.5: "½ speed", 0.25: "¼ speed", 0.1: "1/10 speed"}[session.clock.speed]
    rate = "" if status.rate is None else f"{status.rate:.0f} steps/s"
    return " · ".join(part for part in (speed, rate) if part)


def _both(painter: Painter, session: Session) -> None:
    real, dream = session.real, session.dream
    left, middle, right = theme.MARGIN, 548.0, 756.0
    _title(painter, "Reality", "frozen" if session.asleep else f"track {session.seed}", (left, 500), theme.REALITY)
    _real_picture(painter, session, (left, _TOP, 500, 350))
    painter.text("What V keeps of it", middle, 80, theme.BODY, theme.MUTED)
    painter.picture(smooth_surface(real.picture), (middle, _TOP, 184, 128.8))
    _title(painter, "Dream", f"left reality {dream.steps / 50:.1f} s ago", (right, 500), theme.DREAM)
    painter.picture(smooth_surface(dream.picture), (right, _TOP, 500, 350))
    draw_temperature(painter, session, (middle, 256, 184, 80))
    draw_controls(painter, session, (middle, 376, 184, 74))
    draw_numbers(painter, real, (left, 462, 500), theme.REALITY)
    draw_numbers(painter, dream, (right, 462, 500), theme.DREAM)
    drift = session.readings[-1].drift if session.readings else None
    painter.text("Pictures differ by", middle, 484, theme.SMALL, theme.MUTED)
    painter.text("–" if drift is None else f"{100 * drift:.1f} %", middle, 506, theme.NUMBER, bold=True)
    painter.fill((left, 548, theme.WIDTH - 2 * left, 1), theme.LINE)
    _below(painter, session, (left, 564, theme.WIDTH - 2 * left, 132))
    _overlays(painter, session, real, (left, _TOP, 500, 350))
    _overlays(painter, session, dream, (right, _TOP, 500, 350))


def _single(painter: Painter, session: Session) -> None:
    world = session.leader
    left, side = theme.MARGIN, 848.0
    box = (left, _TOP, 800.0, 560.0)
    if world is session.real:
        color, title, note = theme.REALITY, "Reality", f"track {session.seed}"
        _real_picture(painter, session, box)
    else:
        color, title = theme.DREAM, "Dream"
        note = f"left reality {world.steps / 50:.1f} s ago" if session.asleep else f"dream {session.seed}"
        painter.picture(smooth_surface(world.picture), box)
    _title(painter, title, note, (left, 800), color)
    draw_numbers(painter, world, (side, 80, 408), color, bar=(left, 672, 800, 6))
    draw_temperature(painter, session, (side, 172, 184, 80))
    picture = (1072.0, 192.0, 184.0, 128.8)
    draw_controls(painter, session, (side, 280, 184, 74))
    if session.asleep:
        caption, small = "Reality, frozen", session.real.sharp_picture()
    elif world.dreamt:
        caption, small = "What M expected", smooth_surface(session.guess)
    else:
        caption, small = "What V keeps of it", smooth_surface(world.picture)
    painter.text(caption, 1072, 172, theme.SMALL, theme.MUTED)
    painter.picture(small, picture)
    painter.fill((side, 360, 408, 1), theme.LINE)
    _below(painter, session, (side, 378, 408, 300))
    _overlays(painter, session, world, box)


def _title(painter: Painter, title: str, note: str, span: tuple[float, float], color: theme.Color) -> None:
    left, width = span
    painter.rounded((left, 80, 11, 11), color, radius=5.5)
    painter.text(title, left + 19, 80, theme.BODY, bold=True)
    painter.text(note, left + width, 80, theme.BODY, theme.MUTED, align="right")


def _real_picture(painter: Painter, session: Session, box: Rect) -> None:
    painter.picture(session.real.sharp_picture(), box)
    if session.asleep:
        painter.shade(box, theme.BACKGROUND, 0.6)


def _below(painter: Painter, session: Session, box: Rect) -> None:
    if session.inside:
        draw_charts(painter, session, box)
    else:
        draw_legend(painter, box)


def _overlays(painter: Painter, session: Session, world: World, box: Rect) -> None:
    if world.ended is not None:
        draw_ending(painter, session, world, box)
    elif world is session.leader:
        message = session.message or _standing(session)
        if message:
            draw_message(painter, message, box)


def _standing(session: Session) -> str:
    """Why the worlds stand still, and what moves them; empty while they move."""
    if session.clock.paused:
        return f"Paused: press {_CAPS[Command.PAUSE]} to go on"
    return "Press ↑ to drive off" if session.waiting else ""
