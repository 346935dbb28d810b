"""Batches of sequences for M, drawn from encoded episodes held in memory."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.data.latents import LatentEpisode
from dreamgym.errors import ConfigError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT, MDNRNN, State
from dreamgym.training import autocast
from dreamgym.worlds.base import Auxiliary, RewardRule, World
from dreamgym.worlds.registry import find

__all__ = ["SequenceBatch", "SequenceSampler", "known_progress"]

NEARLY_COMPLETE: Final = 0.85
"""Share of the progress that completes an episode from which it may have come round to what is paid already, such as
tiles on a second lap after one that missed some."""

STATE_STRIDE: Final = 32
"""Frames, at most, between the states that :meth:`SequenceSampler.remember` keeps."""
_LEAST_STRIDE: Final = 8
"""Shorter ones would take more memory and time than an even share of the steps is worth."""


class SequenceBatch(NamedTuple):
    """B sequences of T steps.

    Entry t of ``z`` was seen before action t, that of ``next_z`` after it.
    """

    z: Tensor
    """(B, T, Z), freshly sampled from V's posterior."""
    action: Tensor
    """(B, T, A)."""
    next_z: Tensor
    """(B, T, Z)."""
    reward: Tensor
    """What the reward head is asked for, (B, T); NaN where not known, see :func:`known_progress`."""
    failed: Tensor
    """1 where the step ended the episode otherwise than by completing it, (B, T)."""
    mask: Tensor
    """1 on steps of the episode, 0 on padding after its end, (B, T)."""
    labels: dict[str, Tensor]
    """The world's labels by name: numbers after each step, (B, T, n), or whether an event happened in it, 1 or 0,
    (B, T); NaN where not known."""
    state: State | None
    """M's state before the first step; None for zeros."""


def known_progress(
    progress: NDArray[np.float32], total_units: float, rule: RewardRule, *, failed: bool = False
) -> NDArray[np.float32]:
    """Targets of the reward head in an episode, (T,).

    NaN where the progress may have been paid already, and where a failure is paid instead of it.

    A lap that missed a tile goes on over tiles that are paid already. M cannot see that they are: asked for the nothing
    that they pay, it would expect less of every road.

    Args:
        progress: units of each step, (T,).
        total_units: units in a progress of 1.
        rule: what a step pays; without a cap, all but a failure is known.
        failed: whether the last step ended the episode otherwise than by completing it.
    """
    if failed and rule.failure is not None and rule.head == "value":  # a count has no part of it
        progress = np.append(progress[:-1], np.float32(np.nan))
    made = np.flatnonzero(progress > 0)
    if rule.cap is None or not len(made) or np.nansum(progress) < NEARLY_COMPLETE * rule.cap * total_units:
        return progress
    known = np.arange(len(progress)) <= made[-1]
    return np.where(known, progress, np.float32(np.nan))


def _label(episode: LatentEpisode, auxiliary: Auxiliary) -> NDArray[np.float32]:
    """An episode's label, one entry a frame, (T + 1, n), or (T + 1,) for events; NaN where not known.

    An event is known of a step; the last frame, which has none, gets a zero.
    """
    found = episode.labels.get(auxiliary.label)
    if auxiliary.kind == "event":
        known = np.full(len(episode), np.nan, np.float32) if found is None else np.minimum(found, np.float32(1.0))
        return np.pad(known, (0, 1))
    return np.full((len(episode) + 1, auxiliary.size), np.nan, np.float32) if found is None else found


def _stride(length: int) -> int:
    """Frames between states such that sequences of this length cover all steps, and evenly where that can be."""
    divisors = [stride for stride in range(_LEAST_STRIDE, STATE_STRIDE + 1) if length % stride == 0]
    return max(divisors, default=min(length, STATE_STRIDE))


class SequenceSampler:
    """Draws sequences from episodes, each step of each equally likely.

    Less likely are an episode's first steps alone, for which there is ``start_share``. What lies beyond its end is
    masked.

    Args:
        episodes: in order; the last of them are the recent ones.
        length: T.
        latent_noise: share of the posterior's noise in the latents.
        start_share: share of the sequences that begin at an episode's first frame.
        recent_from: index of the first recent episode.
        recent_share: share of the sequences drawn from the recent episodes alone.
        fresh_share: once :meth:`remember` was called, share of the sequences that begin with h = 0 all the same.
        world: the world that the episodes are of; the default one when None.
    """

    def __init__(
        self,
        episodes: list[LatentEpisode],
        length: int,
        *,
        latent_noise: float = 1.0,
        start_share: float = 0.125,
        recent_from: int = 0,
        recent_share: float = 0.0,
        fresh_share: float = 0.125,
        world: World | None = None,
    ) -> None:
        world = world or find()
        if not episodes:
            raise ConfigError(
                "latents: expected encoded episodes to train on, found none in the folders that are not held out; one "
                "in twenty is, by its name. Record more"
            )
        self._length, self._noise = length, latent_noise
        self._start_share, self._recent_share, self._fresh_share = start_share, recent_share, fresh_share
        self._states: Tensor | None = None
        self._stride = _stride(length)
        self._mean = np.concatenate([episode.mean for episode in episodes])
        self._sigma = np.exp(0.5 * np.concatenate([episode.log_variance for episode in episodes]).astype(np.float32))
        self._sigma = self._sigma.astype(np.float16)
        # One entry a frame: the last frame of an episode has no action; zeros stand in and are masked.
        self._action = np.concatenate([np.pad(episode.actions, ((0, 1), (0, 0))) for episode in episodes])
        self._reward = np.concatenate(
            [
                np.pad(
                    known_progress(episode.progress, episode.total_units, world.rewards, failed=episode.failed), (0, 1)
                )
                for episode in episodes
            ]
        )
        self._labels = {
            auxiliary.label: np.concatenate([_label(episode, auxiliary) for episode in episodes])
            for auxiliary in world.labels.auxiliaries
        }
        self._events = {auxiliary.label for auxiliary in world.labels.auxiliaries if auxiliary.kind == "event"}
        self.reward_variance = max(float(np.nanvar(self._reward)), 1e-8)
        """Of what the reward head is asked for."""
        self._lengths = np.array([len(episode) for episode in episodes])
        self._offsets = np.concatenate([[0], np.cumsum(self._lengths + 1)[:-1]])
        self._failed = np.array([episode.failed for episode in episodes])
        self._recent = np.arange(len(episodes)) >= recent_from
        if recent_share > 0 and not self._recent.any():
            raise ConfigError("recent_share: expected recent episodes to draw from, found none")
        self._begin_every(1)

    def _begin_every(self, stride: int) -> None:
        """Have sequences begin at multiples of so many frames.

        Episodes are drawn by their number of starts, so that each start is as likely as any other.
        """
        self._every = stride
        self._starts = -(-self._lengths // stride)
        self._shares = self._starts / self._starts.sum()
        recent = np.where(self._recent, self._starts, 0)
        self._recent_shares = recent / max(recent.sum(), 1)

    def sample(self, rng: np.random.Generator, batch_size: int, device: torch.device) -> SequenceBatch:
        """A batch; every random choice, the latents' noise included, comes from ``rng``."""
        recent = round(batch_size * self._recent_share)
        count = len(self._lengths)
        episode = np.concatenate(
            [
                rng.choice(count, size=recent, p=self._recent_shares) if recent else np.empty(0, int),
                rng.choice(count, size=batch_size - recent, p=self._shares),
            ]
        ).astype(int)
        # A sequence may begin anywhere: if none reached beyond an episode's end, the step in which it failed would be
        # in fewer of them than the others. Where states are kept, it begins at one of them.
        start = self._every * (rng.random(batch_size) * self._starts[episode]).astype(int)
        start[rng.random(batch_size) < self._start_share] = 0
        if self._states is None:
            return self._gather(rng, episode, start, device)
        first = self._state_offsets[episode] + start // self._every
        states = self._states[torch.from_numpy(first)].float()
        states[torch.from_numpy(rng.random(batch_size) < self._fresh_share)] = 0.0
        h, c = states.to(device).chunk(2, dim=1)
        return self._gather(rng, episode, start, device)._replace(state=State(h.contiguous(), c.contiguous()))

    @torch.no_grad()
    def remember(self, model: MDNRNN, rng: np.random.Generator, device: torch.device) -> None:
        """Run M over all episodes from their first frames.

        Sequences then begin in the state that it would have there.

        Sequences that all begin with h = 0 teach M to take the speed from what it sees, and to forget what it did:
        a dream's car then slows down when it coasts, since what M sees is its own guess.
        """
        counts = -(-(self._lengths + 1) // self._stride)
        self._state_offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
        table = torch.zeros(int(counts.sum()), 2 * model.hidden_size, dtype=torch.float16)
        order = np.argsort(self._lengths, kind="stable")
        for some in np.array_split(order, -(-len(order) // 256)):
            state = model.initial_state(len(some))
            for step in range(int(counts[some].max())):
                reached = step < counts[some]
                rows = torch.from_numpy(self._state_offsets[some][reached] + step)
                table[rows] = torch.cat(state, dim=1)[torch.from_numpy(reached)].to("cpu", torch.float16)
                batch = self._gather(rng, some, np.full(len(some), step * self._stride), device, self._stride)
                with autocast(device):
                    _, state = model(batch.z, batch.action, state)
        self._states = table
        self._begin_every(self._stride)

    def _gather(
        self,
        rng: np.random.Generator,
        episode: NDArray[np.int64],
        start: NDArray[np.int64],
        device: torch.device,
        length: int | None = None,
    ) -> SequenceBatch:
        step = start[:, None] + np.arange((length or self._length) + 1)  # (B, T + 1)
        last = self._lengths[episode][:, None]
        index = self._offsets[episode][:, None] + np.minimum(step, last)
        noise = rng.standard_normal((*index.shape, self._mean.shape[1]), np.float32)
        z = self._mean[index].astype(np.float32) + self._noise * self._sigma[index].astype(np.float32) * noise
        np.clip(z, -LATENT_LIMIT, LATENT_LIMIT, out=z)
        mask = step[:, :-1] < last
        failed = self._failed[episode][:, None] & (step[:, :-1] == last - 1)

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)

        return SequenceBatch(
            z=tensor(z[:, :-1]),
            action=tensor(self._action[index[:, :-1]]),
            next_z=tensor(z[:, 1:]),
            reward=tensor(self._reward[index[:, :-1]]),
            failed=tensor(failed),
            mask=tensor(mask),
            labels={
                name: tensor(label[index[:, :-1] if name in self._events else index[:, 1:]])
                for name, label in self._labels.items()
            },
            state=None,
        )
