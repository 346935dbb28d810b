"""How a controller is evolved: ``dreamgym evolve``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dreamgym.config.bundles import BundleSettings
from dreamgym.config.checks import name_world, require, require_not_negative, require_positive, require_seed
from dreamgym.config.workers import WorkerSettings

__all__ = ["EvolveConfig", "EvolveSettings"]


@dataclass(frozen=True, kw_only=True)
class EvolveSettings:
    """How C is evolved."""

    generations: int = 100
    population: int = 64
    rollouts: int = 16
    """Rollouts a candidate is averaged over."""
    sigma: float = 0.1
    """Initial step size."""
    subspace: int = 0
    """Search in so many leading principal components of what the controller sees; 0 to search all parameters."""
    temperature: tuple[float, float] | None = None
    """Range drawn from for each rollout; the card's temperature when not given."""
    beginning_share: float = 0.5
    """Share of the rollouts that begin at the true start of an episode; the others begin anywhere."""
    max_episode_steps: int | None = None
    """Time limit of a rollout; the world's own when not given."""
    smoothness: float = 0.0
    """Penalty on the mean absolute change of the action from one frame to the next, per unit and frame."""
    action_penalty: float = 0.0
    """Penalty on the squared action, weighted by the world: for CarRacing on a frame at full lock. A controller that
    steers from stop to stop cannot correct itself in a bend."""
    progress_limit: float = float("inf")
    """Points a frame, averaged over half a second of CarRacing; progress beyond it does not count."""
    action_noise: float = 0.0
    """Standard deviation of noise on the actions of every second rollout, for a controller that survives surprises."""
    hard_rollouts: int = 0
    """Rollouts more, short ones that begin at the world's hard moments: for CarRacing before a sharp bend or a mishap,
    or after one."""
    hard_steps: int = 200
    """Their length."""
    hard_weight: float = 2.0
    """Weight of their mean score in the fitness; that of the others weighs 1."""
    event_penalty: float = 0.0
    """Penalty on a rollout in which the world's labelled event happened, times the probability that it did: a
    real lap of CarRacing that missed a tile does not end. On a dream alone."""
    validate_every: int = 0
    """Generations between validation runs in reality; 0 for none."""
    validation_episodes: int = 16
    """How many real episodes a validation run plays, 64 at most; train all measures each round on as many."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Of M's matrix products; auto is whichever of the two the processor multiplies faster, so a run that goes on on
    another processor may change it."""
    fast: bool = False
    """Step the dreams with loops compiled by numba, on the CPU only; pip install "dreamgym[fast]"."""

    def __post_init__(self) -> None:
        require_positive(self, "generations", "rollouts", "sigma", "hard_steps")
        require(self.progress_limit > 0, "progress_limit", "a positive number, or inf", self.progress_limit)
        require_not_negative(self, "subspace", "smoothness", "action_penalty", "event_penalty", "action_noise")
        require_not_negative(self, "hard_rollouts", "hard_weight", "validate_every")
        if self.max_episode_steps is not None:
            require_positive(self, "max_episode_steps")
        require(self.population >= 4, "population", "4 or more", self.population)
        low, high = self.temperature or (1.0, 1.0)
        require(0 < low <= high < math.inf, "temperature", "a range of positive numbers, or None", self.temperature)
        require(0 <= self.beginning_share <= 1, "beginning_share", "0 to 1", self.beginning_share)
        require(0 < self.validation_episodes <= 64, "validation_episodes", "1 to 64", self.validation_episodes)


@dataclass(frozen=True, kw_only=True)
class EvolveConfig(BundleSettings, WorkerSettings, EvolveSettings):
    """Evolve a controller in the dream with CMA-ES."""

    out: Path
    """Folder for the controller and the log."""
    world: str | None = None
    """The world to validate in, by name or as module:OBJECT; the bundle's own when not given."""
    initial: Path | None = None
    """A controller to go on from; zeros when not given."""
    label_directions: Path | None = None
    """With a subspace: directions of h to search too, along which M read the labels; train memory writes them."""
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        name_world(self)
        self._require_workers()
        require_seed(self)
        directions = self.label_directions
        require(directions is None or self.subspace > 0, "label_directions", "None with a subspace of 0", directions)
