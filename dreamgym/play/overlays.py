"""What is laid over a world's picture: how a drive ended, and messages."""

from __future__ import annotations

from typing import Final

from dreamgym.play import theme
from dreamgym.play.gauges import signed
from dreamgym.play.session import Session
from dreamgym.play.theme import Painter, Rect
from dreamgym.play.worlds import World

__all__ = ["draw_ending", "draw_message"]

_REAL_ENDINGS: Final = {"lap": "Lap finished", "left": "Off the playfield", "time": "Time is up", "lost": "Lost"}
_DREAM_ENDINGS: Final = {
    "lap": "Lap finished, as M counts",
    "left": "M saw the car leave the playfield",
    "time": "Time is up",
    "lost": "The dream fell apart",
}


def draw_ending(painter: Painter, session: Session, world: World, box: Rect) -> None:
    """Why the drive is over, what it paid, and what to press."""
    left, top, width, height = box
    painter.shade(box, theme.BACKGROUND, 0.55)
    middle, y = left + width / 2, top + height / 2 - 44
    assert world.ended is not None
    title = (_DREAM_ENDINGS if world.dreamt else _REAL_ENDINGS)[world.ended]
    painter.text(title, middle, y, theme.NUMBER - 4, bold=True, align="center")
    painter.text(f"Return {signed(world.total)}", middle, y + 34, theme.BODY + 2, theme.TEXT, align="center")
    if world is not session.leader and session.leader.ended is None:
        painter.text("It begins again from reality in a moment", middle, y + 70, theme.BODY, theme.TEXT, align="center")
    elif session.asleep:
        _keys(painter, (("Space", "Wake up"),), middle, y + 64)
    elif world is session.leader:
        _keys(painter, (("R", "Restart"), ("N", "New track")), middle, y + 64)


def _keys(painter: Painter, hints: tuple[tuple[str, str], ...], middle: float, top: float) -> None:
    """Keys and what they do, in a centred row."""
    widths = [
        max(painter.width_of(cap, theme.SMALL, bold=True) + 14, 24) + 8 + painter.width_of(label)
        for cap, label in hints
    ]
    x = middle - (sum(widths) + 24 * (len(hints) - 1)) / 2
    for (cap, label), width in zip(hints, widths, strict=True):
        painter.text(label, x + painter.keycap(cap, x, top) + 8, top + 5.5, theme.BODY)
        x += width + 24


def draw_message(painter: Painter, message: str, box: Rect) -> None:
    """A line on a pill, at the top of a picture."""
    left, top, width, _ = box
    while painter.width_of(message, theme.BODY) > width - 56 and len(message) > 20:
        half = len(message) // 2  # a path's beginning and its end say most
        message = f"{message[: half - 3]}…{message[half + 3 :]}"
    length = painter.width_of(message, theme.BODY) + 28
    painter.rounded((left + (width - length) / 2, top + 14, length, 32), theme.BACKGROUND, radius=16)
    painter.text(message, left + width / 2, top + 25, theme.BODY, align="center")
