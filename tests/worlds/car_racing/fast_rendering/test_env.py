"""Gymnasium's own class is the reference: same seed, same actions, and then every byte must be the same."""

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pygame
import pytest
from gymnasium.envs.box2d.car_racing import CarRacing

from dreamgym.worlds.car_racing.fast_rendering import env as drawing
from dreamgym.worlds.car_racing.fast_rendering.env import ExactCarRacing
from dreamgym.worlds.car_racing.players import PLAYERS

Pair = tuple[CarRacing, ExactCarRacing]
LONG = "DREAMGYM_LONG" in os.environ
EPISODES = 20 if LONG else len(PLAYERS)
"""That are compared from beginning to end: one of each player, unless there is time."""
DRAWN_EVERY = 1 if LONG else 4
"""Frames of them that are drawn, other ones for each player, unless there is time: Gymnasium draws 67 a second."""


class Undrawn:
    """Lets a pair step without drawing: no frame changes what comes after it."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def __enter__(self) -> None:
        for env in self._pair:
            env._render = lambda mode: None  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        for env in self._pair:
            del env._render


def make_pair(seed: int, **arguments: Any) -> Pair:
    pair = CarRacing(**arguments), ExactCarRacing(**arguments)
    first, second = (env.reset(seed=seed)[0] for env in pair)
    assert_same(first, second)
    return pair


def assert_same(wanted: Any, got: Any) -> None:
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted, strict=True)


def step_both(pair: Pair, action: Any) -> tuple[Any, bool]:
    wanted, got = (env.step(action) for env in pair)
    assert_same(wanted[0], got[0])
    assert got[1:] == wanted[1:]
    return wanted[0], wanted[2]


def random_actions(seed: int, count: int) -> Iterator[Any]:
    rng = np.random.default_rng(seed)
    for _ in range(0, count, 8):
        action = rng.uniform([-1, 0, 0], [1, 1, 0.4]).astype(np.float32)
        yield from [action] * 8


def place(env: Any, x: float, y: float, angle: float) -> None:
    """Put the whole car somewhere else, wheels and all, as seen after the first second's zoom."""
    move_x, move_y = x - env.car.hull.position.x, y - env.car.hull.position.y
    for body in (env.car.hull, *env.car.wheels):
        body.position = (body.position.x + move_x, body.position.y + move_y)
    env.car.hull.angle = angle
    env.t = 1.0


def assert_same_picture(pair: Pair) -> None:
    for mode in ("state_pixels", "rgb_array"):
        assert_same(*(env._render(mode) for env in pair))


def test_the_installed_gymnasium_is_one_that_is_drawn_fast():
    assert drawing._score_text is not None


@pytest.mark.parametrize(("seed", "domain_randomize"), [(1, False), (2, False), (3, True)])
def test_sixty_steps_are_identical(seed, domain_randomize):
    pair = make_pair(seed, domain_randomize=domain_randomize)
    for action in random_actions(seed, 64):
        step_both(pair, action)


def test_visited_tiles_and_a_second_episode_are_identical():
    pair = make_pair(4)
    for _ in range(2):
        for _ in range(70):
            step_both(pair, np.array([0.0, 0.5, 0.0], np.float32))
        assert_same(*(env.reset()[0] for env in pair))


def test_pictures_with_skid_marks_are_identical():
    pair = make_pair(5, render_mode="rgb_array")
    for count in range(60):
        step_both(pair, np.array([math.sin(count / 5), 1.0, 0.0], np.float32))
        if count % 6 == 5:
            assert_same(*(env.render() for env in pair))
    assert pair[1].render().shape == (400, 600, 3)
    assert len(pair[1].car.particles) > 0


def test_discrete_actions_are_identical():
    pair = make_pair(6, continuous=False)
    for count in range(24):
        step_both(pair, count % 5)


def test_a_reset_that_keeps_its_colours_is_identical():
    pair = make_pair(7, domain_randomize=True)
    assert_same(*(env.reset(options={"randomize": False})[0] for env in pair))


@pytest.mark.parametrize("edge", [310.0, 333.0, 345.0, 420.0])
def test_the_edge_of_the_playfield_is_identical(edge):
    pair = make_pair(8)
    for x, y, angle in ((edge, 0, 0.3), (-edge, edge, 2.0), (20, -edge, 4.0), (-edge, -40, -1.0)):
        for env in pair:
            place(env, x, y, angle)
        assert_same_picture(pair)


def test_leaving_the_playfield_is_identical():
    pair = make_pair(8)
    for env in pair:
        place(env, 333.0, 0.0, -math.pi / 2)
        env.car.hull.linearVelocity = (60.0, 0.0)
    ended = [step_both(pair, np.array([0.0, 1.0, 0.0], np.float32))[1] for _ in range(6)]
    assert ended[-1]


def test_quarter_turns_which_pygame_does_not_round_are_identical():
    pair = make_pair(9)
    x, y = pair[0].track[40][2:4]
    for quarter in range(-3, 5):
        for nudge in (0.0, 4e-7, -4e-7, 2e-6):
            for env in pair:
                place(env, x, y, quarter * math.pi / 2 + nudge)
            assert_same(*(env._render("state_pixels") for env in pair))


def test_any_place_on_the_track_at_any_zoom_is_identical():
    pair = make_pair(10)
    rng = np.random.default_rng(10)
    for _ in range(20):
        x, y = pair[0].track[rng.integers(len(pair[0].track))][2:4] + rng.normal(0, 8, size=2)
        angle, t = rng.uniform(-7, 7), rng.choice([0.02, 0.1, 0.5, 0.96, 1.02])
        for env in pair:
            place(env, x, y, angle)
            env.t = t
        assert_same(*(env._render("state_pixels") for env in pair))


@pytest.fixture(scope="module")
def still_pair():
    return make_pair(11)


@pytest.mark.parametrize("reward", [-0.1, -100.04, 0.5, 7.25, 999.5, 12345.6])
@pytest.mark.parametrize("omega", [-900.0, 70.0, 392.0, 401.0, 2500.0])
def test_the_dashboard_is_identical(still_pair, reward, omega):
    for env in still_pair:
        env.reward = reward
        env.car.wheels[1].omega = omega
        env.car.hull.angularVelocity = omega / 30
        env.car.hull.linearVelocity = (abs(omega) / 2, 10.0)
        env.t = 1.0
    assert_same_picture(still_pair)


@pytest.mark.parametrize("reward", [-1234.5, -99.9, -0.1, 0.0, 0.5, 99.95, 1000.0])
def test_the_score_is_written_as_each_gymnasium_writes_it(reward):
    written = {text(reward) for text in drawing._SCORE_TEXTS.values()}
    assert written == {"%04i" % reward, f"{reward:04}", f"{reward:04.0f}"}  # noqa: UP031


def test_an_unknown_gymnasium_draws_with_its_own_code(monkeypatch):
    monkeypatch.setattr(drawing, "_score_text", None)
    pair = make_pair(12)
    step_both(pair, np.array([0.0, 0.5, 0.0], np.float32))
    assert pair[1]._canvas is None


def test_the_window_is_identical_and_closing_it_harms_no_other_environment(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    other = make_pair(13)
    shown = []
    for make in (CarRacing, ExactCarRacing):
        env = make(render_mode="human")
        env.reset(seed=13)
        for _ in range(3):
            env.step(np.array([0.0, 1.0, 0.0], np.float32))
        shown.append(pygame.surfarray.array3d(pygame.display.get_surface()))
        step_both(other, np.array([0.1, 0.2, 0.0], np.float32))
        env.close()
    assert_same(*shown)
    step_both(other, np.array([0.1, 0.2, 0.0], np.float32))
    assert_same_picture(other)


def test_rendering_before_the_first_reset_gives_nothing():
    assert ExactCarRacing(render_mode="rgb_array").render() is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 100 + EPISODES))
def test_whole_episodes_are_identical(seed):
    pair = make_pair(seed, domain_randomize=seed % 5 == 4)
    driver = list(PLAYERS.values())[seed % len(PLAYERS)]()
    driver.reset(pair[0], np.random.default_rng(seed))
    frame, ended = np.zeros((64, 64, 3), np.uint8), False
    for count in range(1000):
        action = driver.act(frame)
        if count % DRAWN_EVERY == seed % DRAWN_EVERY:
            picture, ended = step_both(pair, action)
            frame = np.ascontiguousarray(picture[:64, :64])
        else:
            with Undrawn(pair):
                wanted, got = (env.step(action) for env in pair)
            assert got[1:] == wanted[1:]
            ended = wanted[2]
        if ended:
            break
