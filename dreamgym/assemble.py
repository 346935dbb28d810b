"""Putting a world model together: trained V and M, start states burnt in on real episodes, and a card."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamgym.config.checks import require
from dreamgym.control.linear import LinearController
from dreamgym.episodes import is_held_out
from dreamgym.errors import ConfigError
from dreamgym.memory.ends import fit_ends
from dreamgym.memory.mdn_rnn import MDNRNN, State
from dreamgym.real.world import CAR_RACING, recorded_versions
from dreamgym.training import load_weights
from dreamgym.vision.encode import LatentEpisode, read_latents
from dreamgym.vision.vae import VAE
from dreamgym.world_model import LATENT_LIMIT, StartBank, WorldModel

__all__ = ["assemble", "start_bank"]

BURN_IN = 200
"""Real frames, at most, that a context's hidden state is made from; fewer where the episode began later."""
LEAST_BURN_IN = 30
"""Fewest: a context's hidden state holds speed and slip."""
RECENT_FOLDERS = 3
"""Hard contexts come from so many of the last folders: earlier controllers had other troubles."""


@torch.no_grad()
def _strengthen(memory: MDNRNN, factor_gain: float) -> None:
    if memory.factor_head is not None:
        memory.factor_head.weight.mul_(factor_gain)
        memory.factor_head.bias.mul_(factor_gain)


def _shown(episodes: list[LatentEpisode]) -> list[LatentEpisode]:
    """The episodes that are not held out."""
    return [episode for episode in episodes if not is_held_out(episode.path)]


@torch.no_grad()
def _round(memory: MDNRNN) -> None:
    """Round all weights to what bfloat16 holds."""
    for parameter in memory.parameters():
        parameter.copy_(parameter.bfloat16())


@torch.no_grad()
def start_bank(
    memory: MDNRNN,
    episodes: list[LatentEpisode],
    *,
    at_line: int,
    anywhere: int,
    hard: int,
    latent_noise: float,
    seed: int,
    own_drives: list[LatentEpisode] | None = None,
) -> StartBank:
    """Real start states: first frames of episodes, contexts from within them, and hard contexts.

    A dream that begins in a hard context has the real bend ahead at the real speed, where one that begins at the line
    meets bends of M's own invention alone: fewer, and at speeds that suit them. Contexts after a mishap, on the grass
    or facing the wrong way, are for those that seldom fail in the dream and would never learn to come back.

    Args:
        memory: M, whose hidden states these are.
        episodes: to draw from, each frame equally likely.
        at_line: how many true starts, of drives as they were.
        anywhere: how many contexts, each burnt in over the last ``BURN_IN`` real frames.
        hard: how many hard contexts, where there are any.
        latent_noise: share of the posterior's noise in the latents.
        seed: decides the choice and the noise.
        own_drives: the controllers' own episodes, where hard contexts are looked for; ``episodes`` when None.
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

    # The line lies where it lies: in the mirror, the playfield ends on the other side of it.
    driven = [episode for episode in episodes if not episode.mirrored]
    for name, number in (("at_line", at_line), ("anywhere", anywhere)):
        require(number > 0, name, "a positive number", number)
    if not driven:
        raise ConfigError("latents: expected drives as they were for starts at the line, found mirrored ones alone")
    firsts = [latents(driven[index], 0, 1)[0] for index in rng.integers(len(driven), size=at_line)]
    shares = np.array([len(episode) - LEAST_BURN_IN for episode in long_enough], float)
    chosen = rng.choice(len(long_enough), size=anywhere, p=shares / shares.sum())
    moments = [(long_enough[index], int(rng.integers(LEAST_BURN_IN, len(long_enough[index])))) for index in chosen]
    moments += hard_contexts(own_drives or long_enough, hard, rng)
    contexts, actions, progress = [], [], []
    for episode, now in moments:
        first = max(now - BURN_IN, 0)
        contexts.append(latents(episode, first, now + 1))
        actions.append(torch.from_numpy(episode.actions[first:now]))
        progress.append(min(float(episode.progress[:now].sum()) / episode.lap_units, 1.0))
    state = _final_states(memory, [context[:-1] for context in contexts], actions)
    zeros = torch.zeros(at_line, memory.hidden_size)
    index = torch.arange(at_line + len(moments))
    return StartBank(
        z=torch.cat([torch.stack(firsts), torch.stack([context[-1] for context in contexts])]),
        h=torch.cat([zeros, state.h]),
        c=torch.cat([zeros, state.c]),
        progress=torch.tensor([0.0] * at_line + progress),
        at_line=index < at_line,
        hard=index >= at_line + anywhere,
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
    episodes: list[LatentEpisode], count: int, rng: np.random.Generator
) -> list[tuple[LatentEpisode, int]]:
    """Frames of each kind of difficulty, by its share, from as many episodes as possible; none where there are none."""
    kinds: dict[Callable[[LatentEpisode], list[int]], float] = {
        moments_before_mishaps: 0.4,
        moments_before_sharp_bends: 0.45,
        moments_after_mishaps: 0.15,
    }
    contexts = []
    shares = np.cumsum([0.0, *kinds.values()])
    for find, first, last in zip(kinds, shares, shares[1:], strict=False):
        found = [(episode, moments) for episode in episodes if (moments := find(episode))]
        for _ in range(round(last * count) - round(first * count) if found else 0):
            episode, moments = found[rng.integers(len(found))]
            contexts.append((episode, moments[rng.integers(len(moments))]))
    return contexts


def moments_before_mishaps(episode: LatentEpisode) -> list[int]:
    """Frames at which a drive still makes progress that soon ends: 4 units or more in the last 30 frames, and at most
    3 in all from the 20th to the 80th frame ahead.
    """
    total = np.concatenate([[0.0], np.cumsum(episode.progress)])
    now = np.arange(LEAST_BURN_IN, len(episode) - 80)
    ended = total[now + 80] - total[now + 20] <= 3
    moving = total[now] - total[now - 30] >= 4
    found: list[int] = now[ended & moving].tolist()
    return found


def moments_before_sharp_bends(episode: LatentEpisode) -> list[int]:
    """Frames at more than 42 units/s, hardly sliding, with a turn of more than 2 radians in the second that begins 10
    frames ahead; none where motion was not recorded.
    """
    if episode.motion is None:
        return []
    forward, sideways, yaw_rate, _ = episode.motion.astype(np.float64).T  # in 50 units/s, 10 units/s, rad/s
    heading = np.concatenate([[0.0], np.cumsum(yaw_rate)]) / CAR_RACING.fps
    now = np.arange(LEAST_BURN_IN, len(episode) - 60)
    turning = np.abs(heading[now + 60] - heading[now + 10]) > 2.0
    found: list[int] = now[turning & (forward[now] > 0.85) & (np.abs(sideways[now]) < 0.5)].tolist()
    return found


def moments_after_mishaps(episode: LatentEpisode) -> list[int]:
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
    factor_gain: float = 3.0,
    dreamed_ends: bool = False,
    at_line: int = 256,
    anywhere: int = 512,
    hard: int = 768,
    seed: int = 0,
    card: dict[str, Any] | None = None,
) -> WorldModel:
    """Make a bundle of trained parts.

    M's weights are rounded to what bfloat16 holds. Both precisions then dream of the same network; a network that is
    only rounded where it runs in bfloat16 is another one: its laps took 0.7 % longer.

    Args:
        out: its folder.
        vision: V's weights.
        memory: M's weights.
        latents: folders of encoded episodes, for the start states; the first holds no drives that hard contexts are
            looked for in.
        controller: a controller's file.
        temperature: the card's.
        latent_noise: share of the posterior's noise that M was trained with.
        factor_gain: how much stronger the common factors are than M's residuals say. What comes into view in reality
            stays in view, and is believed over several frames; what a dream draws is seen once, and M, trained with
            noise on what it reads, believes a part of it. Chosen by how often the dream's roads bend.
        dreamed_ends: whether M's termination head is fitted to this dream as well, see
            :func:`dreamgym.memory.ends.fit_ends`; the latents must hold drives that leave the playfield.
        at_line: true starts in the bank, none of them mirrored.
        anywhere: contexts in the bank.
        hard: hard contexts in the bank, from the last three folders; see :func:`start_bank`.
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
    _strengthen(rnn, factor_gain)
    if dreamed_ends:
        fit_ends(rnn, _shown(episodes), latent_noise=latent_noise, temperature=temperature, seed=seed)
    _round(rnn)
    bank = start_bank(
        rnn,
        episodes,
        at_line=at_line,
        anywhere=anywhere,
        latent_noise=latent_noise,
        hard=hard,
        own_drives=read_latents(*latents[1:][-RECENT_FOLDERS:]),
        seed=seed,
    )
    driven = [episode for episode in episodes if not episode.mirrored]
    entries: dict[str, Any] = {
        "temperature": temperature,
        "latent_noise": latent_noise,
        "factor_gain": factor_gain,
        "dreamed_ends": dreamed_ends,
        "lap_units": float(np.mean([episode.lap_units for episode in episodes])),
        "versions": {**recorded_versions(), "torch": torch.__version__, "platform": platform.machine()},
        "data": {"episodes": len(driven), "frames": sum(len(episode) for episode in driven)},
        **(card or {}),
    }
    driver = None if controller is None else LinearController.load(controller)
    WorldModel(vae, rnn, bank, driver, entries).save(out)
    return WorldModel.load(out)
