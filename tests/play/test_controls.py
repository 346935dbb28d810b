"""Keys and axes: what they say, and how they become a world's actions."""

from __future__ import annotations

import numpy as np
import pytest

from dreamgym.play.commands import axes_of
from dreamgym.play.controls import Controls
from dreamgym.play.help_page import gamepad_line
from dreamgym.worlds.base import ActionSet
from dreamgym.worlds.registry import find

RACING = find("CarRacing").actions
DOOM = find("DoomTakeCover").actions


TICK = 1.0 / 50.0
LEFT, RIGHT, GAS, BRAKE = range(4)


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
