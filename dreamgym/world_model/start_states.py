"""Start states of dreams: moments of real episodes, with the hidden state that M has there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamgym.config.checks import require
from dreamgym.data.latents import LatentEpisode
from dreamgym.errors import ConfigError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT, MDNRNN, State
from dreamgym.world_model import StartBank
from dreamgym.worlds.base import LEAST_BURN_IN, HardMoments

__all__ = ["hard_contexts", "require_long_enough", "start_bank"]

BURN_IN = 200
"""Real frames, at most, that a context's hidden state is made from; fewer where the episode began later."""


def require_long_enough(episodes: Sequence[LatentEpisode]) -> list[LatentEpisode]:
    """The episodes within which dreams can start.

    Raises:
        ConfigError: there is none.
    """
    found = [episode for episode in episodes if len(episode) > LEAST_BURN_IN]
    if not found:
        longest = max(map(len, episodes), default=0)
        raise ConfigError(
            f"latents: expected episodes of more than {LEAST_BURN_IN} steps, since dreams start from within them; the "
            f"longest of {len(episodes)} has {longest}. Repeat actions less often, or record players who last longer"
        )
    return found


@torch.no_grad()
def start_bank(
    memory: MDNRNN,
    episodes: list[LatentEpisode],
    *,
    at_start: int,
    anywhere: int,
    hard: int,
    latent_noise: float,
    seed: int,
    own_episodes: list[LatentEpisode] | None = None,
    kinds: Sequence[HardMoments] = (),
    cap: float | None = 1.0,
) -> StartBank:
    """Real start states: first frames of episodes, contexts from within them, and hard contexts.

    A dream that begins in a hard context has the real bend ahead at the real speed, where one that begins at the start
    meets bends of M's own invention alone: fewer, and at speeds that suit them. Contexts after a mishap, on the grass
    or facing the wrong way, are for those that seldom fail in the dream and would never learn to come back.

    Args:
        memory: M, whose hidden states these are.
        episodes: to draw from, each frame equally likely.
        at_start: how many true starts, of episodes as they were.
        anywhere: how many contexts, each burnt in over the last ``BURN_IN`` real frames.
        hard: how many hard contexts, where there are any.
        latent_noise: share of the posterior's noise in the latents.
        seed: decides the choice and the noise.
        own_episodes: the controllers' own episodes, where hard contexts are looked for; ``episodes`` when None.
        kinds: of difficulty.
        cap: the progress of a complete episode; None in a world without one, whose dreams all begin at 0.
    """
    rng = np.random.default_rng([seed, 11])
    long_enough = require_long_enough(episodes)

    def latents(episode: LatentEpisode, first: int, last: int) -> Tensor:
        z = torch.from_numpy(episode.sample(rng, latent_noise, first, last))
        return z.clamp_(-LATENT_LIMIT, LATENT_LIMIT)

    # The line lies where it lies: in the mirror, the playfield ends on the other side of it.
    driven = [episode for episode in episodes if not episode.mirrored]
    for name, number in (("at_start", at_start), ("anywhere", anywhere)):
        require(number > 0, name, "a positive number", number)
    if not driven:
        raise ConfigError("latents: expected episodes as they were for true starts, found mirrored ones alone")
    firsts = [latents(driven[index], 0, 1)[0] for index in rng.integers(len(driven), size=at_start)]
    shares = np.array([len(episode) - LEAST_BURN_IN for episode in long_enough], float)
    chosen = rng.choice(len(long_enough), size=anywhere, p=shares / shares.sum())
    moments = [(long_enough[index], int(rng.integers(LEAST_BURN_IN, len(long_enough[index])))) for index in chosen]
    moments += hard_contexts(own_episodes or long_enough, hard, kinds, rng)
    contexts, actions, progress = [], [], []
    for episode, now in moments:
        first = max(now - BURN_IN, 0)
        contexts.append(latents(episode, first, now + 1))
        actions.append(torch.from_numpy(episode.actions[first:now]))
        made = float(episode.progress[:now].sum()) / episode.total_units
        progress.append(0.0 if cap is None else min(made, cap))  # without a cap, rewards are what adds up
    state = _final_states(memory, [context[:-1] for context in contexts], actions)
    zeros = torch.zeros(at_start, memory.hidden_size)
    index = torch.arange(at_start + len(moments))
    return StartBank(
        z=torch.cat([torch.stack(firsts), torch.stack([context[-1] for context in contexts])]),
        h=torch.cat([zeros, state.h]),
        c=torch.cat([zeros, state.c]),
        progress=torch.tensor([0.0] * at_start + progress),
        at_start=index < at_start,
        hard=index >= at_start + anywhere,
    )


def _final_states(memory: MDNRNN, latents: list[Tensor], actions: list[Tensor]) -> State:
    """M's state after each sequence, of any lengths, from zeros."""
    lengths = torch.tensor([len(sequence) for sequence in actions])
    longest = int(lengths.max())

    def padded(sequences: list[Tensor]) -> Tensor:
        return torch.stack([F.pad(one, (0, 0, longest - len(one), 0)) for one in sequences], dim=1)  # at the front

    state = memory.initial_state(len(actions))
    for step, (z, action) in enumerate(zip(padded(latents), padded(actions), strict=True)):
        begun = (step >= longest - lengths)[:, None]
        following = memory.step(z, action, state)
        state = State(*(torch.where(begun, new, old) for new, old in zip(following, state, strict=True)))
    return state


def hard_contexts(
    episodes: list[LatentEpisode], count: int, kinds: Sequence[HardMoments], rng: np.random.Generator
) -> list[tuple[LatentEpisode, int]]:
    """Frames of each kind of difficulty, by its share.

    From as many episodes as possible; none where there are none.
    """
    contexts = []
    shares = np.cumsum([0.0, *(kind.share for kind in kinds)])
    for kind, first, last in zip(kinds, shares, shares[1:], strict=False):
        found = []
        for episode in episodes:
            moments = [moment for moment in kind.find(episode) if moment >= LEAST_BURN_IN]
            found += [(episode, moments)] if moments else []
        for _ in range(round(last * count) - round(first * count) if found else 0):
            episode, moments = found[rng.integers(len(found))]
            contexts.append((episode, moments[rng.integers(len(moments))]))
    return contexts
