"""The keys on the screen, and the help page, both from the keymap."""

from __future__ import annotations

from typing import Final

from dreamgym.play import theme
from dreamgym.play.keymap import BINDINGS, STEERING, Command
from dreamgym.play.theme import Painter, Rect

__all__ = ["draw_help", "draw_legend"]

_ELSEWHERE: Final = {Command.DRIVER, Command.HELP}
"""Commands of the legend's groups that have their place in the header."""

_ABOUT: Final = (
    "Reality is CarRacing-v3. V turns each of its pictures into 32 numbers and back. M is a network that dreams:",
    "from those numbers and your steering, gas and brake it draws the next picture's numbers, fifty times a second.",
)


def draw_legend(painter: Painter, box: Rect) -> None:
    """The keys that stand nowhere else on the screen: in a row in a wide box, in two columns in a tall one."""
    left, top, width, height = box
    if width > 2 * height:
        for index, name in enumerate(("Steer", "Time", "Drive", "Keep", "View")):
            _draw_group(painter, name, left + index * width / 4.6, top, 27.0)
        return
    for x, names in ((left, ("Steer", "Drive", "View")), (left + 224.0, ("Time", "Keep"))):
        y = top
        for name in names:
            y = _draw_group(painter, name, x, y, 25.0) + 10


def _draw_group(painter: Painter, name: str, left: float, top: float, pitch: float) -> float:
    """One group's keys, in short; returns its lower end."""
    painter.text(name, left, top, theme.SMALL, theme.FAINT)
    entries = _entries(name)
    for row, (caps, label) in enumerate(entries):
        _draw_entry(painter, caps, label, left, top + 20 + pitch * row)
    return top + 20 + pitch * len(entries)


def _draw_entry(painter: Painter, caps: tuple[str, ...], label: str, left: float, top: float) -> None:
    painter.text(label, _draw_caps(painter, caps, left, top) + 5, top + 6.5, theme.SMALL, theme.MUTED)


def _draw_caps(painter: Painter, caps: tuple[str, ...], left: float, top: float) -> float:
    for cap in caps:
        left += painter.keycap(cap, left, top) + 4
    return left


def _entries(group: str, *, full: bool = False) -> list[tuple[tuple[str, ...], str]]:
    """Keycaps and what they do: in short, without those that stand elsewhere, or in full."""
    if group == "Steer":
        return list(STEERING)
    chosen = [binding for binding in BINDINGS if binding.group == group and (full or binding.command not in _ELSEWHERE)]
    return [((binding.cap,), binding.does if full else binding.label) for binding in chosen]


def draw_help(painter: Painter) -> None:
    """Every key in full, over the whole window."""
    left, right = 112.0, 692.0
    painter.text("How to play", left, 48, theme.NUMBER, bold=True)
    for line, text in enumerate(_ABOUT):
        painter.text(text, left, 92 + 22 * line, theme.BODY, theme.MUTED)
    columns = ((left, 120.0, ("Steer", "Worlds", "Dream")), (right, 72.0, ("Drive", "Time", "Keep", "View")))
    for x, indent, names in columns:
        y = 156.0
        for name in names:
            painter.text(name, x, y, theme.BODY, bold=True)
            entries = _entries(name, full=True)
            for row, (caps, label) in enumerate(entries):
                _draw_caps(painter, caps, x, y + 20 + 26 * row)
                painter.text(label, x + indent, y + 25.5 + 26 * row, theme.BODY, theme.MUTED)
            y += 36 + 26 * len(entries)
    painter.text(_gamepad(), left, 676, theme.BODY, theme.MUTED)


def _gamepad() -> str:
    buttons = [(binding.button, binding.label) for binding in BINDINGS if binding.button in ("A", "B", "X", "Y")]
    named = ", ".join(f"{button} {label[0].lower()}{label[1:]}" for button, label in buttons)
    return f"Gamepad: left stick steers, right trigger gas, left trigger brake, {named}"
