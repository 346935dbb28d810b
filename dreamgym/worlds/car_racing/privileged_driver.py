"""A scripted driver that is told the map, the car's pose and its velocity: how well CarRacing can be driven at all.

It plans a line of little curvature within the road and the speed that each bend of it allows, then follows the line by
pure pursuit. Nothing that sees pictures alone is told any of this, so its score is a ceiling for a table of results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.worlds.car_racing.scripted_drivers import Action, Frame, Rng, clip

__all__ = ["PrivilegedDriver", "PrivilegedSettings", "racing_line", "speed_limits"]

Points = NDArray[np.float64]

_STEP: Final = 3.5
"""Distance between tiles, in CarRacing's units."""
_ITERATIONS: Final = 400
"""Of the line's optimization; more change a lap time by less than a step."""


@dataclass(frozen=True)
class PrivilegedSettings:
    """What a search may tune.

    Tuned by ``docs/experiments/car-racing/privileged_ceiling.py`` on training tracks. Distances are in CarRacing's
    units (a tile is 3.5 long and 13.3 wide), speeds per second.
    """

    margin: float = 5.63
    """How far from the middle of the road the line may be."""
    shortness: float = 0.0074
    """Weight of the line's length against its curvature."""
    grip: float = 286.0
    """Acceleration to the side that bends are planned with."""
    braking: float = 91.6
    """Deceleration that braking is planned with."""
    top_speed: float = 110.7
    look_ahead: float = 8.27
    """Distance to the point that is steered for, at a stand."""
    look_ahead_time: float = 0.175
    """Seconds that the distance grows by with the speed."""
    steering: float = 1.013
    """Angle of the wheels for an angle of 1 rad to that point."""
    damping: float = 0.0458
    """Angle of the wheels against a yaw rate of 1 rad/s."""
    drift: float = 0.0
    """Share of the direction of travel, against that of the nose, in the angle to the point."""
    restraint: float = 1.33
    """Gas taken away for 1 rad of the wheels."""


class PrivilegedDriver:
    """Drives the planned line; a :class:`~dreamgym.worlds.base.Player`."""

    def __init__(self, settings: PrivilegedSettings | None = None) -> None:
        self._settings = settings or PrivilegedSettings()

    def reset(self, env: Any, rng: Rng) -> None:
        """Plan the lap. Nothing is drawn from ``rng``."""
        tiles = np.array([tile[1:4] for tile in env.track])  # heading, x, y
        normals = np.stack([np.cos(tiles[:, 0]), np.sin(tiles[:, 0])], axis=1)
        settings = self._settings
        self._line = racing_line(tiles[:, 1:], normals, settings.margin, settings.shortness)
        self._limits = speed_limits(self._line, settings.grip, settings.braking, settings.top_speed)
        self._car = env.car

    def act(self, frame: Frame) -> Action:
        """The action, float32 (steer, gas, brake); the frame is not looked at."""
        settings, hull = self._settings, self._car.hull
        velocity = hull.linearVelocity
        speed = math.hypot(velocity[0], velocity[1])
        away = self._line - (hull.position[0], hull.position[1])
        nearest = int((away * away).sum(axis=1).argmin())
        steer = self._steering(away, nearest, speed)
        excess = speed - self._limits[nearest]
        gas = min(max(-0.2 * excess, 0.0), 1.0) * max(1.0 - settings.restraint * abs(steer), 0.0)
        brake = min(max(0.1 * (excess - 1.0), 0.0), 0.8)  # from 0.9 up the wheels lock
        return clip(steer, gas, brake)

    def _steering(self, away: Points, nearest: int, speed: float) -> float:
        """Pure pursuit: towards a point of the line that is further ahead the faster the car is."""
        settings, hull = self._settings, self._car.hull
        tiles_ahead = (settings.look_ahead + settings.look_ahead_time * speed) / _STEP
        whole = int(tiles_ahead)
        before, after = (away[(nearest + whole + step) % len(away)] for step in (0, 1))
        x, y = before + (tiles_ahead - whole) * (after - before)
        # The car faces +y at angle 0; positive angles turn left, positive steering turns right.
        angle = _wrapped(math.atan2(-x, y) - hull.angle)
        if speed > 10.0:
            travel = _wrapped(math.atan2(-hull.linearVelocity[0], hull.linearVelocity[1]) - hull.angle)
            angle -= settings.drift * travel
        return -settings.steering * angle + settings.damping * float(hull.angularVelocity)


def racing_line(middle: Points, normals: Points, margin: float, shortness: float) -> Points:
    """The closed line of least squared curvature, and a little of its length.

    Within a margin of the road's middle.

    Args:
        middle: of the road, (N, 2).
        normals: unit vectors across the road, (N, 2).
        margin: the most that a point may be moved along its normal.
        shortness: weight of the squared first differences against the squared second differences.

    Returns:
        Points, (N, 2).
    """
    offset = np.zeros(len(middle))
    ahead, momentum = offset, 1.0
    rate = 1.0 / (16.0 + 4.0 * shortness)  # 1 / the largest eigenvalue: no step overshoots
    for _ in range(_ITERATIONS):  # projected gradient descent with Nesterov's momentum
        line = middle + ahead[:, None] * normals
        bend = np.roll(line, -1, axis=0) + np.roll(line, 1, axis=0) - 2.0 * line
        slope = np.roll(bend, -1, axis=0) + np.roll(bend, 1, axis=0) - (2.0 + shortness) * bend
        following = np.clip(ahead - rate * (slope * normals).sum(axis=1), -margin, margin)
        grown = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = following + (momentum - 1.0) / grown * (following - offset)
        offset, momentum = following, grown
    line = middle + offset[:, None] * normals
    return np.asarray(line, np.float64)


def speed_limits(line: Points, grip: float, braking: float, top_speed: float) -> NDArray[np.float64]:
    """The highest speed at each point, (N,).

    Its bend allows it, and all later bends can be braked for from it.

    Args:
        line: closed, (N, 2).
        grip: acceleration to the side.
        braking: deceleration.
        top_speed: the most that is wanted anywhere.
    """
    step = np.roll(line, -1, axis=0) - line
    length = np.linalg.norm(step, axis=1)
    heading = np.arctan2(step[:, 1], step[:, 0])
    turn = np.abs((heading - np.roll(heading, 1) + np.pi) % (2.0 * np.pi) - np.pi)
    curvature = np.convolve(np.concatenate([turn[-1:], turn, turn[:1]]), np.full(3, 1.0 / 3.0), "valid") / length
    limits = np.minimum(np.sqrt(grip / np.maximum(curvature, 1e-6)), top_speed)
    allowed = [float(limit) for limit in limits]
    for index in [*range(len(line) - 1, -1, -1)] * 2:  # twice round: the lap's end brakes for its beginning
        following = allowed[(index + 1) % len(line)]
        allowed[index] = min(allowed[index], math.sqrt(following**2 + 2.0 * braking * float(length[index])))
    return np.array(allowed)


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2.0 * math.pi) - math.pi
