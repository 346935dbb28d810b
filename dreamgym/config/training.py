"""The stages from recorded drives to a controller: collect, train V, train M, evolve C."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dreamgym.config.checks import require, require_not_negative, require_positive

__all__ = ["CollectConfig", "EvolveConfig", "MemoryConfig", "VisionConfig"]


@dataclass(frozen=True)
class CollectConfig:
    """Record real drives."""

    out: Path
    """Folder for the episodes."""
    frames: int = 300_000
    """How many frames to record, about."""
    mix: dict[str, float] = field(
        default_factory=lambda: {
            "follower": 0.3,
            "wild_follower": 0.3,
            "reckless_follower": 0.15,
            "jittery_follower": 0.1,
            "smooth_random": 0.1,
            "random_agent": 0.05,
            "controller": 0.0,
            "disturbed_controller": 0.0,
            "blinded_controller": 0.0,
            "aimless_follower": 0.0,
            "circling_follower": 0.0,
            "leaving_follower": 0.0,
            "parking_follower": 0.0,
            "straying_agent": 0.0,
            "turning_follower": 0.0,
        }
    )
    """Share of the episodes that each driver records."""
    controller: Path | None = None
    """A controller's file, for the drivers ``controller``, ``disturbed_controller`` and ``blinded_controller``."""
    world_model: Path | None = None
    """The bundle that the controller sees through; the package's own when not given."""
    workers: int = 2
    """Processes recording at once."""
    seed: int = 0
    """Decides the tracks and every driver's choices."""
    lengths: tuple[int, ...] = (300, 500, 1000)
    """Time limits of episodes, one drawn for each."""
    patience: int | None = None
    """End an episode after so many frames without progress, so that a car lost on the grass fills no shards."""

    def __post_init__(self) -> None:
        require_positive(self, "frames", "workers")
        require(0 <= self.seed < 900, "seed", "0 to 899", self.seed)
        require(
            bool(self.mix) and all(share >= 0 for share in self.mix.values()) and sum(self.mix.values()) > 0,
            "mix",
            "shares that are not negative and not all zero",
            self.mix,
        )
        require(self.patience is None or self.patience > 0, "patience", "a positive number or None", self.patience)
        require(bool(self.lengths) and min(self.lengths) > 0, "lengths", "positive numbers", self.lengths)


@dataclass(frozen=True)
class VisionConfig:
    """Train V on recorded episodes."""

    episodes: tuple[Path, ...]
    """Folders of recorded episodes."""
    out: Path
    """Folder for weights, log and pictures."""
    steps: int = 4000
    """Training steps."""
    batch_size: int = 128
    """Frames a step."""
    learning_rate: float = 1e-3
    """The peak of the one-cycle schedule."""
    reconstruction_weight: float = 1.0
    """Weight of the squared error against the KL divergence; 1 in the paper."""
    free_nats: float = 0.5
    """Floor of the KL divergence, nats a latent."""
    frame_stride: int = 4
    """Every so many frames of an episode are used; they are held in memory."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    initial: Path | None = None
    """Weights to go on from."""

    def __post_init__(self) -> None:
        require_positive(
            self, "steps", "batch_size", "learning_rate", "reconstruction_weight", "frame_stride", "checkpoint_every"
        )
        require_not_negative(self, "free_nats")


@dataclass(frozen=True)
class MemoryConfig:
    """Train M on recorded episodes as V sees them."""

    latents: tuple[Path, ...]
    """Folders of encoded episodes, made by ``dreamgym.vision.encode``."""
    out: Path
    """Folder for weights, log and pictures."""
    vision: Path | None = None
    """V's weights, for the pictures of dreams; none are drawn without."""
    steps: int = 3000
    """Training steps."""
    batch_size: int = 64
    """Sequences a step."""
    sequence_length: int = 96
    """Steps a sequence."""
    learning_rate: float = 2e-3
    """The peak of the one-cycle schedule."""
    latent_noise: float = 1.0
    """Share of the posterior's noise in the latents; 1 in the paper."""
    start_share: float = 0.125
    """Share of the sequences that begin at an episode's first frame."""
    recent_share: float = 0.0
    """Share of the sequences drawn from the last folder alone, or from the last ``recent_folders``."""
    recent_folders: int = 1
    input_noise: float = 0.0
    """Noise on the latents that M reads: its standard deviation is drawn for each sequence, from 0 to this. In half
    of the sequences it lasts for many frames."""
    progress_weight: float = 1.0
    """Weight of the progress head's loss, in nats against the latents' nats."""
    termination_weight: float = 1.0
    """Weight of the termination head's loss, likewise."""
    motion_weight: float = 1.0
    """Weight of the loss of a head that only training has: how the car moves, where that was recorded."""
    missed_weight: float = 10.0
    """Weight of the loss of the head for tiles left behind untouched, where that was recorded; there are few."""
    factor_steps: int = 0
    """Steps more in which the common factors alone are fitted, to latents without noise."""
    remember_every: int = 500
    """Steps between runs of M over all episodes, from which sequences take their first states; 0 for zeros."""
    checkpoint_every: int = 500
    """Steps between checkpoints; a multiple of ``remember_every``."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    initial: Path | None = None
    """Weights to go on from."""

    def __post_init__(self) -> None:
        require_positive(
            self, "steps", "batch_size", "sequence_length", "learning_rate", "recent_folders", "checkpoint_every"
        )
        require_not_negative(self, "latent_noise", "input_noise", "factor_steps", "remember_every")
        require_not_negative(self, "progress_weight", "termination_weight", "motion_weight", "missed_weight")
        for name in ("start_share", "recent_share"):
            require(0 <= getattr(self, name) <= 1, name, "0 to 1", getattr(self, name))
        require(
            self.remember_every == 0 or self.checkpoint_every % self.remember_every == 0,
            "checkpoint_every",
            f"a multiple of remember_every ({self.remember_every}), so that a resumed run begins with the same states",
            self.checkpoint_every,
        )


@dataclass(frozen=True)
class EvolveConfig:
    """Evolve a controller in the dream with CMA-ES."""

    out: Path
    """Folder for the controller and the log."""
    world_model: Path | None = None
    """A bundle; the environment variable DREAMGYM_MODELS, then the package's own, when not given."""
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
    line_share: float = 0.5
    """Share of the rollouts that begin at the starting line; the others begin anywhere."""
    max_episode_steps: int = 1000
    smoothness: float = 0.0
    """Penalty on the mean absolute change of the action from one frame to the next, per unit and frame."""
    effort: float = 0.0
    """Penalty on a frame at full lock; half the lock costs a quarter of it. A driver that steers from stop to stop has
    nothing left for a bend that it enters too fast."""
    pace_limit: float = float("inf")
    """Points of progress a frame, averaged over half a second; what is gained beyond it does not count."""
    action_noise: float = 0.0
    """Standard deviation of noise on the actions of every second rollout, for a controller that survives surprises."""
    hard_rollouts: int = 0
    """Rollouts more, short ones that begin at hard moments: before a sharp bend or a mishap, or after one."""
    hard_steps: int = 200
    """Their length."""
    hard_weight: float = 2.0
    """Weight of their mean score in the fitness; that of the others weighs 1."""
    missed_cost: float = 0.0
    """Points taken off a rollout for leaving tiles behind untouched, times the probability that it did: a real lap that
    missed a tile does not end. On a dream alone."""
    initial: Path | None = None
    """A controller to go on from; zeros when not given."""
    validate_every: int = 0
    """Generations between looks at the real validation tracks; 0 for none."""
    validation_tracks: int = 16
    """How many of them, 64 at most."""
    precision: Literal["float32", "bfloat16"] = "float32"
    fast: bool = False
    """Step the dreams with loops compiled by numba, on the CPU only; pip install "dreamgym[fast]"."""
    seed: int = 0
    workers: int = 2
    """Processes that dream at once, and that drive in reality at a validation."""

    def __post_init__(self) -> None:
        require_positive(
            self, "generations", "rollouts", "sigma", "max_episode_steps", "pace_limit", "hard_steps", "workers"
        )
        require_not_negative(self, "subspace", "smoothness", "effort", "action_noise", "hard_rollouts", "hard_weight")
        require_not_negative(self, "missed_cost", "validate_every")
        require(self.population >= 4, "population", "4 or more", self.population)
        low, high = self.temperature or (1.0, 1.0)
        require(0 < low <= high < math.inf, "temperature", "a range of positive numbers, or None", self.temperature)
        require(0 <= self.line_share <= 1, "line_share", "0 to 1", self.line_share)
        require(0 < self.validation_tracks <= 64, "validation_tracks", "1 to 64", self.validation_tracks)
