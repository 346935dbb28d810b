"""From a configuration to a session."""

from __future__ import annotations

import secrets

from dreamgym.config import PlayConfig
from dreamgym.play.drivers import choose, drivers
from dreamgym.play.saving import EpisodeFolder
from dreamgym.play.session import Session
from dreamgym.seeds import COLLECTION_SEEDS
from dreamgym.world_model import WorldModel

__all__ = ["make_session"]

_OWN_SEEDS = 50_000_000
"""The last so many collection seeds, which no configuration of ``dreamgym collect`` reaches, are for play."""


def make_session(config: PlayConfig, default_driver: str) -> Session:
    """The session that a configuration asks for.

    Args:
        config: see :class:`~dreamgym.config.PlayConfig`.
        default_driver: who drives where it does not say.

    Raises:
        BundleError: no world model or controller, or a damaged one.
        OutputFolderError: drives cannot be saved in that folder.
        SeedError: drives are to be saved, on a test track.
    """
    world_model = WorldModel.load(config.world_model)
    found = drivers(world_model, config.controller, trust_pickle=config.trust_pickle)
    folder = None if config.save_episodes is None else EpisodeFolder(config.save_episodes, config)
    seed = config.seed
    if seed is None:
        seed = COLLECTION_SEEDS.stop - _OWN_SEEDS + secrets.randbelow(_OWN_SEEDS // 2)
    return Session(
        world_model,
        found,
        driver=choose(found, config.driver or default_driver),
        view=config.world,
        temperature=config.temperature,
        seed=seed,
        max_steps=config.max_steps,
        folder=folder,
    )
