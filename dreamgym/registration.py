"""Ids and the string entry points behind them: nothing is imported until an environment is made."""

from __future__ import annotations

import gymnasium as gym

__all__ = ["DREAM_ID", "MAX_EPISODE_STEPS", "REAL_ID", "register_envs"]

DREAM_ID = "DreamCarRacing-v0"
"""The dream: M's and V's idea of CarRacing."""

REAL_ID = "LatentCarRacing-v0"
"""The real CarRacing-v3 seen through V and M, with the dream's spaces."""

MAX_EPISODE_STEPS = 1000
"""Frames to an episode, as registered for CarRacing-v3 (20 seconds at 50 frames a second)."""

_ENTRY_POINTS = {
    DREAM_ID: ("dreamgym.dream.env:DreamCarRacingEnv", "dreamgym.dream.vector_env:DreamCarRacingVectorEnv"),
    REAL_ID: ("dreamgym.wrappers.real_env:LatentCarRacingEnv", "dreamgym.wrappers.real_env:LatentCarRacingVectorEnv"),
}


def register_envs() -> None:
    """Register every id with Gymnasium; an id that is already there is left as it is."""
    for env_id, (entry_point, vector_entry_point) in _ENTRY_POINTS.items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=entry_point,
                vector_entry_point=vector_entry_point,
                max_episode_steps=MAX_EPISODE_STEPS,
            )
