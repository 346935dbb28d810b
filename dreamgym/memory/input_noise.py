"""Noise on the latents that M reads while it is trained."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import torch

from dreamgym.memory.sequences import SequenceBatch

__all__ = ["with_input_noise"]

LONGEST_NOISE: Final = 50.0
"""Frames within which the longest noise on M's input is forgotten; see :func:`with_input_noise`."""


def with_input_noise(
    batch: SequenceBatch, most: float, rng: np.random.Generator, *, lasting: float = 0.5
) -> SequenceBatch:
    """A batch with noise on the latents that M reads.

    Not on those that it predicts.

    What M draws in a dream is a little off what V makes of any frame. Trained on V's latents alone, it takes the
    difference for news: a car that stands is believed to roll. In noise, it learns to trust its own account of the car.
    A dream's errors last for many frames, so the noise does too. Where small things move, noise that lasts hides them:
    M learns to take a fireball for noise.

    Args:
        batch: sequences.
        most: the standard deviation of the noise is drawn for each sequence, from 0 to this. The noise is an
            Ornstein-Uhlenbeck process, white or forgotten within 1 to ``LONGEST_NOISE`` frames.
        rng: decides it.
        lasting: share of the sequences in which the noise is not white.
    """
    sequences, steps, size = batch.z.shape
    strength = rng.random((sequences, 1), np.float32) * np.float32(most)
    kept = 1.0 - LONGEST_NOISE ** -rng.random((sequences, 1), np.float32)
    kept *= rng.random((sequences, 1)) < lasting
    fresh = np.sqrt(1.0 - kept**2).astype(np.float32)
    noise = rng.standard_normal((steps, sequences, size), np.float32)
    for before, now in itertools.pairwise(noise):
        now *= fresh
        now += kept * before
    return batch._replace(z=batch.z + torch.from_numpy(noise * strength).transpose(0, 1).to(batch.z.device))
