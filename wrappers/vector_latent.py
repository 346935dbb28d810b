"""The real environment, seen as the dream shows itself: a batch of environments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dreamgym.dream.latent_encoder import LatentState
from dreamgym.dream.options import parse_seeds, take_reset_mask
from dreamgym.errors import ConfigError, ResetNeededError
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World
from dreamgym.wrappers.spaces import (
    LatentView,
    SkipGuard,
    Viewed,
    action_reader,
    open_world,
    require_frames,
    require_plain_actions,
    require_world,
)

__all__ = ["VectorLatentObservation"]

StepReturn = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


if TYPE_CHECKING:
    _Base = VectorWrapper[NDArray[Any], Any, NDArray[np.uint8], Any, NDArray[Any]]
else:
    _Base = VectorWrapper  # generic at run time only in later versions of Gymnasium


class VectorLatentObservation(Viewed, _Base):
    """Shows a batch of real environments through V and M; see :class:`~dreamgym.wrappers.LatentObservation`.

    All frames are encoded at once. Environment i gives, to the bit, what a single one with its seed gives alone. h
    begins at zero with each episode, by the environments' autoreset mode: NEXT_STEP (in the step after the end, whose
    action counts for nothing), SAME_STEP (in the step of the end; ``infos["final_obs"]`` then holds the ended
    episodes' last observations, encoded as well) and DISABLED (by ``reset(options={"reset_mask": mask})``).

    Args:
        envs: a vector environment of the bundle's world, such as CarRacing-v3. Wrappers that change actions or
            observations, or skip frames, go around this one; within environments in processes of their own, they are
            not seen and not refused.
        obs_type: ``"features"``, ``"latent"`` or ``"rgb"``.
        latent: ``"sample"`` or ``"mean"``.
        world_model: a bundle, the folder of one, or None for the one that :meth:`WorldModel.load` finds.
        precision: ``"float32"``, ``"bfloat16"`` or ``"auto"``, of V's convolutions.
        world: see :class:`~dreamgym.wrappers.LatentObservation`.

    Raises:
        ConfigError: unknown ``obs_type``, ``latent``, ``precision`` or ``world``, or no autoreset mode in the
            environments' metadata.
        ObservationError: as :class:`~dreamgym.wrappers.LatentObservation`.
        ActionError: their actions are not the world's, or are changed by a wrapper inside; in ``step``, a bad action
            (nothing has changed then).
        BundleError: the bundle is missing or damaged.

    Example:
        >>> import gymnasium as gym
        >>> from dreamgym.wrappers import VectorLatentObservation
        >>> envs = VectorLatentObservation(gym.make_vec("CarRacing-v3", num_envs=2), obs_type="latent")
        >>> observations, infos = envs.reset(seed=1)
        >>> observations.shape, observations.dtype
        ((2, 32), dtype('float32'))
        >>> observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
        >>> envs.observation_space.contains(observations)
        True
        >>> envs.close()
    """

    def __init__(
        self,
        envs: VectorEnv[NDArray[np.uint8], Any, NDArray[Any]],
        obs_type: str = "features",
        latent: str = "sample",
        world_model: WorldModel | str | Path | None = None,
        precision: str = "float32",
        world: World | str | None = None,
    ) -> None:
        super().__init__(envs)
        name = type(self).__name__
        self.autoreset_mode = envs.metadata.get("autoreset_mode")
        if not isinstance(self.autoreset_mode, AutoresetMode):
            raise ConfigError(
                f'{name} expected an AutoresetMode in metadata["autoreset_mode"] of the vector environment, by which '
                f"it knows where episodes begin; got {self.autoreset_mode!r}"
            )
        opened, described = open_world(world_model, world)
        inside = getattr(envs.unwrapped, "envs", ())
        for env in inside:
            require_world(env, name, described)
        require_frames(envs.single_observation_space, name, described)
        self._reader = action_reader(envs.single_action_space, name, described)
        for layer in (envs, *inside):
            require_plain_actions(layer, name)
        self._skips = SkipGuard(inside, name, described)
        self._view = LatentView(opened, described, envs.num_envs, obs_type, latent, precision)
        self.single_observation_space = self._view.space
        self.observation_space = batch_space(self._view.space, envs.num_envs)
        self._ended = np.zeros(envs.num_envs, dtype=np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin episodes everywhere, or where ``options["reset_mask"]`` says, bool of shape (num_envs,).

        Args:
            seed: an int for seed + i in environment i, or one for each; None goes on with tracks and noise.
            options: passed on.

        Raises:
            ConfigError: for a mask of another type or shape, or without one True; nothing has changed.
        """
        mask, _ = take_reset_mask(options, self.num_envs)
        options = None if options is None else dict(options)  # Gymnasium takes the mask out of it
        seeds = None if seed is None else parse_seeds(seed, self.num_envs)  # Gymnasium wants Python's own ints
        frames, infos = self.env.reset(seed=seeds, options=options)  # type: ignore[arg-type]  # a list is allowed
        self.encoder.reset(frames, seeds=seeds, mask=mask)
        self._skips.note()
        self._ended[mask] = False
        return self._view.observe(), infos

    def step(self, actions: Any) -> StepReturn:
        """Make one step in every environment.

        See the class for what is observed and which errors are raised.
        """
        self.encoder.require_reset()
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            raise ResetNeededError(
                f"environments {np.flatnonzero(self._ended).tolist()[:8]} have ended and autoreset is disabled; call "
                "reset(options={'reset_mask': mask}) with their mask first"
            )
        resetting = self._ended if self.autoreset_mode is AutoresetMode.NEXT_STEP else np.zeros_like(self._ended)
        executed = self._reader.read(actions, (self.num_envs,), ~resetting).numpy()
        passed = executed if isinstance(self._reader.space, Box) else np.where(resetting, 0, actions)
        self._skips.before_step()
        frames, rewards, terminations, truncations, infos = self.env.step(passed)
        ended = np.logical_or(terminations, truncations)
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        self._skips.after_step(~(ended if same_step else resetting))
        if same_step and ended.any():
            infos = self._end_and_begin(frames, executed, ended, infos)
        else:
            self.encoder.step(frames, executed, starts=resetting)
        self._ended = ended
        return self._view.observe(), rewards, terminations, truncations, infos

    def _end_and_begin(
        self, frames: NDArray[np.uint8], executed: NDArray[np.float32], ended: NDArray[np.bool_], infos: dict[str, Any]
    ) -> dict[str, Any]:
        """Encode the frames that ended episodes, then those that the next ones begin with."""
        last_frames = frames.copy()
        final = infos["final_obs"]
        for row in np.flatnonzero(ended).tolist():
            last_frames[row] = final[row]
        self.encoder.step(last_frames, executed)
        last = self._view.observe()
        observations = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(ended).tolist():
            observations[row] = last[row].copy()
        self.encoder.reset(frames, mask=ended)
        return {**infos, "final_obs": observations}

    @property
    def latent_state(self) -> LatentState:
        """z, h and c as they are now, copies.

        float32 of shape (num_envs, Z), (num_envs, H) and (num_envs, H).
        """
        return self.encoder.state
