"""What the latent wrappers ask of the environment beneath them, and which action it executes."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.vector import VectorActionWrapper, VectorEnv, VectorWrapper
from gymnasium.wrappers import MaxAndSkipObservation, TransformAction
from numpy.typing import NDArray

from dreamgym.dream.rendering import decode_frames
from dreamgym.dream.spaces import ActionReader, action_space, observation_space
from dreamgym.encoder import LatentEncoder
from dreamgym.errors import ActionError, ObservationError
from dreamgym.real.world import CAR_RACING, World
from dreamgym.world_model import WorldModel

__all__ = ["LatentView", "SingleActions", "action_reader", "require_frames", "require_plain_actions"]

_RAW_FRAMES: Final = Box(0, 255, (96, 96, 3), np.uint8)
_AnyEnv = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]
_STATEFUL: Final = "gymnasium.wrappers.stateful_action"  # StickyAction, RepeatAction


class LatentView:
    """An encoder, and what an observation type shows of it.

    Args:
        world_model: a bundle, the folder of one, or None for the one that :meth:`WorldModel.load` finds.
        num_envs: rows.
        obs_type: ``"features"``, ``"latent"`` or ``"rgb"``.
        latent: ``"sample"`` or ``"mean"``.
        precision: ``"float32"`` or ``"bfloat16"``.

    Raises:
        ConfigError: unknown ``obs_type``, ``latent`` or ``precision``.
        BundleError: the bundle is missing or damaged.
    """

    def __init__(
        self,
        world_model: WorldModel | str | Path | None,
        num_envs: int,
        obs_type: str,
        latent: str,
        precision: str = "float32",
    ) -> None:
        self.world_model = world_model if isinstance(world_model, WorldModel) else WorldModel.load(world_model)
        memory = self.world_model.memory
        self.space = observation_space(obs_type, memory.latent_size, memory.hidden_size)
        self.encoder = LatentEncoder(self.world_model, num_envs, latent=latent, precision=precision)
        self._obs_type = obs_type

    def observe(self) -> NDArray[Any]:
        """The observations, a copy with leading dimension num_envs."""
        if self._obs_type == "rgb":
            return decode_frames(self.world_model.vision, self.encoder.latent_tensor()).numpy()
        return self.encoder.features() if self._obs_type == "features" else self.encoder.latents()


class SingleActions:
    """From an action given to a wrapper around one environment to the action that the car executes.

    A ``TransformAction`` beneath is asked once here and once by itself: it must give the same both times.

    Args:
        env: ends, under its wrappers, in the world's environment.
        wrapper: who asks, for the message.

    Raises:
        ActionError: another action space than the world's, or a wrapper that hides what is executed.
    """

    def __init__(self, env: gym.Env[Any, Any], wrapper: str) -> None:
        self._shape = env.action_space.shape
        self._transforms: list[Callable[[Any], Any]] = []
        layer = env
        while isinstance(layer, gym.Wrapper):
            if isinstance(layer, TransformAction):
                self._transforms.append(layer.action)
            elif _acts_otherwise(layer):
                raise _hidden(layer, wrapper)
            layer = layer.env
        self._continuous = isinstance(layer.action_space, Box)
        self._reader = action_reader(layer.action_space, wrapper)

    def read(self, action: Any) -> tuple[Any, NDArray[np.float32]]:
        """The action to pass on, and the one that is executed, float32 of shape (A,).

        Raises:
            ActionError: wrong type or shape, not finite, or outside the space by more than 1e-6.
        """
        if not self._transforms:
            executed = self._reader.read(action, ()).numpy()
            return (executed if self._continuous else int(action)), executed
        if np.shape(action) != self._shape:
            raise ActionError(f"expected an action of shape {self._shape}, got {action!r}")
        transformed = reduce(lambda value, transform: transform(value), self._transforms, action)
        return action, self._reader.read(transformed, ()).numpy()


def require_plain_actions(env: _AnyEnv, wrapper: str) -> None:
    """Raise ActionError where a wrapper around a batch, or one environment of it, executes other actions than given."""
    while isinstance(env, gym.Wrapper | VectorWrapper):
        if _acts_otherwise(env):
            raise _hidden(env, wrapper)
        env = env.env


def _acts_otherwise(layer: _AnyEnv) -> bool:
    # MaxAndSkipObservation repeats the action.
    changes = isinstance(layer, gym.ActionWrapper | MaxAndSkipObservation | VectorActionWrapper)
    return changes or type(layer).__module__ == _STATEFUL


def _hidden(layer: _AnyEnv, wrapper: str) -> ActionError:
    name = type(layer).__name__
    return ActionError(
        f"{wrapper} must know the action that is executed, which {name} beneath it hides: "
        f"expected {name} around {wrapper}, got {wrapper} around {name}"
    )


def action_reader(space: Space[Any], wrapper: str, world: World = CAR_RACING) -> ActionReader:
    """The reader of the world's actions, continuous or discrete.

    Raises:
        ActionError: the space is neither.
    """
    continuous, discrete = action_space(world, True), action_space(world, False)
    if space not in (continuous, discrete):
        raise ActionError(
            f"{wrapper} expected {world.name}'s actions, {continuous} or {discrete}; got {space}. {_remedy(world)}"
            f"change actions around {wrapper}"
        )
    return ActionReader(world, continuous=not isinstance(space, Discrete))


def require_frames(space: Space[Any], wrapper: str, world: World = CAR_RACING) -> None:
    """Raise ObservationError unless the space is that of the world's frames, uint8 of shape (96, 96, 3)."""
    if space != _RAW_FRAMES:
        raise ObservationError(
            f"{wrapper} expected {world.name}'s frames, {_RAW_FRAMES}; got {space}. {_remedy(world)}"
            f"change observations, such as FrameStackObservation, around {wrapper}"
        )


def _remedy(world: World) -> str:
    return f'Wrap gym.make("{world.name}") or gym.make_vec("{world.name}") itself, and put wrappers that '
