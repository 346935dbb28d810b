"""What the rest of the package needs to know of one real world, and how to build it."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.real.preprocess import PREPROCESS_VERSION

__all__ = [
    "CAR_RACING",
    "MIRRORED_ACTION",
    "MIRRORED_MOTION",
    "MOTION_SIZE",
    "STEERING",
    "World",
    "make_real",
    "motion",
    "recorded_versions",
]

MOTION_SIZE: Final = 4
"""Numbers that :func:`motion` gives: speed forward (in 50 units/s), speed to the right (in 10 units/s), yaw rate (in
rad/s) and angle of the front wheels (in 0.4 rad)."""

MIRRORED_ACTION: Final = (-1.0, 1.0, 1.0)
"""What a mirror makes of an action, as factors: it steers the other way. The world is the same on both sides of it."""
MIRRORED_MOTION: Final = (1.0, -1.0, -1.0, -1.0)
"""Likewise of the motion."""

STEERING: Final = 0
"""Which of the action's numbers turns the wheel."""


@dataclass(frozen=True)
class World:
    """The constants of a real world that its dream shares."""

    name: str
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    discrete_actions: tuple[tuple[float, ...], ...]
    """The continuous action that each discrete one stands for."""
    frame_cost: float
    """Paid each frame, before anything else."""
    lap_reward: float
    """Paid for a whole lap, spread evenly over its units of progress."""
    leaving_reward: float
    """Paid instead of all else in the frame that ends the episode without a lap."""
    max_episode_steps: int
    fps: int


CAR_RACING: Final = World(
    name="CarRacing-v3",
    action_low=(-1.0, 0.0, 0.0),
    action_high=(1.0, 1.0, 1.0),
    discrete_actions=((0.0, 0.0, 0.0), (0.6, 0.0, 0.0), (-0.6, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.8)),
    frame_cost=-0.1,
    lap_reward=1000.0,
    leaving_reward=-100.0,
    max_episode_steps=1000,
    fps=50,
)


def make_real(
    *, exact: bool = True, render_mode: str | None = None, max_episode_steps: int = 1000
) -> gym.Env[Any, Any]:
    """CarRacing-v3 with its time limit.

    Args:
        exact: draw with :class:`~dreamgym.real.drawing.ExactCarRacing`, which gives the same bytes in a fraction of
            the time; False for Gymnasium's own class.
        render_mode: as in CarRacing-v3.
        max_episode_steps: the time limit, frames.
    """
    if not exact:
        return gym.make("CarRacing-v3", render_mode=render_mode, max_episode_steps=max_episode_steps)
    from dreamgym.real.drawing import ExactCarRacing

    return gym.wrappers.TimeLimit(ExactCarRacing(render_mode=render_mode), max_episode_steps)


def motion(env: gym.Env[Any, Any]) -> NDArray[np.float32]:
    """How the car moves, which no single frame shows: float32 (4,), each about 1 in lively driving.

    Speed forward (in 50 units/s), speed to its right (in 10 units/s), yaw rate (in rad/s), angle of the front wheels
    (in 0.4 rad).

    Args:
        env: CarRacing-v3, reset.
    """
    car = env.unwrapped.car  # type: ignore[attr-defined]
    velocity, ahead, right = car.hull.linearVelocity, *(car.hull.GetWorldVector(axis) for axis in ((0, 1), (1, 0)))
    forward = velocity[0] * ahead[0] + velocity[1] * ahead[1]
    sideways = velocity[0] * right[0] + velocity[1] * right[1]
    wheel = car.wheels[0].joint.angle
    return np.array([forward / 50.0, sideways / 10.0, car.hull.angularVelocity, wheel / 0.4], np.float32)


def recorded_versions() -> dict[str, Any]:
    """Versions that decide what a recorded frame looks like, for shards and cards."""
    names = ("gymnasium", "numpy", "pygame-ce", "box2d")
    found: dict[str, Any] = {"preprocess": PREPROCESS_VERSION, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found
