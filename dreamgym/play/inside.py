"""What M expected of a step, in plain arrays, and how it came out: the data of the view into M."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.memory.mdn_rnn import Prediction
from dreamgym.memory.mixture import mixture_moments
from dreamgym.real.world import CAR_RACING

if TYPE_CHECKING:
    from dreamgym.play.worlds import DreamWorld, RealWorld

__all__ = ["Expectation", "Reading", "difference", "expectation", "read"]


class Expectation(NamedTuple):
    """What M says of one step."""

    mean: NDArray[np.float32]
    """Of the mixtures over the latents at the temperature, (Z,)."""
    spread: NDArray[np.float32]
    """Their standard deviation, (Z,)."""
    reward: float
    end: float
    """Probability that the step ends the drive other than by a lap."""


class Reading(NamedTuple):
    """One step as the charts show it; None where a world was not driven."""

    expected_reward: float
    real_reward: float | None
    end: float
    drift: float | None
    """Mean difference between the dream's picture and the real one, as a share of full scale."""
    floor: float | None
    """The same between V's picture of reality and the real one."""


@torch.no_grad()
def expectation(prediction: Prediction, temperature: float, lap_units: float) -> Expectation:
    """The prediction for a single row.

    Args:
        prediction: leading dimension 1.
        temperature: logits are divided by it, and each sigma multiplied by its square root.
        lap_units: units of progress in a lap.
    """
    mixture = prediction.mixture[0].clone()  # (3, K, Z)
    mixture[0] /= temperature
    common = prediction.loadings[0].square().sum(dim=0)  # the common factors' part of each latent's variance, (Z,)
    mixture[2] += 0.5 * (float(np.log(temperature)) + torch.log1p(common))
    mean, variance = mixture_moments(mixture)
    share = float(prediction.progress[0]) / lap_units
    return Expectation(
        mean.numpy(),
        variance.clamp_min(0.0).sqrt().numpy(),
        CAR_RACING.frame_cost + CAR_RACING.lap_reward * share,
        float(torch.sigmoid(prediction.termination_logit[0])),
    )


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two pictures of one shape, as a share of full scale, in [0, 1]."""
    return float(np.abs(one.astype(np.int16) - other).mean() / 255.0)


def read(real: RealWorld | None, dream: DreamWorld | None) -> Reading | None:
    """How M's expectation of the last step came out, in the worlds that took it; the dream's where both did.

    Returns:
        None where no step was taken.
    """
    expected = dream.expected if dream is not None else real.expected if real is not None else None
    if expected is None:
        return None
    drift = floor = None
    if real is not None and dream is not None:
        drift, floor = difference(dream.picture, real.frame), difference(real.picture, real.frame)
    return Reading(expected.reward, None if real is None else real.reward, expected.end, drift, floor)
