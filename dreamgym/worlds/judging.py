"""What a world's controllers and dreams are judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from dreamgym.errors import ConfigError

__all__ = ["FidelityCases", "Handicap", "ScoreRule"]


@dataclass(frozen=True)
class ScoreRule:
    """What a table of this world's results shows."""

    solved: float | None = None
    """The return from which the world counts as solved; None where nobody said."""
    complete: str = ""
    """A word for complete episodes, such as "laps"; empty where there are none."""
    failed: str = "failed"
    """A word for episodes that the world ended otherwise."""
    progress: Callable[[gym.Env[Any, Any]], tuple[float, float]] | None = None
    """Units made so far in a real episode, and units in a progress of 1; None where there are none."""
    rule: str = ""
    """How the world decides that an episode is complete, in words; reports record it beside their scores."""


@dataclass(frozen=True)
class Handicap:
    """A change of a controller's actions that costs it something."""

    name: str
    scale: tuple[float, ...] | None = None
    """Factors of the action's numbers, (A,); None for 1."""
    offset: tuple[float, ...] | None = None
    """Added after that, (A,); None for 0."""


@dataclass(frozen=True)
class FidelityCases:
    """What dream and reality are compared on, besides what every world has."""

    handicaps: tuple[Handicap, ...] = ()
    """Of the controller; delays, noise and disturbed weights come by themselves."""
    players: tuple[str, ...] = ()
    """Whose episodes predictions are held against, besides the controller's; every player of the world when empty."""
    skilled: tuple[str, ...] = ()
    """Whose episodes open-loop dreams go on from, besides the controller's."""
    fast: tuple[str, ...] = ()
    """Who makes progress as fast as can be: nothing in a dream should be faster."""

    def __post_init__(self) -> None:
        missing = [name for name in self.skilled if self.players and name not in self.players]
        if missing:
            raise ConfigError(f"fidelity: expected skilled players to be among players {self.players}, got {missing}")
