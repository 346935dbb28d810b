"""What a controller's rollouts are worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamgym.config import EvolveConfig
from dreamgym.controller.linear import LinearController

__all__ = ["ExcessProgress", "RolloutScores", "Trials", "rollout_seeds"]

PROGRESS_FRAMES: Final = 25
"""Time constant, in frames (half a second), of the running mean that :class:`ExcessProgress` holds against its limit.

Progress is paid a tile at a time, in some frames and not in others; a mean tells a fast car from a tile just reached.
"""


@dataclass(frozen=True)
class RolloutScores:
    """Scores of P candidates over R rollouts."""

    returns: NDArray[np.float64]
    """Undiscounted returns, (P, R)."""
    lengths: NDArray[np.int64]
    """Steps, (P, R)."""
    smoothness: NDArray[np.float64]
    """Sum over steps of the mean absolute change of the action, (P, R)."""
    excess_progress: NDArray[np.float64]
    """Points gained faster than the progress limit, (P, R)."""
    squared_actions: NDArray[np.float64]
    """Sum over steps of the action's squared numbers, each with its weight in the world's ``penalty``, (P, R)."""
    event: NDArray[np.float64]
    """Probability that the world's labelled event happened, such as a tile left untouched, (P, R); zeros where M has no
    head for one."""

    @classmethod
    def join(cls, parts: Sequence[RolloutScores], axis: int) -> RolloutScores:
        """Scores of more candidates (axis 0) or of more rollouts (axis 1)."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts], axis=axis) for name in names))

    def fitness(self, config: EvolveConfig) -> NDArray[np.float64]:
        """Mean score, (P,): returns less penalties.

        On excess progress, changes of the action, its size and the event.

        The mean of the hard rollouts, which are the last ones, is added with its weight.
        """
        penalties = self.excess_progress + config.smoothness * self.smoothness
        penalties = penalties + config.action_penalty * self.squared_actions + config.event_penalty * self.event
        scores = self.returns - penalties
        fitness: NDArray[np.float64] = scores[:, : config.rollouts].mean(axis=1)
        if config.hard_rollouts:
            fitness = fitness + config.hard_weight * scores[:, config.rollouts :].mean(axis=1)
        return fitness


def rollout_seeds(config: EvolveConfig, generation: int) -> list[int]:
    """The seeds of a generation's rollouts, the hard ones last; the same for every candidate."""
    count = config.rollouts + config.hard_rollouts
    seed = int(np.random.default_rng([config.seed, generation, 3]).integers(2**31 - count))
    return [seed + index for index in range(count)]


class Trials(Protocol):
    """Scores the candidates of a generation; what evolution needs of a world."""

    @property
    def zeros(self) -> LinearController:
        """A controller of the candidates' form, with parameters of zero."""

    def __call__(self, candidates: NDArray[np.float64], generation: int) -> RolloutScores:
        """Try candidates, (population, parameters), all on the seeds that the generation decides."""


class ExcessProgress:
    """How fast rollouts gain points, averaged over :data:`PROGRESS_FRAMES`, against a limit.

    A dream that shows fewer hairpins than reality, or shows them to slower cars, makes speed look safe. What a faster
    lap earns is little (a tenth of a point a frame); what a spin costs is hundreds.

    Args:
        limit: points a frame, what every frame pays not counted.
        constant: what every frame pays, see :class:`dreamgym.worlds.base.RewardRule`.
    """

    def __init__(self, limit: float, constant: float) -> None:
        self._limit, self._constant = limit, constant
        self._mean: Any = 0.0

    def __call__(self, rewards: Any) -> Any:
        """Points a frame above the limit, of the shape and library of the rewards."""
        self._mean = self._mean + (rewards - self._constant - self._mean) / PROGRESS_FRAMES
        return (self._mean - self._limit).clip(min=0.0)
