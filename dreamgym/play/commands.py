"""The commands of a window: their keys as data, and what each does to a session.

Everything that names a key reads it here: the loop, the screen, the help, and the table in the documentation. Keys have
pygame's names (``pygame.K_space`` is "space"), buttons SDL's (``pygame.CONTROLLER_BUTTON_A`` is "A"). The keys that act
while they are held are the world's own: :attr:`~dreamgym.worlds.base.ActionSet.keys`. What concerns the window or files
is done by the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from dreamgym.errors import ConfigError
from dreamgym.play.session import Session, View
from dreamgym.worlds.base import ActionSet, Key

__all__ = [
    "BINDINGS",
    "CAPS",
    "TEMPERATURES",
    "Binding",
    "Command",
    "Group",
    "axes_of",
    "caps_of",
    "change_temperature",
    "command_of",
    "is_of_a_session",
    "obey",
    "require_free",
]

TEMPERATURES: Final = (0.05, 2.0)
"""The lowest and the highest that can be set."""
_STEP: Final = 0.05

Group = Literal["View", "Dream", "Episode", "Time", "Save", "Window"]
"""Under which heading the help has a command."""


class Command(StrEnum):
    """What a key press can ask for."""

    REALITY = "reality"
    DREAM = "dream"
    BOTH = "both"
    DREAM_FROM_HERE = "dream_from_here"
    PLAYER = "player"
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
    group: Group
    button: str | None = None
    repeats: bool = False
    """Whether holding the key goes on."""


# fmt: off
BINDINGS: Final = (
    Binding(Command.REALITY, ("1",), "1", "Reality", "Play in reality", "View"),
    Binding(Command.DREAM, ("2",), "2", "Dream", "Play in the dream", "View"),
    Binding(Command.BOTH, ("3",), "3", "Both", "Both at once, from the same actions; again: rejoin", "View"),
    Binding(Command.DREAM_FROM_HERE, ("space",), "Space", "Dream from here",
            "Freeze reality, dream on from here; again: wake up", "View", "A"),
    Binding(Command.COOLER, ("minus", "kp_minus"), "−", "Cooler",
            "Lower temperature: a more certain dream (or mouse wheel)", "Dream", "DPAD_DOWN", True),
    Binding(Command.WARMER, ("plus", "equals", "kp_plus"), "+", "Warmer",
            "Higher temperature: a wilder dream (or mouse wheel)", "Dream", "DPAD_UP", True),
    Binding(Command.PLAYER, ("c",), "C", "Next player", "Next player: you, controller, random keys", "Episode", "Y"),
    Binding(Command.RESTART, ("r",), "R", "Restart", "The same episode from its start", "Episode", "BACK"),
    Binding(Command.NEW, ("n",), "N", "New episode", "Another episode, from the next seed", "Episode", "B"),
    Binding(Command.PAUSE, ("p",), "P", "Pause", "Stop the clock; again: go on", "Time", "START"),
    Binding(Command.STEP, ("period",), ".", "One step", "One step, then pause", "Time", "RIGHTSHOULDER", True),
    Binding(Command.SLOWER, ("comma",), ",", "Slow motion", "Half, quarter, tenth, full speed", "Time", "LEFTSHOULDER"),
    Binding(Command.IMAGE, ("i",), "I", "Image", "Save an image of the window", "Save"),
    Binding(Command.VIDEO, ("v",), "V", "Video", "Record an MP4 of the window; again: stop", "Save"),
    Binding(Command.GIF, ("g",), "G", "GIF", "Record a GIF; again: stop", "Save"),
    Binding(Command.SAVE, ("e",), "E", "Episode", "Save the episode so far as training data", "Save"),
    Binding(Command.INSIDE, ("m",), "M", "Inside M", "Show what M expects and what came of it", "Window", "X"),
    Binding(Command.HELP, ("h", "f1"), "H", "Help", "Show or close this page", "Window"),
    Binding(Command.FULLSCREEN, ("f11",), "F11", "Full screen", "Full screen; again: window", "Window"),
    Binding(Command.QUIT, ("escape",), "Esc", "Quit", "Quit; on this page: close it", "Window"),
)
# fmt: on

CAPS: Final = {binding.command: binding.cap for binding in BINDINGS}

_ARROWS: Final = {"left": "←", "right": "→", "up": "↑", "down": "↓"}
_STICKS: Final = ("LEFTX", "RIGHTX")
_TRIGGERS: Final = ("TRIGGERRIGHT", "TRIGGERLEFT")


def command_of(key: str) -> Command | None:
    """The command of a key; None where the key has none.

    The key is given by its name in any case, or by its cap.
    """
    for binding in BINDINGS:
        if key.lower() in (*binding.keys, binding.cap.lower()):
            return binding.command
    return None


def caps_of(key: Key) -> tuple[str, ...]:
    """The caps of a world's key, one for each of its names."""
    return tuple(_ARROWS.get(name, name.upper() if len(name) == 1 else name.capitalize()) for name in key.keys)


def axes_of(actions: ActionSet) -> dict[str, int]:
    """A gamepad's analog axes (``pygame.CONTROLLER_AXIS_LEFTX``), and which of the action's numbers each moves.

    Sticks move the numbers that go both ways from 0, triggers those that go one way; the first come first.
    """
    ranges = list(zip(actions.low, actions.high, strict=True))
    both_ways = [number for number, (low, high) in enumerate(ranges) if low < 0.0 < high]
    one_way = [number for number, (low, high) in enumerate(ranges) if low >= 0.0]
    return {**dict(zip(_STICKS, both_ways, strict=False)), **dict(zip(_TRIGGERS, one_way, strict=False))}


def require_free(actions: ActionSet) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError` where a world's key is a command's as well."""
    for key in actions.keys:
        taken = [name for name in key.keys if command_of(name) is not None]
        if taken:
            raise ConfigError(
                f"key {taken[0]!r}: the world has it for {key.label!r} and the window for {command_of(taken[0])}; "
                "give the world's Key another name"
            )


def obey(session: Session, command: Command) -> bool:
    """Carry out a command; False where it is none of a session's.

    Raises:
        ConfigError, InstallationError: there is no reality here.
        SeedError: episodes are saved, and the seed is kept for tests.
    """
    action = _COMMANDS.get(command)
    if action is not None:
        action(session)
    return action is not None


def is_of_a_session(command: Command) -> bool:
    """Whether :func:`obey` can carry it out."""
    return command in _COMMANDS


def change_temperature(session: Session, steps: int) -> None:
    """Change the temperature by so many steps of 0.05, within 0.05 and 2.

    A bundle's own may be beyond; then it can only come nearer.
    """
    now = session.dream.temperature
    wanted = min(max(round(round(now / _STEP + steps) * _STEP, 2), TEMPERATURES[0]), TEMPERATURES[1])
    session.dream.temperature = max(wanted, now) if steps > 0 else min(wanted, now)


def _show(view: View) -> Callable[[Session], None]:
    def action(session: Session) -> None:
        if session.view != view or session.asleep:
            session.set_view(view)
            session.say("")
        elif view == "both":
            session.follow()
            session.say("The dream begins again from here")

    return action


def _dream_from_here(session: Session) -> None:
    if session.asleep:
        session.wake()
        session.say("Awake: reality goes on where it stood")
    elif session.view == "dream":
        session.say(f"This dream did not begin in reality: press {CAPS[Command.REALITY]}, play, then Space")
    elif session.real.ended is not None:
        restart, new = CAPS[Command.RESTART], CAPS[Command.NEW]
        session.say(f"This episode is over: press {restart} to restart or {new} for a new one")
    else:
        session.fall_asleep()
        session.say("Dreaming from here: reality waits, Space wakes you up")


def _next_player(session: Session) -> None:
    session.take_turns()
    session.say("You play" if session.person_plays else f"{session.player.label} plays")


def _inside(session: Session) -> None:
    session.inside = not session.inside


def _help(session: Session) -> None:
    session.help = not session.help


def _pause(session: Session) -> None:
    session.clock.paused = not session.clock.paused


_COMMANDS: Final[dict[Command, Callable[[Session], None]]] = {
    Command.REALITY: _show("reality"),
    Command.DREAM: _show("dream"),
    Command.BOTH: _show("both"),
    Command.DREAM_FROM_HERE: _dream_from_here,
    Command.PLAYER: _next_player,
    Command.COOLER: lambda session: change_temperature(session, -1),
    Command.WARMER: lambda session: change_temperature(session, 1),
    Command.INSIDE: _inside,
    Command.HELP: _help,
    Command.RESTART: lambda session: session.begin(session.leader.seed),
    Command.NEW: Session.begin_next,
    Command.PAUSE: _pause,
    Command.STEP: lambda session: session.clock.single_step(),
    Command.SLOWER: lambda session: session.clock.slower(),
}
