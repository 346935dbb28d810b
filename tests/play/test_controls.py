"""Keys and axes: what they say, and how they become a world's actions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pygame
import pytest

from dreamgym.errors import ConfigError
from dreamgym.play.commands import BINDINGS, GROUPS, Command, axes_of, caps_of, command_of, require_free
from dreamgym.play.controls import Controls
from dreamgym.play.help_page import gamepad_line
from dreamgym.play.loop import key_code
from dreamgym.play.session import SPEEDS, Clock
from dreamgym.worlds.base import ActionSet, Key
from dreamgym.worlds.registry import find

TICK = 1.0 / 50.0
LEFT, RIGHT, GAS, BRAKE = range(4)
RACING = find("CarRacing").actions
DOOM = find("DoomTakeCover").actions


def test_every_command_has_one_binding_and_no_key_two_meanings() -> None:
    assert {binding.command for binding in BINDINGS} == set(Command)
    assert len(BINDINGS) == len(Command)
    assert {binding.group for binding in BINDINGS} == set(GROUPS)
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


def test_number_moves_at_its_keys_rates() -> None:
    controls = Controls(RACING)
    controls.press(LEFT)
    steering = [float(controls.advance(TICK)[0]) for _ in range(20)]
    assert steering == sorted(steering, reverse=True)
    assert steering[0] == pytest.approx(-4.0 * TICK)
    assert steering[11] > -1.0
    assert steering[13] == steering[-1] == -1.0
    controls.release(LEFT)
    back = [float(controls.advance(TICK)[0]) for _ in range(10)]
    assert back[0] == pytest.approx(-1.0 + 8.0 * TICK)
    assert back[7] == 0.0


def test_tap_between_two_ticks_counts() -> None:
    controls = Controls(RACING)
    controls.press(GAS)
    controls.release(GAS)
    assert controls.advance(TICK)[1] > 0.0
    controls.advance(TICK)
    assert controls.advance(TICK)[1] == 0.0


def test_changing_direction_passes_the_middle_at_the_releasing_rate() -> None:
    controls = Controls(RACING)
    controls.press(LEFT)
    controls.advance(1.0)
    controls.press(RIGHT)
    controls.release(LEFT)
    steering = [float(controls.advance(TICK)[0]) for _ in range(30)]
    assert steering[7] >= 0.0
    assert steering[-1] == 1.0


def test_opposite_keys_cancel_each_other() -> None:
    controls = Controls(RACING)
    controls.press(LEFT)
    controls.press(RIGHT)
    assert controls.advance(1.0)[0] == 0.0


def test_gas_and_brake_reach_their_keys_values() -> None:
    controls = Controls(RACING)
    controls.press(GAS)
    assert 0.0 < controls.advance(TICK)[1] < 0.1
    assert controls.advance(1.0)[1] == 1.0
    controls.release(GAS)
    controls.press(BRAKE)
    _, gas, brake = controls.advance(1.0)
    assert gas == 0.0
    assert brake == np.float32(0.8)  # not 0.9, from where the wheels lock


def test_keys_without_rates_act_at_once() -> None:
    controls = Controls(DOOM)
    controls.press(0)
    assert controls.advance(TICK).tolist() == [-1.0]
    controls.release(0)
    assert controls.advance(TICK).tolist() == [0.0]


def test_stick_has_a_dead_zone_and_wins_over_keys() -> None:
    controls = Controls(RACING)
    controls.press(RIGHT)
    controls.move_axis(0, 0.1)
    assert controls.advance(1.0)[0] == 1.0
    controls.move_axis(0, -0.5)
    assert -0.5 < controls.advance(TICK)[0] < 0.0
    controls.move_axis(0, -1.0)
    controls.move_axis(1, 1.0)
    controls.move_axis(2, 1.0)
    np.testing.assert_allclose(controls.advance(TICK), [-1.0, 1.0, 0.8])  # as far as the keys go
    assert controls.touched
    controls.release_all()
    assert not controls.touched
    assert controls.advance(1.0).tolist() == [0.0, 0.0, 0.0]


def test_axes_go_to_the_numbers_that_they_fit() -> None:
    assert axes_of(RACING) == {"LEFTX": 0, "TRIGGERRIGHT": 1, "TRIGGERLEFT": 2}
    assert axes_of(DOOM) == {"LEFTX": 0}
    assert gamepad_line(DOOM).startswith("Gamepad: left stick move, A dream from here")
    plane = ActionSet((-1.0, -1.0), (1.0, 1.0), ("roll", "pitch"), ("tanh", "tanh"))
    assert axes_of(plane) == {"LEFTX": 0, "RIGHTX": 1}


@pytest.mark.parametrize("actions", [RACING, DOOM])
def test_actions_stay_in_the_action_space(actions: ActionSet) -> None:
    rng = np.random.default_rng(0)
    controls = Controls(actions)
    for _ in range(500):
        key = int(rng.integers(len(actions.keys)))
        (controls.press if rng.random() < 0.5 else controls.release)(key)
        number = int(rng.integers(actions.size))
        controls.move_axis(number, float(rng.uniform(min(actions.low[number], 0.0), 1.0) * (rng.random() < 0.3)))
        action = controls.advance(TICK)
        assert action.dtype == np.float32
        assert (action >= np.array(actions.low, np.float32)).all()
        assert (action <= np.array(actions.high, np.float32)).all()


def test_slow_motion_takes_every_so_many_ticks() -> None:
    clock = Clock()
    for speed in SPEEDS:
        assert clock.speed == speed
        assert sum(clock.tick() for _ in range(100)) == round(100 * speed)
        clock.slower()
    assert clock.speed == SPEEDS[0]


def test_single_step_pauses_the_clock() -> None:
    clock = Clock()
    clock.single_step()
    assert [clock.tick() for _ in range(3)] == [True, False, False]
    assert clock.paused
    clock.paused = False
    assert clock.tick()
