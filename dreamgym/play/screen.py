"""The window's picture of a session: the header, and reality and dream in the layout of each view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pygame

from dreamgym.play import theme
from dreamgym.play.charts import draw_charts
from dreamgym.play.commands import CAPS, Command, caps_of
from dreamgym.play.help_page import draw_help, draw_legend
from dreamgym.play.panels import (
    draw_action,
    draw_ending,
    draw_message,
    draw_numbers,
    draw_picture,
    draw_temperature,
    picture_box,
)
from dreamgym.play.playable import Playable
from dreamgym.play.session import Session
from dreamgym.play.theme import Painter, Rect

__all__ = ["Status", "draw"]

_TOP: Final = 100.0
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
        draw_help(painter, session)
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
        cap_width = painter.keycap(CAPS[command], left, 17, color)
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
    player = "You play" if session.person_plays else f"{session.player.label} plays"
    right = _hint(painter, Command.PLAYER, player, right, theme.TEXT) - 28
    right -= painter.text(_clock(session, status), right, 22.5, theme.BODY, theme.MUTED, align="right") + 28
    if status.recording is not None:
        minutes, seconds = divmod(int(status.recording), 60)
        right -= painter.text(
            f"{minutes}:{seconds:02d}", right, 22.5, theme.BODY, theme.ALERT, bold=True, align="right"
        )
        painter.rounded((right - 18, 22, 12, 12), theme.ALERT, radius=6)


def _space(painter: Painter, label: str, color: theme.Color) -> None:
    """The key between reality and dream, beside their tabs."""
    cap = CAPS[Command.DREAM_FROM_HERE]
    painter.text(label, 496 + painter.keycap(cap, 496, 17, color) + 8, 22.5, theme.BODY, color, bold=True)


def _hint(painter: Painter, command: Command, label: str, right: float, color: theme.Color) -> float:
    """A keycap and what it does, set from the right; returns their left end."""
    bold = color == theme.TEXT
    left = right - painter.text(label, right, 22.5, theme.BODY, color, bold=bold, align="right") - 8
    left -= painter.keycap_width(CAPS[command])
    painter.keycap(CAPS[command], left, 17, color)
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
    aspect = session.world_model.aspect
    _title(painter, "Reality", "frozen" if session.asleep else f"seed {real.seed}", (left, 500), theme.REALITY)
    _real_picture(painter, session, (left, _TOP, 500, 350))
    painter.text("What V keeps of it", middle, 80, theme.BODY, theme.MUTED)
    draw_picture(painter, real.picture, (middle, _TOP, 184, 128.8), aspect)
    _title(painter, "Dream", _since(session), (right, 500), theme.DREAM)
    draw_picture(painter, dream.picture, (right, _TOP, 500, 350), aspect)
    draw_temperature(painter, session, (middle, 256, 184, 80))
    draw_action(painter, session, (middle, 376, 184, 74))
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
    played = session.leader
    left, side = theme.MARGIN, 848.0
    box = (left, _TOP, 800.0, 560.0)
    aspect = session.world_model.aspect
    if played is session.real:
        color, title, note = theme.REALITY, "Reality", f"seed {played.seed}"
        _real_picture(painter, session, box)
    else:
        color, title = theme.DREAM, "Dream"
        note = _since(session) if session.asleep else f"seed {played.seed}"
        draw_picture(painter, played.picture, box, aspect)
    _title(painter, title, note, (left, 800), color)
    draw_numbers(painter, played, (side, 80, 408), color, bar=(left, 672, 800, 6))
    draw_temperature(painter, session, (side, 172, 184, 80))
    draw_action(painter, session, (side, 280, 184, 74))
    if session.asleep:
        caption, small = "Reality, frozen", session.real.view
    elif played.dreamt:
        caption, small = "What M expected", session.guess
    else:
        caption, small = "What V keeps of it", played.picture
    painter.text(caption, 1072, 172, theme.SMALL, theme.MUTED)
    draw_picture(painter, small, (1072.0, 192.0, 184.0, 128.8), aspect)
    painter.fill((side, 360, 408, 1), theme.LINE)
    _below(painter, session, (side, 378, 408, 300))
    _overlays(painter, session, played, box)


def _since(session: Session) -> str:
    return f"left reality {session.dream.steps / session.fps:.1f} s ago"


def _title(painter: Painter, title: str, note: str, span: tuple[float, float], color: theme.Color) -> None:
    left, width = span
    painter.rounded((left, 80, 11, 11), color, radius=5.5)
    painter.text(title, left + 19, 80, theme.BODY, bold=True)
    painter.text(note, left + width, 80, theme.BODY, theme.MUTED, align="right")


def _real_picture(painter: Painter, session: Session, box: Rect) -> None:
    draw_picture(painter, session.real.view, box, session.world_model.aspect)
    if session.asleep:
        painter.shade(picture_box(box, session.world_model.aspect), theme.BACKGROUND, 0.6)


def _below(painter: Painter, session: Session, box: Rect) -> None:
    if session.inside:
        draw_charts(painter, session, box)
    else:
        draw_legend(painter, session.actions, box)


def _overlays(painter: Painter, session: Session, played: Playable, box: Rect) -> None:
    if played.ended is not None:
        draw_ending(painter, session, played, picture_box(box, session.world_model.aspect))
    elif played is session.leader:
        message = session.message or _standing(session)
        if message:
            draw_message(painter, message, box)


def _standing(session: Session) -> str:
    """Why the game stands still, and what moves it; empty while it moves."""
    if session.clock.paused:
        return f"Paused: press {CAPS[Command.PAUSE]} to go on"
    if not session.waiting:
        return ""
    return f"Press {' '.join(caps_of(key)[0] for key in session.actions.keys)} to begin"
