"""What the latent wrappers ask of the environment beneath them, and which action it executes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.vector import VectorActionWrapper, VectorEnv, VectorWrapper
from gymnasium.wrappers import MaxAndSkipObservation, TransformAction
from numpy.typing import NDArray

from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.dream.options import open_world_model
from dreamgym.dream.rendering import decode_frames
from dreamgym.dream.spaces import ActionReader, observation_space
from dreamgym.errors import ActionError, BundleVersionError, ConfigError, ObservationError, ResetNeededError
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import BUILT_IN, find, find_registered

__all__ = [
    "LatentView",
    "SingleActions",
    "SkipGuard",
    "action_reader",
    "open_world",
    "require_frames",
    "require_plain_actions",
    "require_world",
]

_AnyEnv = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]
_STATEFUL: Final = "gymnasium.wrappers.stateful_action"  # StickyAction, RepeatAction


def open_world(world_model: WorldModel | str | Path | None, world: World | str | None) -> tuple[WorldModel, World]:
    """A world model, and the description of the world that it was made from.

    Args:
        world_model: a bundle, the folder of one, or None for the one that :meth:`WorldModel.load` finds.
        world: a description, its name or ``module:OBJECT``; None for the registered world that the bundle names.

    Raises:
        ConfigError: the bundle's world is not registered and none is given.
        BundleError: the bundle is missing, damaged, or of another world or other actions.
    """
    described = None if world is None else find(world)
    # Of a world of one's own there is no bundle in the package.
    opened = open_world_model(world_model, world if world_model is None and isinstance(world, str) else None)
    name = opened.world_name
    if described is None:
        try:
            described = find_registered(name)
        except ConfigError as error:
            raise ConfigError(
                f"world: expected the description of {name!r}, the bundle's world, which is not registered here; pass "
                "world= as a World or module:OBJECT, or register it with dreamgym.register_world"
            ) from error
    if described.name != name:
        raise BundleVersionError(f"world_model: expected one of {described.name!r}, got one of {name!r}")
    opened.require_fit(described)
    return opened, described


class LatentView:
    """An encoder, and what an observation type shows of it.

    Args:
        world_model: the bundle.
        world: that it was made from.
        num_envs: rows.
        obs_type: ``"features"``, ``"latent"`` or ``"rgb"``.
        latent: ``"sample"`` or ``"mean"``.
        precision: ``"float32"``, ``"bfloat16"`` or ``"auto"``.

    Raises:
        ConfigError: unknown ``obs_type``, ``latent`` or ``precision``.
    """

    def __init__(
        self, world_model: WorldModel, world: World, num_envs: int, obs_type: str, latent: str, precision: str
    ) -> None:
        self.world_model = world_model
        memory = world_model.memory
        self.space = observation_space(obs_type, memory.latent_size, memory.hidden_size)
        self.encoder = LatentEncoder(
            world_model, num_envs, latent=latent, precision=precision, preprocess=world.preprocess
        )
        self._obs_type = obs_type

    def observe(self) -> NDArray[Any]:
        """The observations, a copy with leading dimension num_envs."""
        if self._obs_type == "rgb":
            return decode_frames(self.world_model.vision, self.encoder.latent_tensor()).numpy()
        return self.encoder.features() if self._obs_type == "features" else self.encoder.latents()


class Viewed:
    """Gives the world model and the encoder behind latent observations."""

    _view: LatentView

    @property
    def world_model(self) -> WorldModel:
        """V, M and the rest of the bundle."""
        return self._view.world_model

    @property
    def encoder(self) -> LatentEncoder:
        """What holds z, h and the noise; a single environment's is a batch of one."""
        return self._view.encoder


class SingleActions:
    """From an action given to a wrapper to the one that is executed.

    A ``TransformAction`` beneath is asked once here and once by itself: it must give the same both times.

    Args:
        env: ends, under its wrappers, in the world's environment.
        wrapper: who asks, for the message.
        world: whose actions are expected.

    Raises:
        ActionError: another action space than the world's, or a wrapper that hides what is executed.
    """

    def __init__(self, env: gym.Env[Any, Any], wrapper: str, world: World) -> None:
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
        self._reader = action_reader(layer.action_space, wrapper, world)

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
    """Raise ActionError where other actions are executed than were given.

    For a wrapper around a batch, and for each environment of it.
    """
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


def action_reader(space: Space[Any], wrapper: str, world: World) -> ActionReader:
    """The reader of the world's actions, continuous or discrete.

    Raises:
        ActionError: the space is neither.
    """
    actions = world.actions
    kinds = [kind for kind, there in ((True, actions.box), (False, bool(actions.discrete))) if there]
    spaces = [actions.space(kind) for kind in kinds]
    if space not in spaces:
        raise ActionError(
            f"{wrapper} expected {world.env_id}'s actions, {' or '.join(map(str, spaces))}; got {space}. "
            f"{_remedy(world)}change actions around {wrapper}"
        )
    return ActionReader(world.actions, continuous=not isinstance(space, Discrete))


def require_frames(space: Space[Any], wrapper: str, world: World) -> None:
    """Raise ObservationError unless the space is that of the world's raw frames, uint8."""
    frames = Box(0, 255, world.preprocess.raw_shape, np.uint8)
    if space != frames:
        raise ObservationError(
            f"{wrapper} expected {world.env_id}'s frames, {frames}; got {space}. {_remedy(world)}"
            f"change observations, such as FrameStackObservation, around {wrapper}"
        )


def require_world(env: gym.Env[Any, Any], wrapper: str, world: World) -> None:
    """Raise ObservationError where an environment is not the world as it was recorded."""
    reason = world.accepts(env)
    if reason is not None:
        raise ObservationError(f"{wrapper} expected {world.env_id} as it was recorded for V and M: {reason}")


class SkipGuard:
    """Checks that each of a wrapper's steps is one step of the world.

    Where the simulator tells its time.

    A wrapper that skips frames makes several. A copy of the environment may begin anew, unlike the wrapper around it.

    Args:
        envs: beneath the wrapper.
        wrapper: who asks, for the message.
        world: tells the time.
    """

    def __init__(self, envs: Sequence[gym.Env[Any, Any]], wrapper: str, world: World) -> None:
        self._envs = envs
        self._wrapper = wrapper
        self._world = world
        self._times: list[int | None] = []

    def note(self) -> None:
        """Note the time, after a reset."""
        self._times = [self._world.simulated_steps(env) for env in self._envs]

    def before_step(self) -> None:
        """Raise ResetNeededError where the time is not the noted one."""
        now = [self._world.simulated_steps(env) for env in self._envs]
        if now != self._times:
            rows = [row for row, (one, other) in enumerate(zip(now, self._times, strict=True)) if one != other]
            raise ResetNeededError(
                f"environments {rows} are not where {self._wrapper} left them: a copy of {self._world.env_id} begins "
                f"anew, and what is reset or stepped beneath {self._wrapper} is unknown to it; call reset()"
            )

    def after_step(self, whole: NDArray[np.bool_] | None = None) -> None:
        """Raise ObservationError where more or less than one step was made.

        Args:
            whole: environments that were not reset in between, bool of shape (num_envs,); None for all.
        """
        for index, (env, before) in enumerate(zip(self._envs, self._times, strict=True)):
            now = self._world.simulated_steps(env)
            if before is None or now is None or now == before + 1 or not (whole is None or whole[index]):
                continue
            raise ObservationError(
                f"{self._wrapper} expected {self._world.env_id} to make one step of its own in each, as M does; got "
                f"{now - before}. Put a wrapper that skips or repeats frames around {self._wrapper}, not beneath it"
            )
        self.note()


def _remedy(world: World) -> str:
    made = "what the description's make_env() makes"
    if world.name in BUILT_IN:
        made = f'gym.make("{world.env_id}") or gym.make_vec("{world.env_id}")'
    return f"Wrap {made} itself, and put wrappers that "
