"""Keys and axes: what they say, and how they become the car's controls."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pygame
import pytest

from dreamgym.play.clock import SPEEDS, Clock
from dreamgym.play.controls import Controls
from dreamgym.play.keymap import AXES, BINDINGS, DRIVING, Command, command_of
from dreamgym.real.world import CAR_RACING

TICK = 1.0 / 50.0


def test_every_command_has_keys_and_no_key_has_two_meanings() -> None:
    assert {binding.command for binding in BINDINGS} == set(Command)
    assert len(BINDINGS) == len(Command)
    names = [key for binding in BINDINGS for key in binding.keys] + [key for keys in DRIVING.values() for key in keys]
    codes = Counter(getattr(pygame, f"K_{name}") for name in names)
    assert max(codes.values()) == 1
    buttons = Counter(binding.button for binding in BINDINGS if binding.button)
    assert max(buttons.values()) == 1
    for button in buttons:
        assert hasattr(pygame, f"CONTROLLER_BUTTON_{button}")
    for axis in AXES:
        assert hasattr(pygame, f"CONTROLLER_AXIS_{axis}")


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
def test_keys_by_name_and_by_cap(key: str, command: Command | None) -> None:
    assert command_of(key) is command


def test_the_manual_lists_every_key() -> None:
    manual = (Path(__file__).parents[1] / "docs" / "playing.md").read_text(encoding="utf-8")
    for binding in BINDINGS:
        assert f"| `{binding.cap}` | {binding.does} |" in manual


def test_steering_turns_in_over_a_quarter_second_and_comes_back_quicker() -> None:
    controls = Controls()
    controls.press("left")
    steering = [float(controls.advance(TICK)[0]) for _ in range(20)]
    assert steering == sorted(steering, reverse=True)
    assert steering[0] > -0.2
    assert steering[11] > -1.0
    assert steering[13] == steering[-1] == -1.0
    controls.release("left")
    back = [float(controls.advance(TICK)[0]) for _ in range(10)]
    assert back[0] > -0.9
    assert back[7] == 0.0


def test_a_tap_between_two_ticks_counts() -> None:
    controls = Controls()
    controls.press("gas")
    controls.release("gas")
    assert controls.advance(TICK)[1] > 0.0
    controls.advance(TICK)
    assert controls.advance(TICK)[1] == 0.0


def test_changing_direction_does_not_wait_for_the_middle() -> None:
    controls = Controls()
    controls.press("left")
    controls.advance(1.0)
    controls.press("right")
    controls.release("left")
    steering = [float(controls.advance(TICK)[0]) for _ in range(30)]
    assert steering[7] >= 0.0
    assert steering[-1] == 1.0


def test_left_and_right_together_go_straight() -> None:
    controls = Controls()
    controls.press("left")
    controls.press("right")
    assert controls.advance(1.0)[0] == 0.0


def test_gas_and_brake() -> None:
    controls = Controls()
    controls.press("gas")
    assert 0.0 < controls.advance(TICK)[1] < 0.1
    assert controls.advance(1.0)[1] == 1.0
    controls.release("gas")
    controls.press("brake")
    _, gas, brake = controls.advance(1.0)
    assert gas == 0.0
    assert brake == np.float32(0.8)  # not 0.9, from where the wheels lock


def test_a_stick_has_a_dead_zone_and_beats_the_keys() -> None:
    controls = Controls()
    controls.press("right")
    controls.move_axis("steer", 0.1)
    assert controls.advance(1.0)[0] == 1.0
    controls.move_axis("steer", -0.5)
    assert -0.5 < controls.advance(TICK)[0] < 0.0
    controls.move_axis("steer", -1.0)
    controls.move_axis("gas", 1.0)
    assert controls.advance(TICK).tolist()[:2] == [-1.0, 1.0]
    assert controls.touched
    controls.release_all()
    assert not controls.touched
    assert controls.advance(1.0).tolist() == [0.0, 0.0, 0.0]


def test_controls_stay_in_the_action_space() -> None:
    rng = np.random.default_rng(0)
    controls = Controls()
    for _ in range(500):
        name = str(rng.choice(list(DRIVING)))
        (controls.press if rng.random() < 0.5 else controls.release)(name)
        controls.move_axis("steer", float(rng.uniform(-1.0, 1.0) * (rng.random() < 0.3)))
        controls.move_axis("brake", float(rng.random() * (rng.random() < 0.3)))
        action = controls.advance(TICK)
        assert action.dtype == np.float32
        assert (action >= np.array(CAR_RACING.action_low, np.float32)).all()
        assert (action <= np.array(CAR_RACING.action_high, np.float32)).all()


def test_slow_motion_takes_every_so_many_ticks() -> None:
    clock = Clock()
    for speed in SPEEDS:
        assert clock.speed == speed
        assert sum(clock.tick() for _ in range(100)) == round(100 * speed)
        clock.slower()
    assert clock.speed == SPEEDS[0]


def test_pause_and_single_steps() -> None:
    clock = Clock()
    clock.single_step()
    assert [clock.tick() for _ in range(3)] == [True, False, False]
    assert clock.paused
    clock.paused = False
    assert clock.tick()
