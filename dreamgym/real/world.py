"""What the rest of the package needs to know of one real world, and how to build it."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from typing import Any, Final

import gymnasium as gym

from dreamgym.real.preprocess import PREPROCESS_VERSION

__all__ = ["CAR_RACING", "World", "make_real", "recorded_versions"]


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
