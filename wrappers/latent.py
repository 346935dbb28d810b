"""The real environment, seen as the dream shows itself: one environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from dreamgym.dream.latent_encoder import LatentState
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World
from dreamgym.wrappers.spaces import (
    LatentView,
    SingleActions,
    SkipGuard,
    Viewed,
    open_world,
    require_frames,
    require_world,
)

__all__ = ["LatentObservation"]


class LatentObservation(Viewed, gym.Wrapper[NDArray[Any], Any, NDArray[np.uint8], Any], RecordConstructorArgs):
    """A real environment seen through V and M, with its dream's observations.

    z is drawn from V's posterior by a generator of this wrapper's own, seeded by ``reset(seed=...)``: the same seed
    and actions give the same observations to the bit. h is M's hidden state, zero at reset and advanced by the action
    really executed: the one given, or what action transforms beneath this wrapper (``RescaleAction``, ``ClipAction``,
    any ``TransformAction``) make of it. So one policy runs unchanged in the dream and in reality.

    Put ``FrameStackObservation`` and other observation wrappers, ``StickyAction`` and ``RepeatAction`` around this
    wrapper, not beneath it. ``RecordVideo`` works on either side.

    Args:
        env: the environment of the bundle's world, such as CarRacing-v3.
        obs_type: ``"features"``, z and h side by side, float32 of shape (Z + H,), |z| <= 10, |h| <= 1;
            ``"latent"``, z alone, float32 of shape (Z,); ``"rgb"``, V's picture of z, uint8 of shape (64, 64, 3).
        latent: ``"sample"`` to draw z from the posterior, as M was trained; ``"mean"`` for the posterior's mean.
        world_model: a bundle, the folder of one, or None for the one that :meth:`WorldModel.load` finds.
        precision: ``"float32"``, ``"bfloat16"`` or ``"auto"``, of V's convolutions; see
            :class:`~dreamgym.dream.latent_encoder.LatentEncoder`.
        world: the description of the world, its name or ``module:OBJECT``; None for the registered one that the bundle
            names.

    Raises:
        ConfigError: unknown ``obs_type``, ``latent``, ``precision`` or ``world``.
        ObservationError: the environment beneath does not show the world's frames, or is not the world as it was
            recorded; in ``step``, a wrapper beneath made several of the world's steps of one.
        ActionError: its actions are not the world's; in ``step``, a bad action (nothing has changed then).
        ResetNeededError: ``step`` before ``reset``.
        BundleError: the bundle is missing or damaged.

    Example:
        >>> import gymnasium as gym
        >>> from dreamgym.wrappers import LatentObservation
        >>> env = LatentObservation(gym.make("CarRacing-v3"))
        >>> observation, info = env.reset(seed=1)
        >>> observation.shape, observation.dtype
        ((288,), dtype('float32'))
        >>> bool((observation[32:] == 0.0).all())  # M has seen nothing yet
        True
        >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        >>> env.observation_space.contains(observation)
        True
        >>> env.close()
    """

    def __init__(
        self,
        env: gym.Env[NDArray[np.uint8], Any],
        obs_type: str = "features",
        latent: str = "sample",
        world_model: WorldModel | str | Path | None = None,
        precision: str = "float32",
        world: World | str | None = None,
    ) -> None:
        arguments = {"obs_type": obs_type, "latent": latent, "world_model": world_model, "precision": precision}
        RecordConstructorArgs.__init__(self, **arguments, world=world, _disable_deepcopy=True)
        gym.Wrapper.__init__(self, env)
        name = type(self).__name__
        opened, described = open_world(world_model, world)
        require_world(env, name, described)
        require_frames(env.observation_space, name, described)
        self._actions = SingleActions(env, name, described)
        self._skips = SkipGuard([env], name, described)
        self._view = LatentView(opened, described, 1, obs_type, latent, precision)
        self.observation_space = self._view.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode.

        The world and a stream of noise are seeded by ``seed``; None goes on with both.
        """
        frame, info = self.env.reset(seed=seed, options=options)
        self.encoder.reset(frame[None], seeds=[seed])
        self._skips.note()
        return self._view.observe()[0], info

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Make one step. See the class for what is observed and which errors are raised."""
        self.encoder.require_reset()
        passed, executed = self._actions.read(action)
        self._skips.before_step()
        frame, reward, terminated, truncated, info = self.env.step(passed)
        self._skips.after_step()
        self.encoder.step(frame[None], executed[None])
        return self._view.observe()[0], float(reward), terminated, truncated, info

    @property
    def latent_state(self) -> LatentState:
        """z, h and c as they are now, copies.

        float32 of shape (Z,), (H,) and (H,).
        """
        return LatentState(*(part[0] for part in self.encoder.state))
