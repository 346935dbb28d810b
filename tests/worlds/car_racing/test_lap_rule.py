"""CarRacing's lap rule, which scores depend on: a lap ends when every tile was visited, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.envs.box2d.car_dynamics import Car

from dreamgym.worlds.car_racing.world import CAR_RACING, LAP_RULE

SEED = 1_000_000
FORWARD = np.array([0.0, 0.4, 0.0], np.float32)


@pytest.fixture(params=[True, False], ids=["fast drawing", "Gymnasium"])
def env(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = CAR_RACING.make_env(exact_drawing=request.param)
    made.reset(seed=SEED)
    yield made
    made.close()


def visit_all_but(world: Any, left: list[int]) -> None:
    """Mark every other tile as visited, as if wheels had touched it, but for the first: that is the reset's to do."""
    for tile in world.road:
        tile.road_visited = tile.idx not in left if tile.idx else tile.road_visited
    world.tile_visited_count = sum(tile.road_visited for tile in world.road)


def put_car_on(world: Any, tile: int) -> None:
    world.car.destroy()
    world.car = Car(world.world, *world.track[tile][1:4])


def nearest_tile(world: Any) -> int:
    tiles = np.array([tile[2:4] for tile in world.track])
    return int(((tiles - np.array(world.car.hull.position)) ** 2).sum(axis=1).argmin())


def drive(env: Any, steps: int) -> tuple[bool, bool]:
    """Whether the episode terminated, and whether by a finished lap."""
    for _ in range(steps):
        _, _, terminated, _, info = env.step(FORWARD)
        if terminated:
            return True, bool(info.get("lap_finished", False))
    return False, False


def test_a_lap_goes_on_over_the_start_while_a_tile_is_missing(env: Any) -> None:
    world = env.unwrapped
    count = len(world.track)
    visit_all_but(world, [count // 2])
    put_car_on(world, count - 5)
    assert drive(env, 80) == (False, False)
    assert nearest_tile(world) < count // 4  # it came past the start
    assert world.tile_visited_count == count - 1  # 99.7 %, and the first tile among them


def test_a_lap_ends_with_the_last_missing_tile(env: Any) -> None:
    world = env.unwrapped
    missing = len(world.track) // 2
    visit_all_but(world, [missing])
    put_car_on(world, missing - 2)
    assert drive(env, 80) == (True, True)
    assert world.tile_visited_count == len(world.track)


def test_the_rule_is_recorded_with_scores() -> None:
    assert CAR_RACING.score.rule == LAP_RULE == "a lap ends when every tile was visited"
