"""Recordings that were made elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dreamgym.config.checks import name_world, require
from dreamgym.worlds.registry import DEFAULT

__all__ = ["ImportConfig"]


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Make episodes of recordings from elsewhere."""

    recordings: Path
    """Folder of the recordings: npz files, also in folders of it, or a Minari data set."""
    out: Path
    """Folder for the episodes."""
    format: Literal["obs", "observations", "minari"]
    """obs: arrays obs, action and perhaps reward and done, an action beside the frame before it. observations:
    arrays observations, actions, rewards and terminals, an action beside the frame after it. minari: a data set."""
    world: str = DEFAULT
    """The world that they are of: a name, or module:OBJECT for one of your own."""
    action_low: float | None = None
    """Least value of the recorded actions, where it is not the world's; they are scaled to the world's range."""
    action_high: float | None = None
    """Largest value, likewise."""
    missing_reward: float | None = None
    """Reward of each step where none is recorded; not needed where the world's reward is constant."""
    terminations: Literal["recorded", "short", "never"] = "recorded"
    """Which episodes the world ended: as recorded, unless the time limit was reached; those shorter than it; none."""
    invert: bool = False
    """Frames are negatives, as those that the reference code of World Models records of CarRacing."""

    def __post_init__(self) -> None:
        name_world(self)
        given = (self.action_low, self.action_high)
        low, high = (-1.0, 1.0) if None in given else given
        require(given.count(None) != 1, "action_low", "action_low and action_high, or neither", given)
        ordered = low is not None and high is not None and -math.inf < low < high < math.inf
        require(ordered, "action_low", "a finite number less than action_high", given)
        paid = self.missing_reward
        require(paid is None or math.isfinite(paid), "missing_reward", "a finite number", paid)
