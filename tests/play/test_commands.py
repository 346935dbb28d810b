"""The keys' one list."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import get_args

import pygame
import pytest

from dreamgym.errors import ConfigError
from dreamgym.play.commands import BINDINGS, Command, Group, axes_of, caps_of, command_of, require_free
from dreamgym.play.loop import key_code
from dreamgym.worlds.base import Key
from dreamgym.worlds.registry import find

RACING = find("CarRacing").actions
DOOM = find("DoomTakeCover").actions


def test_every_command_has_one_binding_and_no_key_two_meanings() -> None:
    assert {binding.command for binding in BINDINGS} == set(Command)
    assert len(BINDINGS) == len(Command)
    assert {binding.group for binding in BINDINGS} == set(get_args(Group))
    for actions in (RACING, DOOM):
        names = [name for binding in BINDINGS for name in binding.keys]
        names += [name for key in actions.keys for name in key.keys]
        assert max(Counter(key_code(name) for name in names).values()) == 1
        require_free(actions)
        for axis in axes_of(actions):
            assert hasattr(pygame, f"CONTROLLER_AXIS_{axis}")
    buttons = Counter(binding.button for binding in BINDINGS if binding.button)
    assert max(buttons.values()) == 1
    for button in buttons:
        assert hasattr(pygame, f"CONTROLLER_BUTTON_{button}")


def test_key_of_a_world_that_is_a_command_is_refused() -> None:
    taken = dataclasses.replace(DOOM, keys=(Key("shoot", ("space",), 0, 1.0),))
    with pytest.raises(ConfigError, match=r"'space'.*'shoot'.*dream_from_here"):
        require_free(taken)


@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("space", Command.DREAM_FROM_HERE),
        ("M", Command.INSIDE),
        ("+", Command.WARMER),
        ("esc", Command.QUIT),
        ("w", None),
    ],
)
def test_commands_are_found_by_name_and_by_cap(key: str, command: Command | None) -> None:
    assert command_of(key) is command


def test_caps_show_arrows_and_letters() -> None:
    assert [caps_of(key) for key in RACING.keys] == [("←", "A"), ("→", "D"), ("↑", "W"), ("↓", "S")]


def test_manual_lists_every_key() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "playing.md").read_text(encoding="utf-8")
    for binding in BINDINGS:
        assert f"| `{binding.cap}` | {binding.does} |" in manual
