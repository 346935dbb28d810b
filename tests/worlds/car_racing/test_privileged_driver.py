"""The driver that is told everything: its line, its speeds, and a lap."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import CarRacing
from numpy.typing import NDArray

from dreamgym.worlds.car_racing.privileged_driver import PrivilegedDriver, racing_line, speed_limits

COUNT, RADIUS = 120, 60.0
ANGLES = 2.0 * np.pi * np.arange(COUNT) / COUNT
CIRCLE = RADIUS * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
NORMALS = CIRCLE / RADIUS


class Undrawn(CarRacing):
    """CarRacing's physics without its pictures."""

    def _render(self, mode: str) -> NDArray[np.uint8]:
        return np.zeros((96, 96, 3), np.uint8)


def bend(line: NDArray[np.float64]) -> float:
    """Summed squared second differences."""
    return float((np.roll(line, -1, 0) + np.roll(line, 1, 0) - 2 * line).__pow__(2).sum())


def test_the_line_bends_less_than_the_road_and_stays_on_it() -> None:
    ripple = CIRCLE + 3.0 * np.sin(15 * ANGLES)[:, None] * NORMALS
    line = racing_line(ripple, NORMALS, margin=4.0, shortness=0.01)
    assert bend(line) < 0.1 * bend(ripple)
    assert np.linalg.norm(line - ripple, axis=1).max() <= 4.0 + 1e-9
    np.testing.assert_allclose(racing_line(ripple, NORMALS, margin=0.0, shortness=0.01), ripple)


def test_a_circle_is_taken_at_the_speed_of_its_radius() -> None:
    limits = speed_limits(CIRCLE, grip=100.0, braking=50.0, top_speed=200.0)
    np.testing.assert_allclose(limits, np.sqrt(100.0 * RADIUS), rtol=1e-3)
    assert speed_limits(CIRCLE, 100.0, 50.0, top_speed=30.0).tolist() == [30.0] * COUNT


def test_every_speed_can_be_braked_from_over_the_line_s_end_too() -> None:
    line = CIRCLE.copy()
    line[2] *= 0.95  # a sharp corner just after the start
    limits = speed_limits(line, grip=100.0, braking=50.0, top_speed=200.0)
    lengths = np.linalg.norm(np.roll(line, -1, 0) - line, axis=1)
    assert limits[-1] < 0.95 * limits[COUNT // 2]
    for (now, following), length in zip(pairwise([*limits, limits[0]]), lengths, strict=True):
        assert now**2 <= following**2 + 2 * 50.0 * length + 1e-6


@pytest.mark.parametrize("seed", [1_000_000, 1_000_001])
def test_a_lap_is_driven_well_and_alike_every_time(seed: int) -> None:
    returns = []
    for _ in range(2):
        env: Any = Undrawn()
        env.reset(seed=seed)
        driver = PrivilegedDriver()
        driver.reset(env, np.random.default_rng(0))
        total, done = 0.0, False
        while not done and total > -100:
            _, reward, done, _, info = env.step(driver.act(np.zeros((64, 64, 3), np.uint8)))
            total += float(reward)
        assert info["lap_finished"]
        returns.append(total)
    assert returns[0] == returns[1] > 900
