"""Putting a world model together: trained V and M, start states and a card."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dreamgym.config import AssembleConfig
from dreamgym.controller.linear import LinearController
from dreamgym.data.episodes import episodes_sha256, is_held_out
from dreamgym.data.latents import LatentEpisode, read_latents, require_same_vision
from dreamgym.errors import ConfigError, OutputFolderError
from dreamgym.files import file_sha256, make_folder, to_json
from dreamgym.memory.fit_termination import fit_terminations
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.trainee import make_memory
from dreamgym.training import load_weights
from dreamgym.vision.vae import load_vision
from dreamgym.world_model import WorldModel
from dreamgym.world_model.files import require_bundle_or_nothing
from dreamgym.world_model.start_states import start_bank
from dreamgym.worlds.base import ModelSizes, RewardRule, World, to_card
from dreamgym.worlds.registry import find

__all__ = ["assemble", "run"]

RECENT_FOLDERS = 3
"""Hard contexts come from so many of the last folders: earlier controllers had other troubles."""
_ASSEMBLED = "assembled"
"""The card's entry of what the command made a bundle of."""
_DESCRIPTION = "description"
"""An entry of that: the world as it was described. Older bundles have none."""
NEVER = -30.0
"""Logit of a termination that does not come."""


@torch.no_grad()
def _strengthen(memory: MDNRNN, factor_gain: float) -> None:
    if memory.factor_head is not None:
        memory.factor_head.weight.mul_(factor_gain)
        memory.factor_head.bias.mul_(factor_gain)


@torch.no_grad()
def _never_end(memory: MDNRNN) -> None:
    """For a world that ended no recorded episode.

    What M still says of terminations is an error, and where rewards are negative an optimizer would seek it.
    """
    memory.termination_head.weight.zero_()
    memory.termination_head.bias.fill_(NEVER)


def _shown(episodes: list[LatentEpisode]) -> list[LatentEpisode]:
    """The episodes that are not held out."""
    return [episode for episode in episodes if not is_held_out(episode.path)]


@torch.no_grad()
def _round(memory: MDNRNN) -> None:
    """Round all weights to what bfloat16 holds."""
    for parameter in memory.parameters():
        parameter.copy_(parameter.bfloat16())


def assemble(
    out: Path,
    *,
    vision: Path,
    memory: Path,
    latents: tuple[Path, ...],
    world: World | str | None = None,
    sizes: ModelSizes | None = None,
    controller: Path | None = None,
    temperature: float = 1.0,
    latent_noise: float = 1.0,
    factor_gain: float = 3.0,
    dreamed_terminations: bool = False,
    at_start: int = 256,
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
        latents: folders of encoded episodes, for the start states; the first holds no episodes for hard
            contexts.
        world: the world that they were trained for: a description or its name.
        sizes: of V and M; the world's when None.
        controller: a controller's file.
        temperature: the card's.
        latent_noise: share of the posterior's noise that M was trained with.
        factor_gain: how much stronger the common factors are than M's residuals say. What comes into view in reality
            stays in view, and is believed over several frames; what a dream draws is seen once, and M, trained with
            noise on what it reads, believes a part of it. Chosen by how often the dream's roads bend.
        dreamed_terminations: whether M's termination head is fitted to this dream as well, see
            :func:`dreamgym.memory.fit_termination.fit_terminations`; the latents must hold episodes that fail while the
            same action is held.
        at_start: true starts in the bank, none of them mirrored.
        anywhere: contexts in the bank.
        hard: hard contexts in the bank, from the last three folders; see
            :func:`~dreamgym.world_model.start_states.start_bank`.
        seed: of the bank.
        card: further entries: config, data, losses, scores.

    Returns:
        The bundle, as loaded again from ``out``.

    Raises:
        BundleError: a file that cannot be read.
        ConfigError: no episodes, or a controller of another form.
        EpisodeFileError: an encoded episode is damaged, or of another world or V.
    """
    world = find(world)
    sizes = sizes or world.sizes
    driver = None if controller is None else LinearController.load(controller)
    if driver is not None:
        driver.require_form_of(
            LinearController.zeros(sizes.latents + sizes.hidden_units, world.actions.squash), controller
        )
    vae, rnn = load_vision(vision, sizes.latents), make_memory(world, sizes)
    load_weights(rnn, memory)
    require_same_vision(latents, world, vision)
    episodes = read_latents(*latents, world=world, latents=sizes.latents)
    if not episodes:
        raise ConfigError("latents: expected folders with encoded episodes, found none in them")
    _strengthen(rnn, factor_gain)
    if dreamed_terminations:
        fit_terminations(rnn, _shown(episodes), latent_noise=latent_noise, temperature=temperature, seed=seed)
    if not any(episode.failed for episode in episodes):
        _never_end(rnn)
    _round(rnn)
    bank = start_bank(
        rnn,
        episodes,
        at_start=at_start,
        anywhere=anywhere,
        latent_noise=latent_noise,
        hard=hard,
        own_episodes=read_latents(*latents[1:][-RECENT_FOLDERS:], world=world),
        kinds=world.hard_moments,
        cap=world.rewards.cap,
        seed=seed,
    )
    driven = [episode for episode in episodes if not episode.mirrored]
    entries: dict[str, Any] = {
        "temperature": temperature,
        "latent_noise": latent_noise,
        "factor_gain": factor_gain,
        "dreamed_terminations": dreamed_terminations,
        **_description(world),
        "rewards": to_card(_measured(world.rewards, episodes)),
        "versions": {**world.recorded_versions(), "torch": torch.__version__, "platform": platform.machine()},
        "data": {"episodes": len(driven), "frames": sum(len(episode) for episode in driven)},
        **(card or {}),
    }
    WorldModel(vae, rnn, bank, driver, entries).save(out)
    return WorldModel.load(out)


def _measured(rule: RewardRule, episodes: Sequence[LatentEpisode]) -> RewardRule:
    """The rule with the mean number of units that the episodes have in a progress of 1."""
    return replace(rule, unit=float(np.mean([episode.total_units for episode in episodes])))


def run(config: AssembleConfig) -> None:
    """The command ``dreamgym assemble``.

    Raises:
        OutputFolderError: the folder holds a world model that was made otherwise, or something else.
    """
    world, made_of = find(config.world), _made_of(config)
    if _is_there(config.out, made_of):
        print(f"world model: {config.out} (it was there: nothing was done)")
        return
    assemble(
        config.out,
        vision=config.vision,
        memory=config.memory,
        latents=config.latents,
        world=world,
        sizes=config.sizes(world),
        controller=config.controller,
        temperature=config.temperature,
        latent_noise=config.latent_noise,
        factor_gain=config.factor_gain,
        dreamed_terminations=config.dreamed_terminations,
        seed=config.seed,
        card={_ASSEMBLED: made_of},
    )
    print(f"world model: {config.out}")


def _made_of(config: AssembleConfig) -> dict[str, Any]:
    """Settings, and hashes of the files that are read; where those lie does not matter."""
    paths = ("out", "vision", "memory", "latents", "controller")
    return {
        **{name: value for name, value in to_json(config).items() if name not in paths},
        **{f"{name}_sha256": file_sha256(getattr(config, name)) for name in ("vision", "memory", "controller")},
        "latents_sha256": episodes_sha256(config.latents),
        _DESCRIPTION: _description(find(config.world)),
    }


def _description(world: World) -> dict[str, Any]:
    """What a card says of a world as it is described."""
    return {
        "world": world.name,
        "actions": to_card(world.actions),
        "rewards": to_card(world.rewards),
        "aspect": world.aspect,
        "fps": world.fps,
        "max_episode_steps": world.max_episode_steps,
        "preprocess_version": world.preprocess.version,
    }


def _is_there(out: Path, made_of: dict[str, Any]) -> bool:
    """Whether the folder holds this very world model; another one is never replaced."""
    make_folder(out.parent)
    require_bundle_or_nothing(out)
    if not (out / "card.json").exists():
        return False
    found = WorldModel.load(out).card.get(_ASSEMBLED)
    found = found if isinstance(found, dict) else {}
    found = {_DESCRIPTION: made_of[_DESCRIPTION], **found}
    if found == made_of:
        return True
    changed = [
        f"{name}: {found.get(name)!r} there, {value!r} now"
        for name, value in made_of.items()
        if found.get(name) != value
    ]
    raise OutputFolderError(f"{out} holds another world model ({'; '.join(changed)}); choose another folder")
