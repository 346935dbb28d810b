"""A reference that is told where every fireball is and how it flies: how well Take Cover can be played.

Not an agent: it reads what the game never shows. Each step it tries a few plans against the fireballs in the air and
takes the first move of the plan that leaves the widest berth.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Planner"]

_HORIZON: Final = 50
"""Tics: a fireball takes 48 from the far wall to the player's."""
_FRICTION: Final = 0.90625
"""The game's: the share of its speed that a thing on the ground keeps in a tic."""
_THRUST: Final = 0.78125
"""Speed that a held key adds in a tic, measured; the top speed is then 8.3 units a tic."""
_RIGHT_WALL, _LEFT_WALL = 16.0, 752.0
_WIDE_ENOUGH: Final = 60.0
"""Map units from a fireball's path that count as safe; a hit comes within some 25."""
_MIDDLE: Final = 384.0
_LAPSE: Final = 15
"""Steps of a lapse, on average."""


def _plans() -> NDArray[np.float64]:
    """Moves of each plan, (P, horizon), +1 left: one move for a time, then another."""
    plans = []
    for first, second in itertools.product((0.0, 1.0, -1.0), repeat=2):
        for switch in (4, 10, 20, 35) if first != second else (_HORIZON,):
            plans += [[first] * switch + [second] * (_HORIZON - switch)]
    return np.array(plans)


_PLANS: Final = _plans()


class Planner:
    """Dodges with full knowledge; see :class:`~dreamgym.worlds.base.Player`.

    Args:
        lapses: the most of the time that it moves at random instead, as a share; drawn for the episode. Recorded
            episodes then have late stages of the game, near misses and deaths.
    """

    def __init__(self, lapses: float = 0.0) -> None:
        self._most = lapses

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """Begin an episode in the unwrapped environment, which it asks for fireballs."""
        self._env, self._rng = env, rng
        self._last: float | None = None
        self._share, self._lapse, self._move = rng.uniform(0.0, self._most), 0, 0.0

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The action, float32 (1,): -1 left, 0 none, 1 right."""
        planned = self._plan()
        if not self._share:
            return planned
        if self._lapse == 0 and self._rng.random() < self._share / ((1.0 - self._share) * _LAPSE):
            self._lapse, self._move = int(self._rng.integers(1, 2 * _LAPSE)), float(self._rng.integers(-1, 2))
        if self._lapse == 0:
            return planned
        self._lapse -= 1
        return np.array([self._move], np.float32)

    def _plan(self) -> NDArray[np.float32]:
        position = self._env.position
        speed = 0.0 if self._last is None else position - self._last
        self._last = position
        paths = _paths(position, speed)  # (P, horizon)
        berth = np.full(len(_PLANS), _WIDE_ENOUGH)
        for ball in self._env.fireballs():
            if ball.speed <= 0.0:
                continue
            arrival = ball.distance / ball.speed  # tics until it is level with the player
            times = np.clip(np.arange(int(arrival) - 3, int(arrival) + 4), 0, _HORIZON - 1)
            miss = np.abs(paths[:, times] - (ball.x + ball.speed_x * (times + 1.0))).min(axis=1)
            berth = np.minimum(berth, miss)
        # Among plans that are safe, one that ends in the middle: there is room on both sides of it.
        value = berth - 0.01 * np.abs(paths[:, -1] - _MIDDLE)
        return np.array([-_PLANS[int(value.argmax()), 0]], np.float32)


def _paths(position: float, speed: float) -> NDArray[np.float64]:
    """Where each plan takes the player after each tic, (P, horizon)."""
    places = np.empty(_PLANS.shape)
    x, v = np.full(len(_PLANS), position), np.full(len(_PLANS), speed)
    for tic in range(_HORIZON):
        v = v * _FRICTION + _THRUST * _PLANS[:, tic]
        x = np.clip(x + v, _RIGHT_WALL, _LEFT_WALL)
        v[(x == _RIGHT_WALL) | (x == _LEFT_WALL)] = 0.0
        places[:, tic] = x
    return places
