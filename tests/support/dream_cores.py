"""Batched dreams, how the tests drive them, and the sizes of toy models that they are tried with."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.memory.mixture import split_mixture
from dreamgym.world_model import WorldModel

ROUNDING: Final = 4e-6
"""How far two float32 computations of M's head outputs may be apart, relative to 1 + the output; 1e-6 was the most seen
with any vector instructions."""

SIZES = [{}, {"latent_size": 5, "hidden_size": 7, "mixtures": 2}, {"latent_size": 6, "hidden_size": 10, "mixtures": 1}]


def drive(seeds: Tensor, frame: int) -> Tensor:
    """Actions that depend on the row's seed and the frame alone, float32 (B, 3)."""
    phase = ((seeds[:, None] * 7 + torch.arange(3) * 3 + frame) % 11).float() / 11
    return torch.stack([2 * phase[:, 0] - 1, phase[:, 1], phase[:, 2]], dim=1)


def started(world_model: WorldModel, count: int, **options: object) -> DreamCore:
    """A dream of ``count`` rows, reset with the seeds 0, 1, ..."""
    core = DreamCore(world_model, count, **options)  # type: ignore[arg-type]
    core.reset(seeds=torch.arange(count))
    return core


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether two saved states are equal to the bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


class Agreement(NamedTuple):
    """What follows for a step where M's head outputs agree to ROUNDING."""

    atol: Tensor
    """How far the latents may be apart, (B, Z)."""
    components: Tensor
    """Whether the uniform draw is far enough from the cumulative weights to choose the same component, bool (B, Z)."""
    outcomes: Tensor
    """Whether the step's end and its being paid for are as certain, bool (B,)."""


def agreement(core: DreamCore, noise: tuple[Tensor, Tensor, Tensor], temperature: Tensor) -> Agreement:
    """How well another computation of a core's last step must agree with it.

    Args:
        core: after the step.
        noise: the step's, from :meth:`MemoryStep.noise`.
        temperature: the step's, (B,).
    """
    uniform, normal, end = (part.double() for part in noise)
    prediction = core.last_prediction
    logits, _, log_sigmas = split_mixture(prediction.mixture.double())  # (B, K, Z)
    own, factors = normal[:, : logits.shape[2]], normal[:, logits.shape[2] :, None]
    root_temperature = temperature.double().sqrt()[:, None]
    terms = 1.0 + own.abs() + (factors.abs() * (1.0 + prediction.loadings.abs())).sum(dim=1)
    atol = 1e-5 + ROUNDING * root_temperature * log_sigmas.exp().amax(dim=1) * terms
    inverse_temperature = 1.0 / temperature.double()[:, None, None]
    cumulative = torch.softmax(logits * inverse_temperature, dim=1).cumsum(dim=1)[:, :-1]
    # If each weight changes by a factor of up to e^r, a share s of their sum changes by up to r s (1 - s).
    apart = 2.0 * ROUNDING * inverse_temperature * (1.0 + logits.abs()).amax(dim=1, keepdim=True)
    margin = apart * cumulative * (1.0 - cumulative) + ROUNDING
    components = ((uniform - cumulative).abs() > margin).all(dim=1)
    certain_end = (prediction.termination_logit - end).abs() > ROUNDING * (1.0 + prediction.termination_logit.abs())
    certain_pay = (prediction.reward - (core.rewards.threshold or 0.0)).abs() > ROUNDING
    return Agreement(atol, components, certain_end & certain_pay)
