"""The keys as data: what each does, how it is shown, and the gamepad's button for it.

Everything that names a key reads it here: the loop, the screen, the help, and the table in the documentation. Keys have
pygame's names (``pygame.K_space`` is "space"), buttons SDL's (``pygame.CONTROLLER_BUTTON_A`` is "A").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["AXES", "BINDINGS", "DRIVING", "GROUPS", "STEERING", "Binding", "Command", "command_of"]


class Command(StrEnum):
    """What a key press can ask for."""

    REALITY = "reality"
    DREAM = "dream"
    BOTH = "both"
    DREAM_FROM_HERE = "dream_from_here"
    DRIVER = "driver"
    COOLER = "cooler"
    WARMER = "warmer"
    INSIDE = "inside"
    RESTART = "restart"
    NEW = "new"
    PAUSE = "pause"
    STEP = "step"
    SLOWER = "slower"
    IMAGE = "image"
    VIDEO = "video"
    GIF = "gif"
    SAVE = "save"
    HELP = "help"
    FULLSCREEN = "fullscreen"
    QUIT = "quit"


@dataclass(frozen=True)
class Binding:
    """One command's keys."""

    command: Command
    keys: tuple[str, ...]
    cap: str
    """As it stands on a keyboard."""
    label: str
    """In a word or two, for the screen."""
    does: str
    """In full, for the help."""
    group: str
    button: str | None = None
    repeats: bool = False
    """Whether holding the key goes on."""


GROUPS: Final = ("Worlds", "Dream", "Drive", "Time", "Keep", "View")

BINDINGS: Final = (
    Binding(Command.REALITY, ("1",), "1", "Reality", "Drive in reality", "Worlds"),
    Binding(Command.DREAM, ("2",), "2", "Dream", "Drive in the dream", "Worlds"),
    Binding(Command.BOTH, ("3",), "3", "Both", "Both at once, from the same actions; again: rejoin", "Worlds"),
    Binding(
        Command.DREAM_FROM_HERE,
        ("SPACE",),
        "Space",
        "Dream from here",
        "Freeze reality, dream on from here; again: wake up",
        "Worlds",
        "A",
    ),
    Binding(
        Command.COOLER,
        ("MINUS", "KP_MINUS"),
        "−",
        "Cooler",
        "Lower temperature: a surer dream (or mouse wheel)",
        "Dream",
        "DPAD_DOWN",
        True,
    ),
    Binding(
        Command.WARMER,
        ("PLUS", "EQUALS", "KP_PLUS"),
        "+",
        "Warmer",
        "Higher temperature: a wilder dream (or mouse wheel)",
        "Dream",
        "DPAD_UP",
        True,
    ),
    Binding(Command.DRIVER, ("c",), "C", "Change driver", "Next driver: you, controller, random", "Drive", "Y"),
    Binding(Command.RESTART, ("r",), "R", "Restart", "The same track and dream from the start", "Drive", "BACK"),
    Binding(Command.NEW, ("n",), "N", "New track", "Another track, another dream", "Drive", "B"),
    Binding(Command.PAUSE, ("p",), "P", "Pause", "Stop the clock; again: go on", "Time", "START"),
    Binding(Command.STEP, ("PERIOD",), ".", "One step", "One step, then stand", "Time", "RIGHTSHOULDER", True),
    Binding(Command.SLOWER, ("COMMA",), ",", "Slow motion", "Half, quarter, tenth, full speed", "Time", "LEFTSHOULDER"),
    Binding(Command.IMAGE, ("i",), "I", "Image", "Save an image of the window", "Keep"),
    Binding(Command.VIDEO, ("v",), "V", "Video", "Record an MP4 of the window; again: stop", "Keep"),
    Binding(Command.GIF, ("g",), "G", "GIF", "Record a GIF; again: stop", "Keep"),
    Binding(Command.SAVE, ("e",), "E", "Episode", "Save the drive so far as training data", "Keep"),
    Binding(Command.INSIDE, ("m",), "M", "Inside M", "See what M expects and how it comes out", "View", "X"),
    Binding(Command.HELP, ("h", "F1"), "H", "Help", "Show or close this page", "View"),
    Binding(Command.FULLSCREEN, ("F11",), "F11", "Full screen", "Full screen; again: window", "View"),
    Binding(Command.QUIT, ("ESCAPE",), "Esc", "Quit", "Quit; on this page: close it", "View"),
)

DRIVING: Final[dict[str, tuple[str, ...]]] = {
    "left": ("LEFT", "a"),
    "right": ("RIGHT", "d"),
    "gas": ("UP", "w"),
    "brake": ("DOWN", "s"),
}
"""The keys that drive while they are held."""


STEERING: Final = (
    (("←", "→"), "Steer"),
    (("↑",), "Gas"),
    (("↓",), "Brake"),
    (("W", "A", "S", "D"), "likewise"),
)
"""How the driving keys are shown."""

AXES: Final = {"LEFTX": "steer", "TRIGGERRIGHT": "gas", "TRIGGERLEFT": "brake"}
"""A gamepad's analog axes (``pygame.CONTROLLER_AXIS_LEFTX``) and what they control."""


def command_of(key: str) -> Command | None:
    """The command of a key, by its name in any case or by its cap; None where the key has none."""
    for binding in BINDINGS:
        if key.lower() in {name.lower() for name in (*binding.keys, binding.cap)}:
            return binding.command
    return None
