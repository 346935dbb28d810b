"""Real environments seen through V and M, as a vector environment: their frames are encoded as a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from dreamgym.dream.options import (
    has_render_mode,
    parse_autoreset_mode,
    parse_steps,
    refuse_dream_options,
    require_count,
    require_flag,
)
from dreamgym.errors import ConfigError
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World
from dreamgym.wrappers.remade import Remade
from dreamgym.wrappers.spaces import open_world
from dreamgym.wrappers.vector_latent import StepReturn, VectorLatentObservation

__all__ = ["METADATA", "LatentVectorEnv"]

METADATA: Final[dict[str, Any]] = {"render_modes": ["human", "rgb_array"], "render_fps": 50}
"""The frame rate of an instance is its world's."""


class LatentVectorEnv(Remade, VectorEnv[NDArray[Any], Any, NDArray[Any]]):
    """A batch of :class:`~dreamgym.wrappers.latent_env.LatentEnv`, whose frames are encoded at once.

    The real environments run one after another, or in processes of their own (``vectorization="async"``), as in
    Gymnasium's vector environments; V and M run here, in
    :class:`~dreamgym.wrappers.VectorLatentObservation`. Environment i gives, to the bit, what a single one with its
    seed gives alone. A copy begins anew, as the simulators do: reset it first.

    Args:
        num_envs: how many.
        max_episode_steps: the time limit; "world" for the world's, None for none.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, as :class:`gymnasium.vector.AutoresetMode` or its value.
        vectorization: ``"sync"`` or ``"async"``.
        render_mode: as the other arguments, see :class:`~dreamgym.wrappers.latent_env.LatentEnv`.
        obs_type: see there.
        latent: see there.
        world_model: see there.
        continuous: see there.
        exact_drawing: see there.
        precision: see there.
        world: see there.

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
    _latent: VectorLatentObservation

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | Literal["world"] | None = "world",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        vectorization: str = "sync",
        render_mode: str | None = None,
        obs_type: str = "features",
        latent: str = "sample",
        world_model: WorldModel | str | Path | None = None,
        continuous: bool | None = None,
        exact_drawing: bool = False,
        precision: str = "float32",
        world: World | str | None = None,
    ) -> None:
        require_count("num_envs", num_envs)
        require_flag("exact_drawing", exact_drawing)
        if vectorization not in ("sync", "async"):
            raise ConfigError(f'expected vectorization to be "sync" or "async", got {vectorization!r}')
        self.autoreset_mode = parse_autoreset_mode(autoreset_mode)
        opened, described = open_world(world_model, world)
        described.actions.space(continuous)  # refuses what is no choice of the world's
        limit = parse_steps("max_episode_steps", max_episode_steps, described.max_episode_steps)
        self.metadata = {**METADATA, "render_fps": described.fps, "autoreset_mode": self.autoreset_mode}
        make = partial(
            described.make_env,
            render_mode=render_mode,
            max_episode_steps=limit,
            exact_drawing=exact_drawing,
            continuous=continuous,
        )
        vectorize = SyncVectorEnv if vectorization == "sync" else AsyncVectorEnv
        real = vectorize([make] * num_envs, autoreset_mode=self.autoreset_mode)
        try:
            self._latent = VectorLatentObservation(real, obs_type, latent, opened, precision, described)
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
        """Begin episodes, in all environments or by ``options["reset_mask"]``.

        Environment i gets seed + i, or each its own.
        """
        refuse_dream_options(options)
        return self._latent.reset(seed=seed, options=options)

    def step(self, actions: Any) -> StepReturn:
        """Make one step everywhere."""
        return self._latent.step(actions)

    def render(self) -> tuple[Any, ...] | None:
        """The real environments' pictures, one each; None without a mode.

        Such as uint8 of shape (400, 600, 3).

        Raises:
            ResetNeededError: before the first reset.
        """
        self._latent.encoder.require_reset()
        if not has_render_mode(self.render_mode, "gym.make_vec"):
            return None
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
