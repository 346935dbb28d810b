"""How dreams end: M's termination head, fitted to its own dreams as well as to reality.

Trained on real views alone, the head says when a car leaves the playfield, from the edge that comes into view in the
frames before. A dream hardly ever draws that edge, so its cars drove over grass for ever. What M knows without the edge
is how likely the end is where a car has driven on like this for so long; it is asked for that where it will be used, in
dreams (hallucinated replay: Talvitie, Model regularization for stable sample rollouts, UAI 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from dreamgym.data.latents import LatentEpisode
from dreamgym.errors import ConfigError
from dreamgym.memory.imagine import dream_step
from dreamgym.memory.mdn_rnn import LATENT_LIMIT, MDNRNN, State

__all__ = ["fit_terminations", "held_from", "require_exits"]

LEAST_HELD: Final = 50
"""Frames that an episode must go on for, once its actions are held, to be dreamed from there on."""
MIRROR_FROM: Final = 30
"""Frame from which mirrored episodes are dreamed: the start is no mirror image of itself, see
:func:`dreamgym.world_model.start_states.start_bank`."""
BEGINNING_SHARE: Final = 0.6
"""Of the episodes that are held from their first frame on, the share dreamed from there; the others from anywhere."""
NEAR_LINE: Final = 50
"""Frames that episodes which are not held are dreamed for, from the start: no road goes another way so soon."""
KEPT: Final = 0.15
"""Share of the steps without an end that is fitted to; they count for as many more."""
DECAY: Final = 1e-5
"""Half of it, times the squared distance from the trained head's weight, is added to the loss: sixty
terminations explain 256 numbers all too well. Chosen by the likelihood of episodes left out; see the experiment note of
2026-11-24."""

_ROWS = 512  # episodes followed at once
_ITERATIONS = 80  # of L-BFGS; the loss changes in its third digit from half of them on


class _Moments(NamedTuple):
    """Steps that the head is fitted to."""

    h: Tensor
    """M's, after the step; (N, H)."""
    ended: Tensor
    """1 where the real episode left the world in this step, (N,)."""
    weight: Tensor
    """How many steps it stands for, (N,)."""


def held_from(episode: LatentEpisode) -> int:
    """The frame from which on an episode's actions are held.

    Held actions change now and then, and never twice in a row.

    Whoever steers by what is seen changes the action in every frame. Its actions tell where the real road went, and a
    dream that is driven with them leaves its own road where the real car stayed on it; actions that are held say the
    same of both.

    Returns:
        At least 0; more than the episode has frames where it never holds its actions.
    """
    changes = (np.diff(episode.actions, axis=0) != 0).any(axis=1)
    restless = np.flatnonzero(changes[1:] & changes[:-1])
    return int(restless[-1]) + 3 if len(restless) else 0


@torch.no_grad()
def fit_terminations(
    memory: MDNRNN, episodes: Sequence[LatentEpisode], *, latent_noise: float, temperature: float, seed: int
) -> None:
    """Fit the termination head, in place, to real episodes and to dreams.

    The dreams take the same actions.

    Once its actions are held, an episode is dreamed from a random moment (often the start) to its end; one whose
    actions never are, for its first frames. The dream's steps are asked for what the real ones came to. The
    rest of M stays as it is, its common factors with the strength that the dream will have them.

    Args:
        memory: M, as dreams will have it.
        episodes: with some among them that fail while the same action is held, such as leaving the playfield.
        latent_noise: share of the posterior's noise in the latents.
        temperature: to dream at.
        seed: decides the moments and the noise.

    Raises:
        ConfigError: no episode with held actions fails, so that nothing is known of how dreams terminate.
    """
    require_exits(episodes)
    rng, generator = np.random.default_rng([seed, 13]), torch.Generator().manual_seed(seed)
    order = np.argsort([len(episode) for episode in episodes], kind="stable")
    followed: list[_Moments] = []
    dreamed: list[_Moments] = []
    for some in tqdm(np.array_split(order, -(-len(order) // _ROWS)), desc="fit terminations", mininterval=2):
        batch = [episodes[index] for index in some]
        real, dream = _follow(memory, batch, latent_noise, temperature, rng, generator)
        followed += real
        dreamed += dream
    parts = [_Moments(*map(torch.cat, zip(*moments, strict=True))) for moments in (followed, dreamed)]
    head = memory.termination_head
    weight, bias = _logistic_regression(parts, head.weight[0], head.bias)
    head.weight.copy_(weight)
    head.bias.copy_(bias)


def require_exits(episodes: Sequence[LatentEpisode]) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError` where :func:`fit_terminations` would."""
    if not any(episode.failed and _is_held(episode) for episode in episodes):
        raise ConfigError(
            "latents: expected episodes that fail while the same action is held, to fit terminations to; found none. "
            "Record more of players that do so (for train all by --recordings; for CarRacing it is the "
            "leaving-follower), or do without dreamed terminations"
        )


def _is_held(episode: LatentEpisode) -> bool:
    return held_from(episode) + LEAST_HELD <= len(episode)


def _dreamed(episode: LatentEpisode, rng: np.random.Generator) -> range:
    """The frames of an episode that are dreamed; there may be none."""
    at_start, anywhere = rng.random(2)
    if not _is_held(episode):
        return range(0 if episode.mirrored else min(NEAR_LINE, len(episode)))
    held = held_from(episode)
    if held == 0 and not episode.mirrored and at_start < BEGINNING_SHARE:
        return range(len(episode))
    first = max(held, MIRROR_FROM) if episode.mirrored else held
    return range(first + int(anywhere * (len(episode) - first)), len(episode))


def _follow(
    memory: MDNRNN,
    episodes: Sequence[LatentEpisode],
    latent_noise: float,
    temperature: float,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> tuple[list[_Moments], list[_Moments]]:
    """Some steps of each episode, as it was and as it is dreamed."""
    lengths = np.array([len(episode) for episode in episodes])
    left = np.array([episode.failed for episode in episodes])
    spans = [_dreamed(episode, rng) for episode in episodes]
    first, stop = np.array([span.start for span in spans]), np.array([span.stop for span in spans])
    z, action = _padded(memory, episodes, latent_noise, rng)
    real = memory.initial_state(len(episodes))
    dream, dreamed_z = real, z[0]
    found: tuple[list[_Moments], list[_Moments]] = ([], [])
    for step, (seen, acted) in enumerate(zip(z, action, strict=True)):
        begins = torch.from_numpy(first == step)[:, None]
        dream = State(*(torch.where(begins, now, before) for now, before in zip(real, dream, strict=True)))
        dreamed_z = torch.where(begins, seen, dreamed_z)
        real = memory.step(seen, acted, real)
        dreamed_z, dream, _ = dream_step(memory, dreamed_z, acted, dream, temperature, generator)
        ended, dreaming = left & (step == lengths - 1), (first <= step) & (step < stop)
        for moments, h, there in zip(found, (real.h, dream.h), (step < lengths, dreaming), strict=True):
            kept = there & (ended | (rng.random(len(episodes)) < KEPT))
            rows = torch.from_numpy(np.flatnonzero(kept))
            end = torch.from_numpy(ended[kept].astype(np.float32))
            moments.append(_Moments(h[rows], end, torch.where(end > 0, 1.0, 1.0 / KEPT)))
    return found


def _padded(
    memory: MDNRNN, episodes: Sequence[LatentEpisode], latent_noise: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Latents drawn from V's posterior (T, B, Z), and actions (T, B, A), zeros after each episode's end."""
    longest = max(len(episode) for episode in episodes)
    z: NDArray[np.float32] = np.zeros((longest, len(episodes), memory.latent_size), np.float32)
    action: NDArray[np.float32] = np.zeros((longest, len(episodes), memory.action_size), np.float32)
    for row, episode in enumerate(episodes):
        z[: len(episode), row] = episode.sample(rng, latent_noise, stop=-1)
        action[: len(episode), row] = episode.actions
    return torch.from_numpy(z).clamp_(-LATENT_LIMIT, LATENT_LIMIT), torch.from_numpy(action)


def _logistic_regression(parts: Sequence[_Moments], weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (H,) and bias (1,) that explain the terminations, near those given; each part counts the same."""
    trained, weight, bias = weight, weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = 0.5 * DECAY * (weight - trained).square().sum()
        for h, ended, count in parts:
            errors = F.binary_cross_entropy_with_logits(h @ weight + bias, ended, weight=count, reduction="sum")
            total = total + errors / count.sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return weight.detach(), bias.detach()
