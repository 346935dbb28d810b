"""``LatentCarRacing-v0`` as a vector environment: real tracks, encoded as a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from dreamgym._compat import require_pygame
from dreamgym.encoder import LatentState
from dreamgym.errors import ConfigError
from dreamgym.real.world import CAR_RACING
from dreamgym.world_model import WorldModel
from dreamgym.wrappers.vector_latent import StepReturn, VectorLatentObservation

__all__ = ["METADATA", "LatentCarRacingVectorEnv", "car_racing"]

METADATA: Final[dict[str, Any]] = {"render_modes": ["human", "rgb_array"], "render_fps": CAR_RACING.fps}


def car_racing(
    render_mode: str | None, continuous: bool, exact_drawing: bool, max_episode_steps: int | None
) -> gym.Env[NDArray[np.uint8], Any]:
    """CarRacing-v3, Gymnasium's own or drawn faster, with or without a time limit.

    Raises:
        ConfigError: unknown ``render_mode``.
        InstallationError: pygame is missing or broken.
    """
    if render_mode not in (None, *METADATA["render_modes"]):
        raise ConfigError(f"expected render_mode to be None or one of {METADATA['render_modes']}, got {render_mode!r}")
    require_pygame()
    if not exact_drawing:
        limit = -1 if max_episode_steps is None else max_episode_steps  # -1: none, not even the registered one
        arguments = {"render_mode": render_mode, "continuous": continuous}
        return gym.make(CAR_RACING.name, max_episode_steps=limit, disable_env_checker=True, **arguments)
    from dreamgym.real.drawing import ExactCarRacing

    env: gym.Env[NDArray[np.uint8], Any] = ExactCarRacing(render_mode=render_mode, continuous=continuous)
    return env if max_episode_steps is None else gym.wrappers.TimeLimit(env, max_episode_steps)


class LatentCarRacingVectorEnv(VectorEnv[NDArray[Any], Any, NDArray[Any]]):
    """A batch of :class:`LatentCarRacingEnv`, whose frames are encoded at once.

    The real environments run one after another, or in processes of their own (``vectorization="async"``), as in
    Gymnasium's vector environments; V and M run here, in
    :class:`~dreamgym.wrappers.VectorLatentObservation`. Environment i gives, to the bit, what a single one with its
    seed gives alone.

    Args:
        num_envs: how many.
        max_episode_steps: the time limit; None for none.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, as :class:`gymnasium.vector.AutoresetMode` or its value.
        vectorization: ``"sync"`` or ``"async"``.
        render_mode: as the other arguments, see :class:`LatentCarRacingEnv`.
        obs_type: see there.
        latent: see there.
        world_model: see there.
        continuous: see there.
        exact_drawing: see there.
        precision: see there.

    Raises:
        ConfigError: for an argument out of range; else as :class:`~dreamgym.wrappers.VectorLatentObservation`.

    Example:
        >>> import gymnasium as gym
        >>> envs = gym.make_vec("dreamgym:LatentCarRacing-v0", num_envs=2, autoreset_mode="SameStep")
        >>> observations, infos = envs.reset(seed=1)
        >>> observations.shape
        (2, 288)
        >>> envs.close()
    """

    metadata: dict[str, Any] = {**METADATA, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = CAR_RACING.max_episode_steps,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        vectorization: str = "sync",
        render_mode: str | None = None,
        obs_type: str = "features",
        latent: str = "sample",
        world_model: WorldModel | str | Path | None = None,
        continuous: bool = True,
        exact_drawing: bool = False,
        precision: str = "float32",
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"expected num_envs to be at least 1, got {num_envs}")
        if vectorization not in ("sync", "async"):
            raise ConfigError(f'expected vectorization to be "sync" or "async", got {vectorization!r}')
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**METADATA, "autoreset_mode": self.autoreset_mode}
        make = partial(car_racing, render_mode, continuous, exact_drawing, max_episode_steps)
        vectorize = SyncVectorEnv if vectorization == "sync" else AsyncVectorEnv
        real = vectorize([make] * num_envs, autoreset_mode=self.autoreset_mode)
        try:
            self._latent = VectorLatentObservation(real, obs_type, latent, world_model, precision)
        except BaseException:
            real.close()
            raise
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.world_model = self._latent.world_model
        self.single_observation_space = self._latent.single_observation_space
        self.observation_space = self._latent.observation_space
        self.single_action_space = self._latent.single_action_space
        self.action_space = self._latent.action_space

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin episodes, in all environments or by ``options["reset_mask"]``, with seed + i or one for each."""
        return self._latent.reset(seed=seed, options=options)

    def step(self, actions: Any) -> StepReturn:
        """Drive one frame everywhere."""
        return self._latent.step(actions)

    def render(self) -> tuple[Any, ...] | None:
        """CarRacing-v3's pictures, one an environment, uint8 of shape (400, 600, 3)."""
        return self._latent.render()

    def close_extras(self, **kwargs: Any) -> None:
        """Close the real environments and their processes."""
        if hasattr(self, "_latent"):
            self._latent.close(**kwargs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method, or get an attribute, of each real environment."""
        return tuple(self._latent.env.call(name, *args, **kwargs))  # type: ignore[attr-defined]

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each real environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each real environment; a list has one value for each."""
        self._latent.env.set_attr(name, values)  # type: ignore[attr-defined]

    @property
    def latent_state(self) -> LatentState:
        """z, h and c as they are now, copies, float32 of shape (num_envs, 32), (num_envs, 256) and (num_envs, 256)."""
        return self._latent.latent_state

    @property
    def clamped(self) -> int:
        """How many latents were cut to +-10 since construction."""
        return self._latent.encoder.clamped


def _autoreset_mode(value: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(value)
    except ValueError:
        modes = [mode.value for mode in AutoresetMode]
        raise ConfigError(f"expected autoreset_mode to be an AutoresetMode or one of {modes}, got {value!r}") from None
