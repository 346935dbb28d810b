"""Who drives while data is recorded: each a :class:`~dreamgym.worlds.base.Player`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamgym.worlds.random_walk import OrnsteinUhlenbeck

__all__ = [
    "JitteryFollower",
    "Racer",
    "RandomAgent",
    "RecklessFollower",
    "SmoothRandom",
    "TrackFollower",
    "WildFollower",
]

Action = NDArray[np.float32]
Frame = NDArray[np.uint8]
Rng = np.random.Generator


def clip(steer: float, gas: float, brake: float) -> Action:
    """An action in CarRacing's range, float32 (3,)."""
    return np.array([np.clip(steer, -1.0, 1.0), np.clip(gas, 0.0, 1.0), np.clip(brake, 0.0, 1.0)], dtype=np.float32)


class SmoothRandom:
    """Ornstein-Uhlenbeck noise on steer, gas and brake, with a random inclination for each episode."""

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        rate = rng.uniform(0.02, 0.2, size=3)
        self._walk = OrnsteinUhlenbeck(rng, rate, np.array([0.6, 0.5, 0.3]))
        self._inclination = np.array([rng.normal(0.0, 0.1), rng.uniform(0.0, 0.6), rng.uniform(-0.5, 0.0)])

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        return clip(*(self._inclination + self._walk.step()))


class RandomAgent:
    """The paper's data policy: an agent with random weights, acting on what it sees.

    A linear map of the picture at 8x8, in grey, squashed like the paper's controller.
    """

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        self._weights = rng.normal(0.0, rng.uniform(0.05, 0.6), size=(3, 64))
        self._bias = rng.normal(0.0, 0.5, size=3)

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        grey = frame.mean(axis=2).reshape(8, 8, 8, 8).mean(axis=(1, 3)).ravel() / 255.0 - 0.5
        steer, gas, brake = np.tanh(self._weights @ grey + self._bias)
        return clip(steer, (gas + 1) / 2, max(brake, 0.0))


class TrackFollower:
    """A scripted driver of random skill that knows the track.

    It aims some tiles ahead and brakes before corners.

    Skill, target speed, line and noise are drawn for each episode, so that its episodes spread from timid to reckless.
    """

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        self._rng = rng
        self._car = env.car
        track = np.array([tile[1:4] for tile in env.track])  # heading, x, y
        self._points = track[:, 1:]
        turn = np.diff(np.unwrap(np.append(track[:, 0], track[0, 0])))
        self._turn = np.convolve(np.tile(turn, 2), np.ones(5) / 5, mode="same")[: len(turn)]
        self._normal = np.stack([np.cos(track[:, 0]), np.sin(track[:, 0])], axis=1)  # to the right of the heading
        self._top_speed = rng.uniform(45.0, 110.0)
        self._grip = rng.uniform(0.6, 1.15)
        self._lookahead = rng.uniform(2.5, 5.0)
        self._steer_gain = rng.uniform(1.6, 3.2)
        self._damping = rng.uniform(0.05, 0.25)
        self._offset = rng.normal(0.0, 2.0)
        noise = rng.choice([0.0, 0.1, 0.3]) * rng.uniform(0.5, 1.5)
        self._noise = OrnsteinUhlenbeck(rng, np.array([0.1, 0.1, 0.1]), noise * np.ones(3))

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        steer, gas, brake = self._aim()
        noise = self._noise.step()
        return clip(steer + noise[0], gas + noise[1], brake + max(noise[2], 0.0) * 0.5)

    def _aim(self) -> tuple[float, float, float]:
        hull = self._car.hull
        position = np.array(hull.position)
        speed = float(np.hypot(*hull.linearVelocity))
        nearest = int(np.argmin(((self._points - position) ** 2).sum(axis=1)))
        count = len(self._points)
        ahead = (nearest + round(self._lookahead + speed / 18.0)) % count
        target = self._points[ahead] + self._offset * self._normal[ahead] - position
        # The car faces +y at angle 0; positive angles turn left, positive steering turns right.
        bearing = np.arctan2(-target[0], target[1]) - hull.angle
        error = (bearing + np.pi) % (2 * np.pi) - np.pi
        steer = -self._steer_gain * error + self._damping * hull.angularVelocity
        braking = np.arange(nearest, nearest + 4 + round(speed / 4.0)) % count
        distance = 3.5 * np.arange(len(braking))
        curvature = np.abs(self._turn[braking]) / 3.5
        corner = self._grip * np.sqrt(90.0 / np.maximum(curvature, 1e-3))
        limit = np.sqrt(corner**2 + 2 * 45.0 * distance).min()  # what can still be slowed down from
        wanted = min(self._top_speed, float(limit)) * (0.5 if abs(error) > 1.0 else 1.0)
        gas = np.clip((wanted - speed) * 0.1, 0.0, 1.0) * max(0.15, 1.0 - 0.9 * abs(steer))
        brake = np.clip((speed - wanted - 3.0) * 0.05, 0.0, 0.9)
        return float(steer), float(gas), float(brake)


class WildFollower(TrackFollower):
    """A follower that often acts wildly, and then has to recover.

    Now and then it throws the wheel and pedals about for up to 70 frames.
    """

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._wild_left = 0
        self._hold_left = 0
        self._held = clip(0.0, 0.0, 0.0)
        self._calm_left = int(rng.integers(10, 120))

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        if self._wild_left == 0:
            self._calm_left -= 1
            if self._calm_left > 0:
                return super().act(frame)
            self._wild_left = int(self._rng.integers(5, 71))
            self._calm_left = int(self._rng.integers(40, 250))
        self._wild_left -= 1
        if self._hold_left == 0:
            self._hold_left = int(self._rng.integers(1, 13))
            steer = self._rng.choice([-1.0, -1.0, 1.0, 1.0, 0.0, self._rng.uniform(-1, 1)])
            gas = self._rng.choice([0.0, 1.0, 1.0, self._rng.uniform()])
            brake = self._rng.choice([0.0, 0.0, 0.0, 1.0, self._rng.uniform()])
            self._held = clip(steer, gas, brake)
        self._hold_left -= 1
        return self._held


class JitteryFollower(TrackFollower):
    """A follower whose wheel and pedals shake all the time.

    Every few frames, up to bang-bang.

    A controller that evolves in a dream soon tries this. Data of calm episodes alone leaves M free to imagine that a
    shaking wheel keeps the road straight.
    """

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._strength = rng.uniform(0.2, 1.5, size=3) * np.array([1.0, 0.6, 0.3])
        self._longest = int(rng.integers(1, 5))
        self._hold_left = 0

    def act(self, frame: Frame) -> Action:
        """See :class:`~dreamgym.worlds.base.Player`."""
        if self._hold_left == 0:
            self._hold_left = int(self._rng.integers(1, self._longest + 1))
            self._shake = self._strength * self._rng.uniform(-1.0, 1.0, size=3)
        self._hold_left -= 1
        steer, gas, brake = super().act(frame) + self._shake
        return clip(steer, gas, brake)


class RecklessFollower(TrackFollower):
    """A follower that brakes too late or not at all.

    A careful driver is fast only where the road is straight, from which M concludes that a fast car will meet no
    corner: just what a controller in its dream would have it believe.
    """

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._top_speed = rng.uniform(60.0, 130.0)
        self._grip = rng.choice([rng.uniform(1.1, 2.0), 10.0])


class Racer(TrackFollower):
    """A follower as fast as the track can be taken, or faster."""

    def reset(self, env: Any, rng: Rng) -> None:
        """See :class:`~dreamgym.worlds.base.Player`."""
        super().reset(env, rng)
        self._top_speed, self._grip = 150.0, rng.uniform(1.3, 2.2)
        self._lookahead, self._steer_gain, self._damping, self._offset = 4.0, 2.5, 0.2, 0.0
        self._noise = OrnsteinUhlenbeck(rng, np.full(3, 0.1), np.zeros(3))
