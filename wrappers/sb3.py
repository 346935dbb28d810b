"""The native vector environments as Stable-Baselines3 takes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Space, Tuple
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from dreamgym.dream.options import require_count
from dreamgym.errors import ConfigError, InstallationError
from dreamgym.wrappers.infos import has_rows, info_rows, split_rows

try:
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as error:
    raise InstallationError(
        "SB3VecEnv wanted stable-baselines3, which is not installed; run: pip install 'dreamgym[sb3]'"
    ) from error

__all__ = ["SB3VecEnv"]

Indices = int | Iterable[int] | None


class SB3VecEnv(VecEnv):
    """A Gymnasium vector environment as a Stable-Baselines3 ``VecEnv``, without a process or loop per environment.

    Environments are reset in the step in which they end (``AutoresetMode.SAME_STEP``), and the infos of such a step
    hold ``terminal_observation`` and ``TimeLimit.truncated``, so ``VecMonitor``, ``VecNormalize``, ``VecFrameStack``,
    ``VecVideoRecorder`` and ``evaluate_policy`` work as over SB3's own. Observations, rewards (float32), dones (bool)
    and infos are copies. Float actions are clipped to the action space, as SB3's algorithms do.

    A policy trained here runs unchanged in ``gym.make("dreamgym:LatentCarRacing-v0")``. Trained with
    ``rescale_actions=True`` it runs in ``RescaleAction(gym.make("dreamgym:LatentCarRacing-v0"), -1, 1)``, with
    :class:`gymnasium.wrappers.RescaleAction`.

    Args:
        env: an id, made with ``gym.make_vec(env, num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP,
            **kwargs)``, or a vector environment that resets in the same step.
        num_envs: how many, for an id; a vector environment has its own number.
        rescale_actions: let policies act in [-1, 1] in every dimension (a Gaussian policy's own range), mapped
            linearly to the environment's: -1 is no gas and no brake, 0 is half of each.
        **kwargs: for an id, arguments of the environment.

    Raises:
        ConfigError: the vector environment does not reset in the same step, has observations of several parts, or
            already exists and came with arguments; actions to be rescaled are not a bounded Box.
        InstallationError: (at import) Stable-Baselines3 is not installed.

    Example:
        >>> import numpy as np
        >>> from dreamgym.wrappers import SB3VecEnv
        >>> venv = SB3VecEnv("dreamgym:LatentCarRacing-v0", num_envs=2)
        >>> venv.reset().shape
        (2, 288)
        >>> observations, rewards, dones, infos = venv.step(np.zeros((2, 3), np.float32))
        >>> rewards.dtype, dones.dtype, len(infos)
        (dtype('float32'), dtype('bool'), 2)
        >>> venv.close()
    """

    def __init__(
        self,
        env: str | VectorEnv[Any, Any, Any],
        num_envs: int | None = None,
        *,
        rescale_actions: bool = False,
        **kwargs: Any,
    ) -> None:
        self.env = _vector_env(env, num_envs, kwargs)
        space = self.env.single_action_space
        self._rescale = _rescaling(space) if rescale_actions else None
        if rescale_actions:
            space = Box(-1.0, 1.0, space.shape, np.float32)
        self._actions: NDArray[Any] | None = None
        super().__init__(self.env.num_envs, self.env.single_observation_space, space)
        self.metadata = dict(self.env.metadata)

    def reset(self) -> NDArray[Any]:
        """Begin an episode everywhere, with the seeds of :meth:`seed` and the options of :meth:`set_options`."""
        options = self._options[0]
        if not all(_alike(other, options) for other in self._options):
            raise ConfigError(
                f"expected the same reset options for all environments, got {self._options}; a native vector "
                "environment takes one dict for all"
            )
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observations, infos = self.env.reset(seed=seeds, options=options or None)  # type: ignore[arg-type]
        self.reset_infos = info_rows(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return np.array(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for :meth:`step_wait`, (num_envs, ...)."""
        if isinstance(self.action_space, Box):
            actions = np.clip(actions, self.action_space.low, self.action_space.high)
        self._actions = actions if self._rescale is None else self._rescale(actions)

    def step_wait(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step; observations (num_envs, ...), float32 rewards, bool dones and a dict of infos an environment."""
        observations, rewards, terminations, truncations, infos = self.env.step(self._actions)
        dones = np.logical_or(terminations, truncations)
        rows = info_rows(infos, self.num_envs)
        if dones.any():
            # Where an episode ended, infos are those of the reset that followed.
            final_infos = info_rows(infos.get("final_info", {}), self.num_envs)
            for row in np.flatnonzero(dones).tolist():
                # What Gymnasium's RecordEpisodeStatistics adds is of the episode that ended.
                ended = {"episode": rows[row].pop("episode")} if "episode" in rows[row] else {}
                self.reset_infos[row] = rows[row]
                ended |= final_infos[row]
                rows[row] = {**ended, "terminal_observation": np.array(infos["final_obs"][row])}
        for info, late in zip(rows, (truncations & ~terminations).tolist(), strict=True):
            info["TimeLimit.truncated"] = late
        return np.array(observations), np.array(rewards, np.float32), dones, rows

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """A picture of each environment, uint8 of shape (height, width, 3)."""
        if self.render_mode != "rgb_array":
            warnings.warn(
                f'get_images() wanted render_mode="rgb_array", got {self.render_mode!r}; there are no images',
                stacklevel=2,
            )
            return [None] * self.num_envs
        images: Any = self.env.render()
        return list(images)

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute for each environment.

        A row of the vector environment's, where that is an array or a tensor with a row for each, else the same for
        all; or the attribute of each environment inside it.

        Raises:
            AttributeError: no such attribute.
        """
        name = _SINGLE.get(attr_name, attr_name)
        layer = self._layer(name)
        inside = self._layer("envs")
        if layer is not None:
            values = split_rows(getattr(layer, name), self.num_envs)
        elif inside is not None:
            values = [env.get_wrapper_attr(name) for env in inside.envs]
        else:
            values = self._inside(name).call(name)
        return [values[index] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of the vector environment, or its rows.

        Rows are set where it has one for each environment.

        A new one is set where environments stand inside, in each of those named; else in the vector environment.

        Raises:
            ConfigError: only some environments were named, and the attribute is one for all.
        """
        layer = self._layer(attr_name)
        chosen = list(self._get_indices(indices))
        inside = self._layer("envs")
        if layer is None and inside is not None:
            for index in chosen:
                inside.envs[index].set_wrapper_attr(attr_name, value)
        elif layer is None and self._layer("set_attr") is not None:
            values = self.get_attr(attr_name) if indices is not None else [value] * self.num_envs
            for index in chosen:
                values[index] = value
            self._inside(attr_name).set_attr(attr_name, values)
        elif indices is None:
            setattr(layer or self.env.unwrapped, attr_name, value)
        elif attr_name == "temperature" and hasattr(layer, "set_temperature"):
            mask = np.zeros(self.num_envs, np.bool_)
            mask[chosen] = True
            layer.set_temperature(value, mask)
        elif layer is None or not has_rows(getattr(layer, attr_name), self.num_envs):
            raise ConfigError(f"{attr_name} is one for all environments: expected indices=None, got {indices}")
        else:
            current = np.array(getattr(layer, attr_name))
            current[chosen] = value
            setattr(layer, attr_name, current)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment, or of each inside it.

        Raises:
            AttributeError: no such method.
            ConfigError: only some environments were named, or what begins and steps them all, which returns no list.
        """
        if method_name in ("reset", "step"):
            raise ConfigError(f"env_method: {method_name} is for all environments at once; call {method_name}() itself")
        order = list(self._get_indices(indices))
        if sorted(order) != list(range(self.num_envs)):
            raise ConfigError(
                f"a native vector environment's methods act on all environments: expected indices=None, got {indices}"
            )
        layer = self._layer(method_name)
        if layer is None:
            result = self._inside(method_name).call(method_name, *method_args, **method_kwargs)
        else:
            result = getattr(layer, method_name)(*method_args, **method_kwargs)
        one_each = isinstance(result, (tuple, list)) and len(result) == self.num_envs
        rows = list(result) if one_each else split_rows(result, self.num_envs)
        return [rows[index] for index in order]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Indices = None) -> list[bool]:
        """Whether a wrapper of this class is around each environment, Gymnasium's vector wrappers included."""
        around = any(isinstance(layer, wrapper_class) for layer in _layers(self.env))
        inside = getattr(self._layer("envs"), "envs", None) or [None] * self.num_envs
        wrapped = [around or any(isinstance(layer, wrapper_class) for layer in _layers(env)) for env in inside]
        return [wrapped[index] for index in self._get_indices(indices)]

    def _layer(self, name: str) -> Any:
        """The outermost vector wrapper or environment that has an attribute, or None."""
        return next((layer for layer in _layers(self.env) if hasattr(layer, name)), None)

    def _inside(self, name: str) -> Any:
        """The layer that reaches into environments inside it, as SyncVectorEnv does."""
        layer = self._layer("call")
        if layer is None:
            raise AttributeError(f"{self.env} has no attribute {name!r}")
        return layer


# What SB3 asks of one environment, under the name that a vector environment has it by.
_SINGLE = {"observation_space": "single_observation_space", "action_space": "single_action_space"}


def _layers(env: Any) -> Iterable[Any]:
    """An environment's wrappers from outside to inside, and itself."""
    while env is not None:
        yield env
        env = getattr(env, "env", None)


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two environments' reset options are the same; they may hold arrays."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _vector_env(env: Any, num_envs: int | None, kwargs: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    if "n_envs" in kwargs:
        raise ConfigError("n_envs: SB3VecEnv calls it num_envs, as Gymnasium does")
    if num_envs is not None:
        require_count("num_envs", num_envs)
    if isinstance(env, str):
        env = _made(env, 1 if num_envs is None else num_envs, kwargs)
    elif not isinstance(env, VectorEnv):
        raise ConfigError(
            f"expected an id or a vector environment, got {env!r}; put functions that make environments into "
            "gymnasium.vector.SyncVectorEnv([...], autoreset_mode=AutoresetMode.SAME_STEP)"
        )
    elif kwargs or num_envs not in (None, env.num_envs):
        raise ConfigError(f"{env} is made already: expected no num_envs and no arguments, got {num_envs}, {kwargs}")
    mode = env.metadata.get("autoreset_mode")
    if mode is not AutoresetMode.SAME_STEP:
        raise ConfigError(
            f"Stable-Baselines3 expected environments that reset in the step they end in, AutoresetMode.SAME_STEP; "
            f"got {mode}. Make them with autoreset_mode=AutoresetMode.SAME_STEP"
        )
    if isinstance(env.single_observation_space, (Dict, Tuple)):
        raise ConfigError(f"SB3VecEnv expected observations that are one array, got {env.single_observation_space}")
    return env  # type: ignore[no-any-return]


def _made(env_id: str, num_envs: int, kwargs: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    """Environments that reset in the step they end in: the id's own vector environment or Gymnasium's."""
    mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
    if kwargs.get("vectorization_mode") in ("sync", "async"):
        vector_kwargs = {**mode, **(kwargs.get("vector_kwargs") or {})}
        return gym.make_vec(env_id, num_envs, **{**kwargs, "vector_kwargs": vector_kwargs})
    try:
        return gym.make_vec(env_id, num_envs, **{**mode, **kwargs})
    except TypeError as error:
        if "autoreset_mode" not in str(error):
            raise
        raise ConfigError(
            f"{env_id} has no vector environment that takes autoreset_mode; give SB3VecEnv "
            'vectorization_mode="sync" or "async" as well'
        ) from error


def _rescaling(space: Space[Any]) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The linear map from [-1, 1] to a Box, that of :class:`gymnasium.wrappers.RescaleAction`."""
    if not isinstance(space, Box) or not space.is_bounded():
        raise ConfigError(f"rescale_actions expected a bounded Box of actions, got {space}; use rescale_actions=False")
    low, high = space.low, space.high

    def rescale(actions: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(np.clip(low + (actions + 1.0) * 0.5 * (high - low), low, high), np.float32)

    return rescale
