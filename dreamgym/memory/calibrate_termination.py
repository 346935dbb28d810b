"""Calibrating M's termination head on episodes that it was not trained on.

Ends are rare: a head that was trained on a thousand of them knows these by heart, is too sure of itself elsewhere, and
a dream's episodes last too long. Its logit keeps its direction here; two numbers, a scale and a shift, are fitted to
held-out episodes (Platt, Probabilistic outputs for support vector machines, 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamgym.data.latents import LatentEpisode
from dreamgym.errors import ConfigError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT, MDNRNN

__all__ = ["Calibration", "calibrate_terminations", "require_failures"]

LEAST_FAILURES: Final = 20
"""Held-out episodes that must have ended by themselves."""


class Calibration(NamedTuple):
    """What was fitted, and the head's cross-entropy on the held-out episodes, nats a step."""

    scale: float
    shift: float
    before: float
    after: float


def require_failures(episodes: Sequence[LatentEpisode]) -> None:
    """Refuse held-out episodes of which too few end by themselves.

    Mirror images do not count.

    Raises:
        ConfigError: fewer than 20 do.
    """
    failures = sum(episode.failed and not episode.mirrored for episode in episodes)
    if failures < LEAST_FAILURES:
        raise ConfigError(
            f"latents: expected at least {LEAST_FAILURES} held-out episodes that end by themselves, to calibrate the "
            f"termination head; got {failures}. Record more episodes, or train without calibration"
        )


@torch.no_grad()
def calibrate_terminations(
    memory: MDNRNN, episodes: Sequence[LatentEpisode], *, latent_noise: float, seed: int
) -> Calibration:
    """Scale and shift the termination head, to be right on these episodes.

    Of its logit, in place.

    Args:
        memory: M.
        episodes: that it was not trained on.
        latent_noise: share of the posterior's noise in the latents.
        seed: decides the noise.

    Raises:
        ConfigError: fewer than 20 of the episodes ended by themselves.
    """
    require_failures(episodes)
    rng = np.random.default_rng([seed, 17])
    parts = [_logits(memory, episode, latent_noise, rng) for episode in episodes]
    logits, ended = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    scale, shift = _fit(logits, ended)
    head = memory.termination_head
    head.weight.mul_(scale)
    head.bias.mul_(scale).add_(shift)
    before, after = (
        F.binary_cross_entropy_with_logits(each, ended).item() for each in (logits, logits * scale + shift)
    )
    return Calibration(scale, shift, before, after)


def _logits(
    memory: MDNRNN, episode: LatentEpisode, latent_noise: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The head's logit for each step of an episode, and 1 where it ended; both (T,)."""
    z = episode.sample(rng, latent_noise, stop=-1)
    latents = torch.from_numpy(z.clip(-LATENT_LIMIT, LATENT_LIMIT))
    hidden, _ = memory(latents[None], torch.from_numpy(episode.actions)[None])
    ended = torch.zeros(len(episode))
    ended[-1] = float(episode.failed)
    return memory.termination_head(hidden[0]).squeeze(-1), ended


def _fit(logits: Tensor, ended: Tensor) -> tuple[float, float]:
    """Scale and shift, by Platt's targets, which are a little away from 0 and 1.

    Else ends that all stand apart from the other steps would make the head as sure as it can be.
    """
    ends, others = float(ended.sum()), float((1.0 - ended).sum())
    targets = torch.where(ended > 0, (ends + 1.0) / (ends + 2.0), 1.0 / (others + 2.0))
    scale, shift = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, shift], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(logits * scale + shift, targets, reduction="sum")
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return float(scale.item()), float(shift.item())
