"""What runs a dream outside Python needs to know of it, as JSON values: sizes, actions, rewards, time."""

from __future__ import annotations

from typing import Any

from dreamgym.memory.mdn_rnn import LATENT_LIMIT
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import to_card

__all__ = ["manifest"]


def manifest(world_model: WorldModel) -> dict[str, Any]:
    """The world's constants and the model's sizes.

    This is the only place that knows where a bundle has them.

    Returns:
        ``world``, ``sizes``, ``actions`` and ``rewards`` as in the bundle's card, ``fps``, ``max_episode_steps``,
        ``temperature``, the limits of latents and log sigmas, and the picture's ``proportions``, width and height.
    """
    memory = world_model.memory
    return {
        "world": world_model.world_name,
        "sizes": {
            "latents": memory.latent_size,
            "hidden": memory.hidden_size,
            "mixtures": memory.mixtures,
            "factors": memory.factors,
            "actions": memory.action_size,
        },
        "actions": to_card(world_model.actions),
        "rewards": to_card(world_model.rewards),
        "fps": world_model.fps,
        "max_episode_steps": world_model.max_episode_steps,
        "temperature": world_model.temperature,
        "latent_limit": LATENT_LIMIT,
        "log_sigma": [LOG_SIGMA_MIN, LOG_SIGMA_MAX],
        "proportions": [world_model.aspect, 1.0],
    }
