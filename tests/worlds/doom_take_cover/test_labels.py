"""What the game says in training: where fireballs will cross the player's wall."""

from __future__ import annotations

import numpy as np

from dreamgym.worlds.doom_take_cover.engine import Thing
from dreamgym.worlds.doom_take_cover.labels import DANGER_SIZE, danger


def test_a_fireball_counts_where_and_when_it_crosses() -> None:
    # 10 units a tic from 260 away: after 26 tics, 3 units a tic to the left from 38 to the right: 40 to the left.
    cells = danger([Thing(x=362.0, distance=260.0, speed_x=3.0, speed=10.0)], place=400.0).reshape(4, 9)
    assert cells[2, 5] == 1.0
    assert cells.sum() < 1.1  # the cell of the next time has a little


def test_a_fireball_between_cells_is_shared_among_them() -> None:
    cells = danger([Thing(x=420.0, distance=40.0, speed_x=0.0, speed=10.0)], place=400.0).reshape(4, 9)
    np.testing.assert_allclose(cells[0, 4:6], 0.5)


def test_what_flies_away_or_misses_by_far_is_no_danger() -> None:
    away = Thing(x=400.0, distance=100.0, speed_x=0.0, speed=-10.0)
    far = Thing(x=700.0, distance=100.0, speed_x=0.0, speed=10.0)
    behind = Thing(x=400.0, distance=-5.0, speed_x=0.0, speed=10.0)
    assert danger([away, far, behind], place=400.0).tolist() == [0.0] * DANGER_SIZE
