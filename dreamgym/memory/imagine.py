"""One step of a dream in M's own terms, for pictures, measurements and fits; the environment's is in
:mod:`dreamgym.dream`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dreamgym.memory.mdn_rnn import LATENT_LIMIT, MDNRNN, Prediction, State
from dreamgym.memory.mixture import common_noise, sample_mixture

__all__ = ["DreamtStep", "dream_step"]


class DreamtStep(NamedTuple):
    """What a step of B dreams came to."""

    z: Tensor
    """Drawn, and clipped to +-10, (B, Z)."""
    state: State
    """M's, after the step."""
    prediction: Prediction
    """Of the step; ``z`` was drawn from its mixture, moved by its common factors."""


def dream_step(
    memory: MDNRNN, z: Tensor, action: Tensor, state: State, temperature: float, generator: torch.Generator
) -> DreamtStep:
    """Advance B dreams by a step.

    Args:
        memory: M.
        z: what is seen, (B, Z).
        action: the executed one, (B, A).
        state: M's, before the step.
        temperature: positive.
        generator: of the CPU; decides what is drawn, for all rows together.
    """
    state = memory.step(z, action, state)
    prediction = memory.predict(state.h)
    uniform = torch.rand(z.shape, generator=generator).to(z.device)
    normal = torch.randn(len(z), z.shape[1] + memory.factors, generator=generator).to(z.device)
    noise = common_noise(normal, prediction.loadings)
    drawn = sample_mixture(prediction.mixture, z.new_full((len(z), 1), temperature), uniform, noise)
    return DreamtStep(drawn.clamp(-LATENT_LIMIT, LATENT_LIMIT), state, prediction)
