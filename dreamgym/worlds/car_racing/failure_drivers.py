"""Drivers that get nowhere: data of what must earn nothing in a dream."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dreamgym.worlds.car_racing.scripted_drivers import Action, Frame, Rng, TrackFollower, clip

__all__ = [
    "AimlessFollower",
    "CirclingFollower",
    "LeavingFollower",
    "ParkingFollower",
    "StraightOn",
    "StrayingAgent",
    "TurningFollower",
]

Triple = tuple[float, float, float]


class _GivingUp(TrackFollower):
    """A follower that gives up: at once, or in a share of the episodes after a while."""

    LATER: float
    """The share."""
    LONGEST = 250
    """Frames that it follows for, at most."""

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._follow_left = int(rng.integers(self.LONGEST)) if rng.random() < self.LATER else 0

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        if self._follow_left > 0:
            self._follow_left -= 1
            return super().act(frame)
        return self._after()

    def _after(self) -> Action:
        """What it does from then on."""
        raise NotImplementedError


class AimlessFollower(_GivingUp):
    """A follower that soon gives up.

    From then on it holds one simple action after another, for seconds each.

    Standing still, creeping, turning on the spot, ploughing over the grass: nobody who wants to get anywhere does it
    for long, so data of drivers leave M free to imagine that the road comes by itself.
    """

    SLOW: Final[tuple[Triple, ...]] = (
        (0.0, 0.0, 0.0),  # stand, or roll to a stand
        (0.0, 0.0, 0.0),
        (0.0, 0.0, 1.0),  # brake, and stand
        (0.0, 0.1, 0.0),  # creep
        (0.0, 0.2, 0.0),
    )
    QUICK: Final[tuple[Triple, ...]] = (
        (0.0, 1.0, 0.0),  # straight on
        (1.0, 1.0, 0.0),  # turn on the spot
        (0.3, 0.4, 0.0),  # circle
        (1.0, 0.3, 0.0),  # turn round, for as long as that takes
        (1.0, 0.3, 0.0),
    )
    KINDS: Final = (SLOW, SLOW, QUICK, None)
    """Drawn from for each action; None is a random one."""
    LATER = 0.4
    LONGEST = 400

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._hold_left = 0
        self._kinds = (self.SLOW,) if rng.random() < 0.5 else self.KINDS

    def _after(self) -> Action:
        if self._hold_left == 0:
            self._held = self._choose()
            longest = 120.0 if abs(self._held[0]) == 1.0 else 700.0
            self._hold_left = int(np.exp(self._rng.uniform(np.log(15.0), np.log(longest))))
        self._hold_left -= 1
        return self._held

    def _choose(self) -> Action:
        held = self._kinds[self._rng.integers(len(self._kinds))]
        self._kinds = self.KINDS
        if held is None:
            steer, gas, brake = self._rng.uniform([-1.0, 0.0, -2.0], [1.0, self._rng.choice([0.3, 1.0]), 1.0])
        else:
            steer, gas, brake = held[self._rng.integers(len(held))]
            steer *= self._rng.choice([-1.0, 1.0])
        return clip(steer, gas, max(brake, 0.0))


class TurningFollower(TrackFollower):
    """A follower that turns round now and then.

    It drives back over what it has made already.

    Nothing in the picture tells which way round a track is driven. Without these, M never has to remember it, and pays
    whoever has spun for the way back.
    """

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._same_way_left = int(rng.integers(30, 400))

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        if self._same_way_left == 0:
            self._same_way_left = int(self._rng.integers(60, 400))
            self._points, self._turn, self._normal = self._points[::-1], self._turn[::-1], -self._normal[::-1]
        self._same_way_left -= 1
        return super().act(frame)


class ParkingFollower(_GivingUp):
    """A follower that swerves, brakes to a stop, and stays there.

    On the grass nothing that M sees tells a car that stands from one that rolls. That it has braked for long enough
    must do, and M has to believe it for as long as the car stands.
    """

    LATER = 0.5

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._swerve_left = int(rng.integers(10, 120))
        self._brake_left = int(rng.integers(15, 100))
        self._swerve = clip(rng.uniform(-1.0, 1.0), rng.uniform(0.2, 1.2), 0.0)
        self._brake = clip(0.0, 0.0, rng.uniform(0.3, 1.3))
        self._park = self._brake if rng.random() < 0.2 else clip(0.0, 0.0, 0.0)

    def _after(self) -> Action:
        if self._swerve_left > 0:
            self._swerve_left -= 1
            return self._swerve
        if self._brake_left > 0:
            self._brake_left -= 1
            return self._brake
        return self._park


class CirclingFollower(_GivingUp):
    """A follower that drives in a circle.

    It holds the steering to one side and the gas where it is, from the start or from further on.

    It comes past the same tiles at every turn, and they are paid once. In a dream the road drifts a little from turn to
    turn, and M has to know all the same that nothing new is to be had.
    """

    LATER = 0.4

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._held = clip(rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 1.0), rng.uniform(0.1, 0.8), 0.0)

    def _after(self) -> Action:
        return self._held


class LeavingFollower(_GivingUp):
    """A follower that drives straight off the playfield.

    It turns away from the road, or lets the road do so.

    Nobody who wants to get anywhere leaves the playfield, so without these M hardly knows that it can be left, nor how
    soon a car that does not steer is off the road.
    """

    LATER = 0.6

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._turn_left = int(rng.integers(5, 110)) if rng.random() < 0.5 else 0
        self._turning = clip(rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 1.0), rng.uniform(0.1, 1.0), 0.0)
        gas = np.exp(rng.uniform(np.log(0.05), np.log(2.0)))  # full in every fifth episode
        self._away = clip(rng.normal(0.0, 0.02), gas, 0.0)

    def _after(self) -> Action:
        if self._turn_left > 0:
            self._turn_left -= 1
            return self._turning
        return self._away


class StrayingAgent:
    """An agent that does one to four simple things from the start.

    Each for a while, and the last of them to the end.

    Whoever gets nowhere stays near the start, whose surroundings hardly differ from track to track: how long its
    straight is, what a car that has turned round comes across, how soon the playfield ends. Drivers see little of it.
    """

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        self._rng = rng
        self._changes_left = int(rng.integers(4))
        self._held, self._held_for = self._next()

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        if self._held_for == 0 and self._changes_left:
            self._changes_left -= 1
            self._held, self._held_for = self._next()
        self._held_for = max(self._held_for - 1, 0)
        return self._held

    def _next(self) -> tuple[Action, int]:
        """An action, and for how many frames."""
        rng = self._rng
        frames = int(np.exp(rng.uniform(np.log(10.0), np.log(150.0))))
        steer = rng.choice([0.0, rng.uniform(-1.0, 1.0), rng.choice([-1.0, 1.0])], p=[0.5, 0.35, 0.15])
        gas = rng.choice([0.0, np.exp(rng.uniform(np.log(0.05), 0.0)), 1.0], p=[0.25, 0.5, 0.25])
        brake = rng.choice([0.0, rng.uniform(), 1.0], p=[0.8, 0.1, 0.1])
        return clip(steer, gas if brake == 0.0 else 0.0, brake), frames


class StraightOn:
    """Full gas, straight off the playfield.

    The one sure way to see an episode end without a lap.
    """

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        return clip(0.0, 1.0, 0.0)
