"""What each command does to a session. Those that concern the window or files are the loop's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dreamgym.play.keymap import Command
from dreamgym.play.session import Session, View

__all__ = ["TEMPERATURES", "heat", "is_of_a_session", "obey"]

TEMPERATURES: Final = (0.05, 2.0)
"""The lowest and the highest that can be set."""
_STEP: Final = 0.05


def obey(session: Session, command: Command) -> bool:
    """Carry out a command; False where it is none of a session's."""
    action = _COMMANDS.get(command)
    if action is None:
        return False
    action(session)
    return True


def is_of_a_session(command: Command) -> bool:
    """Whether :func:`obey` can carry it out."""
    return command in _COMMANDS


def heat(session: Session, steps: int) -> None:
    """Change the temperature by so many steps of 0.05, within 0.05 and 2."""
    wanted = round(session.dream.temperature / _STEP + steps) * _STEP
    session.dream.temperature = min(max(round(wanted, 2), TEMPERATURES[0]), TEMPERATURES[1])


def _see(view: View) -> Callable[[Session], None]:
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
        session.say("This dream did not begin in reality: press 1, drive, then Space")
    elif session.real.ended is not None:
        session.say("This drive is over: press R to restart or N for a new track")
    else:
        session.fall_asleep()
        session.say("Dreaming from here: reality waits, Space wakes you up")


def _driver(session: Session) -> None:
    session.take_turns()
    session.say("You have the wheel" if session.person_drives else f"{session.driver.label} has the wheel")


def _inside(session: Session) -> None:
    session.inside = not session.inside


def _help(session: Session) -> None:
    session.help = not session.help


def _pause(session: Session) -> None:
    session.clock.paused = not session.clock.paused


_COMMANDS: Final[dict[Command, Callable[[Session], None]]] = {
    Command.REALITY: _see("reality"),
    Command.DREAM: _see("dream"),
    Command.BOTH: _see("both"),
    Command.DREAM_FROM_HERE: _dream_from_here,
    Command.DRIVER: _driver,
    Command.COOLER: lambda session: heat(session, -1),
    Command.WARMER: lambda session: heat(session, 1),
    Command.INSIDE: _inside,
    Command.HELP: _help,
    Command.RESTART: lambda session: session.begin(session.seed),
    Command.NEW: Session.begin_next,
    Command.PAUSE: _pause,
    Command.STEP: lambda session: session.clock.single_step(),
    Command.SLOWER: lambda session: session.clock.slower(),
}
