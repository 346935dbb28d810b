"""Putting a world model together: trained V and M, start states burnt in on real episodes, and a card."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamgym.control.linear import LinearController
from dreamgym.errors import ConfigError
from dreamgym.memory.mdn_rnn import MDNRNN, State
from dreamgym.real.world import recorded_versions
from dreamgym.training import load_weights
from dreamgym.vision.encode import LatentEpisode, read_latents
from dreamgym.vision.vae import VAE
from dreamgym.world_model import LATENT_LIMIT, StartBank, WorldModel

__all__ = ["assemble", "hard_moments", "start_bank"]

BURN_IN = 200
"""Real frames, at most, that a context's hidden state is made from; fewer where the episode began later."""
LEAST_BURN_IN = 30
"""Fewest: a context's hidden state holds speed and slip."""


@torch.no_grad()
def start_bank(
    memory: MDNRNN,
    episodes: list[LatentEpisode],
    *,
    at_line: int,
    anywhere: int,
    latent_noise: float,
    seed: int,
    hard_share: float = 0.0,
    stalled_share: float = 0.0,
    own_drives: list[LatentEpisode] | None = None,
) -> StartBank:
    """Real start states: first frames of episodes, and contexts from within them.

    Hard contexts are moments of up to a second and a half before a drive went wrong. A dream that begins there has the
    real corner ahead at the real speed, where one that begins at the line meets only corners of M's own invention.
    Stalled contexts are moments after it went wrong: on the grass, or facing the wrong way. A controller that seldom
    fails in the dream meets them nowhere else, and has to come back from them in reality.

    Args:
        memory: M, whose hidden states these are.
        episodes: to draw from, each frame equally likely.
        at_line: how many true starts.
        anywhere: how many contexts, each burnt in over the last ``BURN_IN`` real frames.
        latent_noise: share of the posterior's noise in the latents.
        seed: decides the choice and the noise.
        hard_share: share of the contexts that are hard ones, where there are any.
        stalled_share: likewise of stalled ones.
        own_drives: the controllers' own episodes, where both are looked for; ``episodes`` when None.
    """
    rng = np.random.default_rng([seed, 11])
    long_enough = [episode for episode in episodes if len(episode) > LEAST_BURN_IN]
    if not long_enough:
        raise ConfigError(f"latents: expected episodes of more than {LEAST_BURN_IN} frames, found none")

    def latents(episode: LatentEpisode, first: int, last: int) -> Tensor:
        mean = episode.mean[first:last].astype(np.float32)
        sigma = np.exp(0.5 * episode.log_variance[first:last].astype(np.float32))
        z = mean + latent_noise * sigma * rng.standard_normal(mean.shape, np.float32)
        return torch.from_numpy(z).clamp(-LATENT_LIMIT, LATENT_LIMIT)

    firsts = [latents(episodes[index], 0, 1)[0] for index in rng.integers(len(episodes), size=at_line)]
    shares = np.array([len(episode) - LEAST_BURN_IN for episode in long_enough], float)
    chosen = rng.choice(len(long_enough), size=anywhere, p=shares / shares.sum())
    moments = [(long_enough[index], int(rng.integers(LEAST_BURN_IN, len(long_enough[index])))) for index in chosen]
    place = 0
    for share, find in ((hard_share, hard_moments), (stalled_share, stalled_moments)):
        found = [(episode, now) for episode in own_drives or long_enough for now in find(episode)]
        for _ in range(round(share * anywhere) if found else 0):
            moments[place] = found[rng.integers(len(found))]
            place += 1
    contexts, actions, progress = [], [], []
    for episode, now in moments:
        first = max(now - BURN_IN, 0)
        contexts.append(latents(episode, first, now + 1))
        actions.append(torch.from_numpy(episode.actions[first:now]))
        progress.append(min(float(episode.progress[:now].sum()) / episode.lap_units, 1.0))
    state = _final_states(memory, [context[:-1] for context in contexts], actions)
    zeros = torch.zeros(at_line, memory.hidden_size)
    return StartBank(
        z=torch.cat([torch.stack(firsts), torch.stack([context[-1] for context in contexts])]),
        h=torch.cat([zeros, state.h]),
        c=torch.cat([zeros, state.c]),
        progress=torch.tensor([0.0] * at_line + progress),
        at_line=torch.arange(at_line + anywhere) < at_line,
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


def hard_moments(episode: LatentEpisode) -> list[int]:
    """Frames at which a drive still makes progress that soon ends: 4 units or more in the last 30 frames, and at most
    3 in all from the 20th to the 80th frame ahead.
    """
    total = np.concatenate([[0.0], np.cumsum(episode.progress)])
    now = np.arange(LEAST_BURN_IN, len(episode) - 80)
    ended = total[now + 80] - total[now + 20] <= 3
    moving = total[now] - total[now - 30] >= 4
    found: list[int] = now[ended & moving].tolist()
    return found


def stalled_moments(episode: LatentEpisode) -> list[int]:
    """Frames from which a drive looks back on a second and a half without progress, and once had made some."""
    total = np.concatenate([[0.0], np.cumsum(episode.progress)])
    now = np.arange(LEAST_BURN_IN + 75, len(episode))
    found: list[int] = now[(total[now] == total[now - 75]) & (total[now] > 4)].tolist()
    return found


def assemble(
    out: Path,
    *,
    vision: Path,
    memory: Path,
    latents: tuple[Path, ...],
    controller: Path | None = None,
    temperature: float = 1.0,
    latent_noise: float = 1.0,
    at_line: int = 256,
    anywhere: int = 1024,
    hard_share: float = 0.3,
    stalled_share: float = 0.3,
    seed: int = 0,
    card: dict[str, Any] | None = None,
) -> WorldModel:
    """Make a bundle of trained parts.

    Args:
        out: its folder.
        vision: V's weights.
        memory: M's weights.
        latents: folders of encoded episodes, for the start states; the first is the scripted drivers'.
        controller: a controller's file.
        temperature: the card's.
        latent_noise: share of the posterior's noise that M was trained with.
        at_line: true starts in the bank.
        anywhere: contexts in the bank.
        hard_share: share of the contexts from moments before a drive went wrong; see :func:`start_bank`.
        stalled_share: share of the contexts from moments after it did.
        seed: of the bank.
        card: further entries: config, data, losses, scores.

    Returns:
        The bundle, as loaded again from ``out``.
    """
    vae, rnn = VAE(), MDNRNN()
    load_weights(vae, vision)
    load_weights(rnn, memory)
    episodes = read_latents(*latents)
    if not episodes:
        raise ConfigError("latents: expected folders with encoded episodes, found none in them")
    bank = start_bank(
        rnn,
        episodes,
        at_line=at_line,
        anywhere=anywhere,
        latent_noise=latent_noise,
        hard_share=hard_share,
        stalled_share=stalled_share,
        own_drives=read_latents(*latents[1:]),
        seed=seed,
    )
    frames = sum(len(episode) for episode in episodes)
    entries: dict[str, Any] = {
        "temperature": temperature,
        "latent_noise": latent_noise,
        "lap_units": float(np.mean([episode.lap_units for episode in episodes])),
        "versions": {**recorded_versions(), "torch": torch.__version__, "platform": platform.machine()},
        "data": {"episodes": len(episodes), "frames": frames},
        **(card or {}),
    }
    driver = None if controller is None else LinearController.load(controller)
    WorldModel(vae, rnn, bank, driver, entries).save(out)
    return WorldModel.load(out)
