"""All of the stages, round by round."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PipelineConfig"]


@dataclass(frozen=True)
class PipelineConfig:
    """From nothing to a driver, round by round: collect, train V and M, evolve in the dream, drive in reality."""

    out: Path
    """Folder of the run."""
    rounds: int = 6
    first_frames: int = 400_000
    """Frames recorded by the scripted drivers before the first round."""
    aimless_frames: int = 120_000
    """Frames recorded, likewise, of what must earn nothing: standing, creeping, turning on the spot, leaving."""
    leaving_share: float = 0.25
    """Share of their episodes that drive on to the end of the world, for M to know how it comes."""
    round_frames: int = 80_000
    """Frames recorded with the current controller in each later round."""
    vision_steps: int = 3500
    reconstruction_weight: float = 16.0
    latent_noise: float = 0.3
    """Share of the posterior's noise in the latents, in training and in use; 1 in the paper."""
    input_noise: float = 0.4
    """Noise on the latents that M reads in training; see ``dreamgym train memory``."""
    memory_steps: int = 6000
    """Training steps of M in the first round."""
    memory_round_steps: int = 2500
    """Training steps of M in each later round."""
    generations: int = 60
    """Generations in each round."""
    population: int = 64
    rollouts: int = 8
    """Rollouts of whole episodes a candidate."""
    hard_rollouts: int = 48
    """Short ones that begin at hard moments; see ``dreamgym evolve``."""
    subspace: int = 64
    """Principal components of its features that C is searched in; see ``dreamgym evolve``."""
    pace_limit: float = 1.2
    """Points of progress a frame beyond which nothing counts in the fitness; see ``dreamgym evolve``."""
    validate_every: int = 20
    """Generations between looks at the real validation tracks."""
    smoothness: float = 1.0
    """Penalty on changes of the action, per unit and frame; see ``dreamgym evolve``."""
    effort: float = 0.1
    """Penalty on a frame at full lock; see ``dreamgym evolve``."""
    from_zero: bool = False
    """Evolve each round's controller from zero instead of from the round before."""
    line_share: float = 1.0
    """Share of the rollouts that begin at the starting line."""
    temperature: float = 1.0
    """Temperature to evolve at."""
    factor_gain: float = 3.0
    """Strength of what latents are drawn together with; 0 draws each alone, as the paper does. With 3 a dream's roads
    bend as real ones do, at temperature 1."""
    dreamed_ends: bool = True
    """Fit M's termination head to its own dreams as well, so that a car that drives on over the grass comes to the end
    of the world without an edge in view; see :func:`dreamgym.memory.ends.fit_ends`."""
    missed_cost: float = 30.0
    """Points taken off a rollout that leaves tiles behind untouched; see ``dreamgym evolve``."""
    stop_at: float = float("inf")
    """Stop after a round whose controller reaches this mean on the validation tracks."""
    fast: bool = False
    """Evolve in dreams stepped by loops that numba compiles, on the CPU only; pip install "dreamgym[fast]"."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that drive in reality, or dream, at once."""
    seed: int = 0
