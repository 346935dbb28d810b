"""What M is trained on: the losses of its heads, teacher-forced."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamgym.memory.correlated_noise import factor_loss, normal_scores
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.mixture import mixture_log_likelihood
from dreamgym.memory.sequences import SequenceBatch
from dreamgym.memory.trainee import Trainee
from dreamgym.worlds.base import Auxiliary

__all__ = ["MemoryLoss", "memory_loss"]


class MemoryLoss(NamedTuple):
    """Means over the steps of a batch (scalars)."""

    latent: Tensor
    """Negative log likelihood of the next latents, nats a latent."""
    reward: Tensor
    """Of the reward head: Poisson negative log likelihood, nats a step, up to a constant; or squared error over the
    rewards' variance."""
    termination: Tensor
    """Binary cross-entropy of the episode's failing in this step, nats a step."""
    factors: Tensor
    """Negative log likelihood of what the common factors explain, nats a latent, up to a constant."""
    auxiliaries: dict[str, Tensor]
    """By label, mean over what was recorded: squared error of numbers, binary cross-entropy of an event."""

    def scalars(self) -> dict[str, float]:
        """All of them by name, for logs: a label's loss is ``label_NAME``."""
        own = {name: getattr(self, name) for name in ("latent", "reward", "termination", "factors")}
        labels = {f"label_{name}": value for name, value in self.auxiliaries.items()}
        return {name: value.item() for name, value in {**own, **labels}.items()}


def memory_loss(model: Trainee, batch: SequenceBatch, *, reward_variance: float = 1.0) -> MemoryLoss:
    """Teacher-forced loss of a batch.

    Units are whole numbers, so their head is a Poisson rate: unlike a squared error this is calibrated near zero, where
    a car that stands still must earn nothing. The common factors are fitted to what the mixtures leave unexplained, and
    change neither them nor h.

    Args:
        model: M and its training heads.
        batch: sequences.
        reward_variance: what the squared error of a "value" head is divided by.
    """
    memory = model.memory
    hidden, _ = memory(batch.z, batch.action, batch.state)
    prediction = memory.predict(hidden)
    steps = batch.mask.sum()
    log_likelihood = mixture_log_likelihood(prediction.mixture.float(), batch.next_z).mean(dim=-1)
    termination = F.binary_cross_entropy_with_logits(
        prediction.termination_logit.float(), batch.failed, reduction="none"
    )
    reward = _reward_loss(memory, prediction.reward.float(), batch.reward, reward_variance)
    auxiliaries = {
        each.label: _auxiliary_loss(each, model.label(each, hidden).float(), batch) for each in model.auxiliaries
    }
    factors = torch.zeros_like(termination)
    if memory.factors:
        scores, h = normal_scores(prediction.mixture.float(), batch.next_z), hidden.detach()
        factors = factor_loss(scores, memory.loadings(h).float(), model.own_head(h).float())

    def mean(term: Tensor) -> Tensor:
        return (term * batch.mask).sum() / steps

    return MemoryLoss(mean(-log_likelihood), mean(reward), mean(termination), mean(factors), auxiliaries)


def _reward_loss(memory: MDNRNN, head_output: Tensor, wanted: Tensor, variance: float) -> Tensor:
    """Of each step, (B, T); 0 where it is not known what was wanted."""
    known, wanted = torch.isfinite(wanted), wanted.nan_to_num()
    if memory.reward_kind == "count":
        return (head_output - wanted * torch.log(head_output + 1e-6)) * known
    return (head_output - wanted).square() / variance * known


def _auxiliary_loss(auxiliary: Auxiliary, head_output: Tensor, batch: SequenceBatch) -> Tensor:
    """Mean over what was recorded (scalar)."""
    wanted = batch.labels[auxiliary.label]
    mask = batch.mask > 0
    if auxiliary.kind == "event":
        known = torch.isfinite(wanted) & mask
        error = F.binary_cross_entropy_with_logits(head_output, wanted.nan_to_num(), reduction="none")
    else:
        known = torch.isfinite(wanted) & mask[..., None]
        error = (head_output - wanted.nan_to_num()).square()
    return (error * known).sum() / known.sum().clamp_min(1)
