"""Whether V draws the fireballs."""

from __future__ import annotations

import numpy as np

from dreamgym.worlds.doom_take_cover.fireball_gate import fireball_brightness_kept
from dreamgym.worlds.registry import find

WORLD = find("doom-take-cover")


def test_the_gate_tells_a_kept_fireball_from_a_lost_one() -> None:
    frames = np.full((3, 64, 64, 3), 60, np.uint8)
    frames[0, 30:32, 30:33] = (255, 250, 90)  # 6 bright pixels
    frames[1, 10, 10] = (255, 250, 90)
    half = frames.copy()
    half[0, 30, 30:33] = 60
    found = fireball_brightness_kept(frames, half)
    assert found[4, 8] == (0.5, 1) and found[1, 3] == (1.0, 1)
    assert np.isnan(found[9, 20][0]) and found[9, 20][1] == 0
    assert WORLD.check_pictures is not None
    assert WORLD.check_pictures(frames, half) == {"fireballs_kept_1_3": 1.0, "fireballs_kept_4_8": 0.5}
