"""One real episode of a policy that sees through V and M."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.dream.spaces import ActionRange
from dreamgym.evaluate.policies import Policy, begin_episodes
from dreamgym.evaluate.scores import EpisodeScore, score_episode
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World
from dreamgym.worlds.real_envs import RealEnvs

__all__ = ["AS_IN_USE", "RealSettings", "play_episode"]


@dataclass(frozen=True)
class RealSettings:
    """How real episodes are played, and how the policy sees them."""

    latent: str = "sample"
    """``"sample"`` or ``"mean"``, as in :class:`~dreamgym.dream.latent_encoder.LatentEncoder`."""
    exact_drawing: bool = True
    """Draw with the world's own fast drawing, where it has one; False for the environment's."""
    max_episode_steps: int | None = None
    """The time limit; the world's when None."""
    noise: int = 0
    """Which noise z has in an episode, 0 or more: with another, the same episode is seen a little otherwise."""

    def limit(self, world: World) -> int:
        """The time limit in a world."""
        return self.max_episode_steps or world.max_episode_steps


AS_IN_USE: Final = RealSettings()


def play_episode(
    policy: Policy,
    seed: int,
    world_model: WorldModel,
    world: World,
    settings: RealSettings = AS_IN_USE,
    envs: RealEnvs | None = None,
) -> EpisodeScore:
    """Play one real episode in this process.

    It is a function of the seed and the noise alone.

    Args:
        policy: features, float32 (1, Z + H), to actions, (1, A).
        seed: of the episode.
        world_model: V and M.
        world: the description of the real environment.
        settings: see :class:`RealSettings`.
        envs: gives the environment; of a process that plays many episodes.

    Raises:
        ActionError: the policy's action is of the wrong shape, not finite or out of range.
    """
    actions, steps = world.actions, settings.limit(world)
    envs = RealEnvs(world, exact_drawing=settings.exact_drawing, keep=False) if envs is None else envs
    with envs.episode(steps) as env:
        frame, info = env.reset(seed=seed)
        encoder = LatentEncoder(world_model, latent=settings.latent, preprocess=world.preprocess)
        encoder.reset(frame[None], seeds=[seed + (settings.noise << 32)])
        begin_episodes(policy, [seed])
        limits = ActionRange(actions, 1, torch.device("cpu"))
        rewards = []
        terminated = truncated = False
        while not (terminated or truncated):
            wanted = torch.from_numpy(np.asarray(policy(encoder.features()), np.float32))
            (executed,) = limits.executed(wanted, None).numpy()
            frame, reward, terminated, truncated, info = env.step(actions.as_given(executed))
            rewards.append(float(reward))
            encoder.step(frame[None], executed[None])
        made, units = world.progress_made(env)
        return score_episode(
            seed,
            rewards,
            progress=made / units,
            units=units,
            terminated=terminated,
            complete=world.rewards.completed(info),
            max_episode_steps=steps,
            constant=world.rewards.constant,
        )
