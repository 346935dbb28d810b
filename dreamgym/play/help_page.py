"""The keys on the screen, and the help page, both from the commands and the world's own keys."""

from __future__ import annotations

from typing import Final

from dreamgym.play import theme
from dreamgym.play.commands import BINDINGS, Command, axes_of, caps_of
from dreamgym.play.session import Session
from dreamgym.play.theme import Painter, Rect
from dreamgym.worlds.base import ActionSet

__all__ = ["draw_help", "draw_legend", "gamepad_line"]

_ELSEWHERE: Final = {Command.PLAYER, Command.HELP}
"""Commands of the legend's groups that have their place in the header."""
_CONTROLS: Final = "Controls"
"""The group of the world's own keys."""

_AXES: Final = {
    "LEFTX": "left stick",
    "RIGHTX": "right stick",
    "TRIGGERRIGHT": "right trigger",
    "TRIGGERLEFT": "left trigger",
}

_Entries = list[tuple[tuple[str, ...], str]]


def draw_legend(painter: Painter, actions: ActionSet, box: Rect) -> None:
    """The keys that are shown nowhere else on the screen.

    In a row in a wide box, in two columns in a tall one.
    """
    left, top, width, height = box
    if width > 2 * height:
        for index, name in enumerate((_CONTROLS, "Time", "Episode", "Save", "Window")):
            _draw_group(painter, name, actions, left + index * width / 4.6, top, 27.0)
        return
    for x, names in ((left, (_CONTROLS, "Episode", "Window")), (left + 224.0, ("Time", "Save"))):
        y = top
        for name in names:
            y = _draw_group(painter, name, actions, x, y, 25.0) + 10


def _draw_group(painter: Painter, name: str, actions: ActionSet, left: float, top: float, pitch: float) -> float:
    """One group's keys, in short; returns its lower end."""
    painter.text(name, left, top, theme.SMALL, theme.FAINT)
    entries = _own(actions) if name == _CONTROLS else _bound(name)
    for row, (caps, label) in enumerate(entries):
        y = top + 20 + pitch * row
        painter.text(label, _draw_caps(painter, caps, left, y) + 5, y + 6.5, theme.SMALL, theme.MUTED)
    return top + 20 + pitch * len(entries)


def _draw_caps(painter: Painter, caps: tuple[str, ...], left: float, top: float) -> float:
    for cap in caps:
        left += painter.keycap(cap, left, top) + 4
    return left


def _own(actions: ActionSet) -> _Entries:
    """The world's keys."""
    return [(caps_of(key), key.label.capitalize()) for key in actions.keys]


def _bound(group: str, *, full: bool = False) -> _Entries:
    """A group's keycaps and what they do: in short, without those that stand elsewhere, or in full."""
    chosen = [binding for binding in BINDINGS if binding.group == group and (full or binding.command not in _ELSEWHERE)]
    return [((binding.cap,), binding.does if full else binding.label) for binding in chosen]


def draw_help(painter: Painter, session: Session) -> None:
    """Every key in full, over the whole window."""
    left, right = 112.0, 692.0
    painter.text("How to play", left, 48, theme.NUMBER, bold=True)
    for line, text in enumerate(_about(session)):
        painter.text(text, left, 92 + 22 * line, theme.BODY, theme.MUTED)
    columns = ((left, 80.0, (_CONTROLS, "View", "Dream")), (right, 72.0, ("Episode", "Time", "Save", "Window")))
    for x, indent, names in columns:
        y = 156.0
        for name in names:
            painter.text(name, x, y, theme.BODY, bold=True)
            entries = _own(session.actions) if name == _CONTROLS else _bound(name, full=True)
            for row, (caps, label) in enumerate(entries):
                _draw_caps(painter, caps, x, y + 20 + 26 * row)
                painter.text(label, x + indent, y + 25.5 + 26 * row, theme.BODY, theme.MUTED)
            y += 36 + 26 * len(entries)
    painter.text(gamepad_line(session.actions), left, 676, theme.BODY, theme.MUTED)


def _about(session: Session) -> tuple[str, str]:
    world_model = session.world_model
    latents, names = world_model.memory.latent_size, _listed(session.actions.names)
    return (
        f"V turns each picture of {world_model.world_name} into {latents} numbers and back. M, a network, dreams:",
        f"from those numbers and your {names} it draws the next picture's numbers, {session.fps} times a second.",
    )


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def gamepad_line(actions: ActionSet) -> str:
    """What a gamepad's axes and buttons do."""
    moved = [f"{_AXES[axis]} {actions.names[number]}" for axis, number in axes_of(actions).items()]
    buttons = [(binding.button, binding.label) for binding in BINDINGS if binding.button in ("A", "B", "X", "Y")]
    named = [f"{button} {label[0].lower()}{label[1:]}" for button, label in buttons]
    return f"Gamepad: {', '.join([*moved, *named])}"
