"""Trying controllers in vector environments."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.config import EvolveConfig
from dreamgym.control.linear import squash
from dreamgym.errors import ConfigError
from dreamgym.real.world import CAR_RACING, STEERING

__all__ = ["EnvTrials", "Pace", "RolloutScores", "Trials", "rollout", "rollout_seeds"]

PACE_FRAMES: Final = 25
"""Time constant, in frames (half a second), of the running mean that :class:`Pace` holds against its limit.

Progress is paid a tile at a time, in some frames and not in others; a mean tells a fast car from a tile just reached.
"""

VectorEnv = gym.vector.VectorEnv[Any, Any, Any]


@dataclass(frozen=True)
class RolloutScores:
    """Scores of P candidates over R rollouts."""

    returns: NDArray[np.float64]
    """Undiscounted returns, (P, R)."""
    lengths: NDArray[np.int64]
    """Steps, (P, R)."""
    smoothness: NDArray[np.float64]
    """Sum over steps of the mean absolute change of the action, (P, R)."""
    haste: NDArray[np.float64]
    """Points of progress gained faster than the pace limit, (P, R)."""
    effort: NDArray[np.float64]
    """Sum over steps of the squared steering, (P, R)."""
    missed: NDArray[np.float64]
    """Probability that the lap left tiles behind untouched, (P, R); zeros where no world model says it."""

    @classmethod
    def join(cls, parts: Sequence[RolloutScores], axis: int) -> RolloutScores:
        """Scores of more candidates (axis 0) or of more rollouts of the same ones (axis 1)."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts], axis=axis) for name in names))

    def fitness(self, config: EvolveConfig) -> NDArray[np.float64]:
        """Mean score, (P,): returns less haste and the penalties on changes of the action, steering and missed tiles.

        The mean of the hard rollouts, which are the last ones, is added with its weight.
        """
        penalties = self.haste + config.smoothness * self.smoothness + config.effort * self.effort
        penalties = penalties + config.missed_cost * self.missed
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

    parameters: int
    """How many parameters a candidate has."""

    def __call__(self, candidates: NDArray[np.float64], generation: int) -> RolloutScores:
        """Try candidates, (population, parameters), all on the seeds that the generation decides."""


class EnvTrials:
    """Scores populations in any vector environment that begins "line" and "anywhere" by its reset's options.

    Args:
        envs: population * rollouts environments.
        config: rollouts, share of starts at the line, penalty, seed.

    Raises:
        ConfigError: for hard rollouts, which are shorter than the others, and for a cost of missed tiles.
    """

    def __init__(self, envs: VectorEnv, config: EvolveConfig) -> None:
        if config.hard_rollouts:
            raise ConfigError("hard_rollouts: expected 0 in other vector environments, whose episodes are all as long")
        if config.missed_cost:
            raise ConfigError("missed_cost: expected 0 in other vector environments, which do not say what is missed")
        self._envs, self._config = envs, config
        self.parameters = 3 * envs.single_observation_space.shape[0] + 3  # type: ignore[index]

    def __call__(self, candidates: NDArray[np.float64], generation: int) -> RolloutScores:
        """See :class:`Trials`."""
        config = self._config
        population, rollouts = len(candidates), config.rollouts
        seeds = rollout_seeds(config, generation) * population
        at_line = np.tile(np.arange(rollouts) < round(config.line_share * rollouts), population)
        # From anywhere, too, a whole lap lies ahead: else a start shortly before its end would say little.
        for options, mask in (({"start": "line"}, at_line), ({"start": "anywhere", "progress": 0.0}, ~at_line)):
            if mask.any():
                observations, _ = self._envs.reset(seed=seeds, options={**options, "reset_mask": mask})  # type: ignore[arg-type]
        return rollout(self._envs, observations, candidates.astype(np.float32), config.pace_limit)


class Pace:
    """How fast rollouts gain points, averaged over half a second, against a limit.

    A dream that shows fewer hairpins than reality, or shows them to slower cars, makes haste look safe. What a faster
    lap earns is little (a tenth of a point a frame); what a spin costs is hundreds.

    Args:
        limit: points of progress a frame, the frame's cost not counted.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._mean: Any = 0.0

    def excess(self, rewards: Any) -> Any:
        """Points a frame above the limit, of the shape and library of the rewards."""
        self._mean = self._mean + (rewards - CAR_RACING.frame_cost - self._mean) / PACE_FRAMES
        return (self._mean - self._limit).clip(min=0.0)


def rollout(
    envs: VectorEnv,
    observations: NDArray[np.float32],
    candidates: NDArray[np.float32],
    pace_limit: float = math.inf,
) -> RolloutScores:
    """Drive freshly reset environments to the end of their episodes; what comes after an end does not count.

    Args:
        envs: P * R environments, candidate by candidate.
        observations: what reset returned, (P * R, observation_size).
        candidates: controllers' parameters, (P, parameters).
        pace_limit: see :class:`Pace`.
    """
    population, count = len(candidates), len(observations)
    weights = np.ascontiguousarray(candidates[:, :-3].reshape(population, 3, -1).swapaxes(1, 2))  # (P, obs, 3)
    bias = candidates[:, None, -3:]  # (P, 1, 3)
    running = np.ones(count, bool)
    returns, smoothness, haste, effort = (np.zeros(count) for _ in range(4))
    pace = Pace(pace_limit)
    lengths = np.zeros(count, np.int64)
    previous: NDArray[np.float32] | None = None
    while running.any():
        raw = observations.reshape(population, count // population, -1) @ weights + bias
        actions = squash(raw).reshape(count, 3)
        if previous is not None:
            smoothness += running * np.abs(actions - previous).mean(axis=1)
        previous = actions
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        returns += running * rewards
        haste += running * pace.excess(rewards)
        effort += running * np.square(actions[:, STEERING])
        lengths += running
        running &= ~(terminated | truncated)
    shape = (population, count // population)
    return RolloutScores(
        returns.reshape(shape),
        lengths.reshape(shape),
        smoothness.reshape(shape),
        haste.reshape(shape),
        effort.reshape(shape),
        np.zeros(shape),
    )
