"""The parts that the screen is put together from: pictures, numbers, gauges, and what is laid over a picture."""

from __future__ import annotations

from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray

from dreamgym.dream.rendering import resize
from dreamgym.play import theme
from dreamgym.play.commands import CAPS, TEMPERATURES, Command
from dreamgym.play.playable import Ending, Playable
from dreamgym.play.session import Session
from dreamgym.play.theme import Painter, Rect

__all__ = [
    "draw_action",
    "draw_ending",
    "draw_message",
    "draw_numbers",
    "draw_picture",
    "draw_temperature",
    "picture_box",
    "signed",
    "why_ended",
]

_ROWS_OF_ACTION: Final = 3
_ENDINGS: Final[dict[Ending, str]] = {"time": "Time is up", "lost": "The numbers are no longer finite"}


def picture_box(box: Rect, aspect: float) -> Rect:
    """Where in a box a picture of that width over height stands.

    In its middle, as large as it fits.
    """
    left, top, width, height = box
    if aspect * height <= width:
        return left + (width - aspect * height) / 2, top, aspect * height, height
    return left, top + (height - width / aspect) / 2, width, width / aspect


def draw_picture(painter: Painter, picture: NDArray[np.uint8], box: Rect, aspect: float) -> None:
    """A picture, as large as it fits into a box.

    uint8 (height, width, 3) of any size; its width over height is kept.
    """
    place = painter.pixels(picture_box(box, aspect))
    pixels = resize(picture[None], (place.height, place.width))[0]
    painter.surface.blit(pygame.image.frombuffer(pixels, place.size, "RGB"), place)


def signed(value: float) -> str:
    """A number with one decimal and a proper minus."""
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "−")


def draw_numbers(
    painter: Painter,
    played: Playable,
    place: tuple[float, float, float],
    color: theme.Color,
    *,
    bar: Rect | None = None,
) -> None:
    """Return, progress and time in a row at ``place`` (left, top, width).

    The progress, of worlds that have one, is also a bar above them or at ``bar``.
    """
    left, top, width = place
    below = top if bar is not None else top + 22
    numbers = [("Return", signed(played.total)), ("Time", f"{played.steps / played.world_model.fps:.1f} s")]
    if played.rewards.cap is not None:
        share = played.progress / played.rewards.cap
        x, y, length, height = bar or (left, top, width, 6.0)
        painter.fill((x, y, length, height), theme.LINE)
        painter.fill((x, y, max(length * share, 1.0), height), color)
        numbers.insert(1, ("Progress, by M" if played.dreamt else "Progress", f"{100 * share:.0f} %"))
    for column, (label, value) in enumerate(numbers):
        painter.text(label, left + column * width / 3, below, theme.SMALL, theme.MUTED)
        painter.text(value, left + column * width / 3, below + 22, theme.NUMBER, bold=True)


def draw_temperature(painter: Painter, session: Session, box: Rect) -> None:
    """The temperature, large, with its keys and where it stands in its range."""
    left, top, width, _ = box
    dreaming = session.view != "reality" or session.asleep
    color = theme.DREAM if dreaming else theme.FAINT
    painter.text("Temperature", left, top, theme.SMALL, theme.MUTED)
    painter.text(f"{session.dream.temperature:.2f}", left, top + 22, theme.LARGE, color, bold=True)
    painter.keycap(CAPS[Command.COOLER], left + width - 56, top + 28)
    painter.keycap(CAPS[Command.WARMER], left + width - 24, top + 28)
    low, high = TEMPERATURES
    y = top + 76
    painter.fill((left, y, width, 2), theme.LINE)
    usual = (session.world_model.temperature - low) / (high - low)
    painter.fill((left + width * usual - 0.5, y - 4, 1, 10), theme.FAINT)
    share = (session.dream.temperature - low) / (high - low)
    painter.rounded((left + (width - 10) * share, y - 4, 10, 10), color, radius=5)


def draw_action(painter: Painter, session: Session, box: Rect) -> None:
    """The action's numbers as they were executed, each in its range."""
    left, top, width, height = box
    actions = session.actions
    pitch = (height + 4) / max(actions.size, _ROWS_OF_ACTION)
    for row, name in enumerate(actions.names):
        value, low, high = float(session.action[row]), actions.low[row], actions.high[row]
        y = top + pitch * row
        painter.text(name.capitalize(), left, y, theme.SMALL, theme.MUTED)
        bar, length = left + 62, width - 62
        painter.fill((bar, y + 2, length, 6), theme.LINE)
        zero, end = (bar + length * (np.clip(at, low, high) - low) / (high - low) for at in (0.0, value))
        painter.fill((min(zero, end), y + 2, max(abs(end - zero), 1), 6), theme.TEXT)
        if low < 0.0 < high:
            painter.fill((zero, y - 1, 1, 12), theme.MUTED)


def draw_ending(painter: Painter, session: Session, played: Playable, box: Rect) -> None:
    """Why the episode is over, what it paid, and what to press.

    On a veil that is red where it failed.
    """
    left, top, width, height = box
    veil = theme.mix(theme.BACKGROUND, theme.ALERT, 0.35) if played.ended == "failed" else theme.BACKGROUND
    painter.shade(box, veil, 0.55)
    middle, y = left + width / 2, top + height / 2 - 44
    painter.text(why_ended(played, session.failed), middle, y, theme.NUMBER - 4, bold=True, align="center")
    painter.text(f"Return {signed(played.total)}", middle, y + 34, theme.BODY + 2, theme.TEXT, align="center")
    if played is not session.leader and session.leader.ended is None:
        painter.text("It begins again from reality in a moment", middle, y + 70, theme.BODY, theme.TEXT, align="center")
    elif session.asleep:
        _keys(painter, ((Command.DREAM_FROM_HERE, "Wake up"),), middle, y + 64)
    elif played is session.leader:
        _keys(painter, ((Command.RESTART, "Restart"), (Command.NEW, "New episode")), middle, y + 64)


def why_ended(played: Playable, failed: str) -> str:
    """How an episode ended, in words.

    Args:
        played: whose episode it was.
        failed: a word for episodes that the world ended otherwise than by completing them.
    """
    assert played.ended is not None
    if played.ended == "complete":
        words = played.rewards.completion.replace("_", " ").capitalize()
        return f"{words}, as M counts" if played.dreamt else words
    if played.ended == "failed":
        return f"M ended it: {failed}" if played.dreamt else failed.capitalize()
    return _ENDINGS[played.ended]


def _keys(painter: Painter, hints: tuple[tuple[Command, str], ...], middle: float, top: float) -> None:
    """Keys and what they do, in a centred row."""
    widths = [painter.keycap_width(CAPS[command]) + 8 + painter.width_of(label) for command, label in hints]
    x = middle - (sum(widths) + 24 * (len(hints) - 1)) / 2
    for (command, label), width in zip(hints, widths, strict=True):
        painter.text(label, x + painter.keycap(CAPS[command], x, top) + 8, top + 5.5, theme.BODY)
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
