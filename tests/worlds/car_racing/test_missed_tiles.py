"""Which tiles a drive leaves behind untouched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dreamgym.collect.collect import record_episode
from dreamgym.worlds.car_racing.missed_tiles import TileWatch
from dreamgym.worlds.registry import find

TILES = 100
RADIUS = 60.0


class Circle:
    """A round track of 100 tiles, and a car that is put somewhere and touches what it is told to."""

    def __init__(self) -> None:
        angles = 2 * np.pi * np.arange(TILES) / TILES
        self.track = [(0.0, angle, RADIUS * np.cos(angle), RADIUS * np.sin(angle)) for angle in angles]
        self.road = [SimpleNamespace(idx=index, road_visited=False) for index in range(TILES)][::-1]
        self.tile_visited_count = 0
        self.car = SimpleNamespace(hull=SimpleNamespace(position=None))
        self.unwrapped = self
        self.put(0, touched=(0,))

    def put(self, tile: int, offset: float = 0.0, touched: tuple[int, ...] = ()) -> None:
        angle = 2 * np.pi * tile / TILES
        self.car.hull.position = ((RADIUS + offset) * np.cos(angle), (RADIUS + offset) * np.sin(angle))
        for found in self.road:
            if found.idx in touched and not found.road_visited:
                found.road_visited = True
                self.tile_visited_count += 1


def watched(*moments: dict[str, Any]) -> list[float]:
    """What was missed in each step of a drive from the start."""
    circle = Circle()
    watch = TileWatch(circle)  # type: ignore[arg-type]
    for moment in moments:
        circle.put(**moment)
        watch.look()
    return watch.missed().tolist()


def on_road(first: int, last: int) -> list[dict[str, Any]]:
    return [{"tile": tile, "touched": (tile,)} for tile in range(first, last)]


def test_a_car_on_the_road_misses_nothing() -> None:
    assert watched(*on_road(1, 60)) == [0.0] * 59


def test_tiles_are_missed_in_the_step_that_passes_them() -> None:
    beside = [{"tile": tile, "offset": 8.0} for tile in (5, 6, 8)]
    back = {"tile": 9, "offset": 7.0, "touched": (9,)}
    missed = watched(*on_road(1, 5), *beside, back, *on_road(10, 30))
    assert missed[:8] == [0, 0, 0, 0, 0, 1, 2, 1]  # 5, then 6 and 7, then 8
    assert not any(missed[8:])


def test_a_car_that_seems_to_be_on_the_road_is_not_understood() -> None:
    missed = watched(*on_road(1, 5), {"tile": 5}, *on_road(6, 30))
    assert np.isnan(missed[5]) and np.nansum(missed) == 0


def test_a_wheel_may_come_after() -> None:
    late = {"tile": 7, "offset": 8.0, "touched": (5, 6, 7)}
    assert np.nansum(watched(*on_road(1, 5), {"tile": 6, "offset": 8.0}, late, *on_road(8, 30))) == 0


def test_what_a_jump_leaves_is_not_known() -> None:
    missed = watched(*on_road(1, 5), *on_road(40, 60))
    assert missed[:4] == [0.0] * 4 and np.isnan(missed[4:]).all()


def test_a_second_lap_is_not_known() -> None:
    round_again = [{"tile": tile % TILES, "touched": (tile % TILES,)} for tile in range(1, TILES + 20)]
    missed = np.array(watched(*round_again))
    assert (missed[: TILES - 1] == 0).all() and np.isnan(missed[TILES - 1 :]).all()


@pytest.mark.usefixtures("undrawn")
def test_real_drives_know_what_they_miss() -> None:
    steady, reckless = (
        record_episode(find().players[name](), 1_000_004, 400) for name in ("follower", "reckless_follower")
    )
    assert steady.labels["missed"] is not None and reckless.labels["missed"] is not None
    assert steady.labels["missed"].shape == (len(steady),) and np.nansum(steady.labels["missed"]) == 0
    assert np.nansum(reckless.labels["missed"]) > 0
