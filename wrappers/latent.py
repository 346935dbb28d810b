"""The real environment, seen as the dream shows itself: one environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from dreamgym.encoder import LatentEncoder, LatentState
from dreamgym.world_model import WorldModel
from dreamgym.wrappers.spaces import LatentView, SingleActions, require_frames

__all__ = ["LatentObservation"]


class LatentObservation(gym.Wrapper[NDArray[Any], Any, NDArray[np.uint8], Any], RecordConstructorArgs):
    """Shows CarRacing-v3 through V and M: the observations, and their meaning, of ``DreamCarRacing-v0``.

    z is drawn from V's posterior by a generator of this wrapper's own, seeded by ``reset(seed=...)``: the same seed
    and actions give the same observations to the bit. h is M's hidden state, zero at reset and advanced by the action
    really executed: the one given, or what action transforms beneath this wrapper (``RescaleAction``, ``ClipAction``,
    any ``TransformAction``) make of it. So one policy runs unchanged in the dream and in reality.

    Put ``FrameStackObservation`` and other observation wrappers, ``StickyAction`` and ``RepeatAction`` around this
    wrapper, not beneath it. ``RecordVideo`` works on either side.

    Args:
        env: CarRacing-v3, ``continuous`` or not.
        obs_type: ``"features"``, z and h side by side, float32 of shape (288,), |z| <= 10, |h| <= 1;
            ``"latent"``, z alone, float32 of shape (32,); ``"rgb"``, V's picture of z, uint8 of shape (64, 64, 3).
        latent: ``"sample"`` to draw z from the posterior, as M was trained; ``"mean"`` for the posterior's mean.
        world_model: a bundle, the folder of one, or None for the one that :meth:`WorldModel.load` finds.
        precision: ``"float32"``, or ``"bfloat16"`` for V's convolutions; see :class:`~dreamgym.encoder.LatentEncoder`.

    Raises:
        ConfigError: unknown ``obs_type``, ``latent`` or ``precision``.
        ObservationError: the environment beneath does not show CarRacing's frames, uint8 of shape (96, 96, 3).
        ActionError: its actions are not CarRacing's; in ``step``, a bad action (nothing has changed then).
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
    ) -> None:
        arguments = {"obs_type": obs_type, "latent": latent, "world_model": world_model, "precision": precision}
        RecordConstructorArgs.__init__(self, **arguments, _disable_deepcopy=True)
        gym.Wrapper.__init__(self, env)
        require_frames(env.observation_space, type(self).__name__)
        self._actions = SingleActions(env, type(self).__name__)
        self._view = LatentView(world_model, 1, obs_type, latent, precision)
        self.observation_space = self._view.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode: a track and a stream of noise from ``seed``; None goes on with both."""
        frame, info = self.env.reset(seed=seed, options=options)
        self.encoder.reset(frame[None], seeds=[seed])
        return self._view.observe()[0], info

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Drive one frame. See the class for what is observed and which errors are raised."""
        self.encoder.require_reset()
        passed, executed = self._actions.read(action)
        frame, reward, terminated, truncated, info = self.env.step(passed)
        self.encoder.step(frame[None], executed[None])
        return self._view.observe()[0], float(reward), terminated, truncated, info

    @property
    def world_model(self) -> WorldModel:
        """V, M and the rest of the bundle."""
        return self._view.world_model

    @property
    def encoder(self) -> LatentEncoder:
        """What holds z, h and the generator of noise; a batch of one."""
        return self._view.encoder

    @property
    def latent_state(self) -> LatentState:
        """z, h and c as they are now, copies, float32 of shape (32,), (256,) and (256,)."""
        return LatentState(*(part[0] for part in self.encoder.state))
