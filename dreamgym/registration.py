"""Ids and the string entry points behind them: nothing is imported until an environment is made."""

from __future__ import annotations

from typing import Any, Final

import gymnasium as gym

from dreamgym.worlds import registry
from dreamgym.worlds.base import World

__all__ = [
    "ANY_DREAM_ID",
    "ANY_LATENT_ID",
    "DREAM_ID",
    "REAL_ID",
    "register_envs",
    "register_world",
]

DREAM_ID: Final = registry.find().dream_id
"""The default world's dream."""

REAL_ID: Final = registry.find().latent_id
"""The default world's real environment, seen through V and M, with the dream's spaces."""

ANY_DREAM_ID: Final = "Dream-v0"
"""The dream of any bundle: ``gym.make("dreamgym:Dream-v0", world_model=FOLDER)``."""

ANY_LATENT_ID: Final = "Latent-v0"
"""The real environment of any bundle's world: ``gym.make("dreamgym:Latent-v0", world_model=FOLDER, world=WORLD)``."""

_DREAM: Final = "dreamgym.dream.env"
_LATENT: Final = "dreamgym.wrappers.latent_env"
_DREAMS: Final = "dreamgym.dream.vector_env:DreamVectorEnv"
_LATENTS: Final = "dreamgym.wrappers.latent_vector_env:LatentVectorEnv"
_OWN_MANUALS: Final = {"CarRacing"}  # worlds whose environments are classes with docstrings of their own


def register_envs() -> None:
    """Register every id that Gymnasium does not have yet."""
    for name in registry.names():
        _register_ids(registry.find(name))
    _register(ANY_DREAM_ID, f"{_DREAM}:BundleDreamEnv", _DREAMS, None, {})
    _register(ANY_LATENT_ID, f"{_LATENT}:BundleLatentEnv", _LATENTS, None, {})


def register_world(world: World) -> None:
    """Add a world of your own, with ids of its own.

    Its ids are ``Dream<name>-v0`` and ``Latent<name>-v0``.

    Another description of the same name is replaced, and its ids with it.
    """
    registry.register(world)
    for env_id in (world.dream_id, world.latent_id):
        gym.registry.pop(env_id, None)
    _register_ids(world)


def _register_ids(world: World) -> None:
    own = world.name if world.name in _OWN_MANUALS else ""
    limit = world.max_episode_steps
    _register(world.dream_id, f"{_DREAM}:Dream{own}Env", _DREAMS, limit, {"world": world.name})
    # Reality needs the description, which a process of its own may have to import.
    _register(world.latent_id, f"{_LATENT}:Latent{own}Env", _LATENTS, limit, {"world": world.origin or world.name})


def _register(
    env_id: str, entry_point: str, vector_entry_point: str, max_episode_steps: int | None, arguments: dict[str, Any]
) -> None:
    if env_id not in gym.registry:
        gym.register(
            env_id,
            entry_point=entry_point,
            vector_entry_point=vector_entry_point,
            max_episode_steps=max_episode_steps,
            kwargs=arguments,
        )
