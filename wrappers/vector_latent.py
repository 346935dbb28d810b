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

from dreamgym.dream.vector_options import parse_seeds
from dreamgym.encoder import LatentEncoder, LatentState
from dreamgym.errors import ConfigError, ResetNeededError
from dreamgym.world_model import WorldModel
from dreamgym.wrappers.spaces import LatentView, action_reader, require_frames, require_plain_actions

__all__ = ["VectorLatentObservation"]

StepReturn = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


if TYPE_CHECKING:
    _Base = VectorWrapper[NDArray[Any], Any, NDArray[np.uint8], Any, NDArray[Any]]
else:
    _Base = VectorWrapper  # generic at run time only in later versions of Gymnasium


class VectorLatentObservation(_Base):
    """Shows a batch of CarRacing-v3 through V and M; see :class:`~dreamgym.wrappers.LatentObservation`.

    All frames are encoded at once. Environment i gives, to the bit, what a single one with its seed gives alone. h
    begins at zero with each episode, by the environments' autoreset mode: NEXT_STEP (in the step after the end, whose
    action counts for nothing), SAME_STEP (in the step of the end; ``infos["final_obs"]`` then holds the ended
    episodes' last observations, encoded as well) and DISABLED (by ``reset(options={"reset_mask": mask})``).

    Args:
        envs: a vector environment of CarRacing-v3, ``continuous`` or not. Wrappers that change actions or observations
            go around this one; within environments in processes of their own, they are not seen and not refused.
        obs_type: ``"features"``, ``"latent"`` or ``"rgb"``.
        latent: ``"sample"`` or ``"mean"``.
        world_model: a bundle, the folder of one, or None for the one that :meth:`WorldModel.load` finds.
        precision: ``"float32"``, or ``"bfloat16"`` for V's convolutions.

    Raises:
        ConfigError: unknown ``obs_type``, ``latent`` or ``precision``, or no autoreset mode in the environments'
            metadata.
        ObservationError: the environments do not show CarRacing's frames, uint8 of shape (96, 96, 3).
        ActionError: their actions are not CarRacing's, or are changed by a wrapper inside; in ``step``, a bad action
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
    ) -> None:
        super().__init__(envs)
        name = type(self).__name__
        self.autoreset_mode = envs.metadata.get("autoreset_mode")
        if not isinstance(self.autoreset_mode, AutoresetMode):
            raise ConfigError(
                f'{name} expected an AutoresetMode in metadata["autoreset_mode"] of the vector environment, by which '
                f"it knows where episodes begin; got {self.autoreset_mode!r}"
            )
        require_frames(envs.single_observation_space, name)
        self._reader = action_reader(envs.single_action_space, name)
        require_plain_actions(envs, name)
        for env in getattr(envs.unwrapped, "envs", ()):
            require_plain_actions(env, name)
        self._view = LatentView(world_model, envs.num_envs, obs_type, latent, precision)
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
        options = None if options is None else dict(options)  # Gymnasium takes the mask out of it
        mask = None if options is None else self._checked_mask(options.get("reset_mask"))
        seeds = None if seed is None else parse_seeds(seed, self.num_envs)  # Gymnasium wants Python's own ints
        frames, infos = self.env.reset(seed=seeds, options=options)  # type: ignore[arg-type]  # a list is allowed
        self.encoder.reset(frames, seeds=seeds, mask=mask)
        self._ended[slice(None) if mask is None else mask] = False
        return self._view.observe(), infos

    def _checked_mask(self, mask: Any) -> NDArray[np.bool_] | None:
        if mask is None:
            return None
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)
            raise ConfigError(f'options["reset_mask"]: expected bool of shape ({self.num_envs},), got {got}')
        if not mask.any():
            raise ConfigError('options["reset_mask"]: expected at least one True, got none')
        return mask.copy()

    def step(self, actions: Any) -> StepReturn:
        """Drive one frame everywhere. See the class for what is observed and which errors are raised."""
        self.encoder.require_reset()
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            raise ResetNeededError(
                f"environments {np.flatnonzero(self._ended).tolist()[:8]} have ended and autoreset is disabled; call "
                "reset(options={'reset_mask': mask}) with their mask first"
            )
        resetting = self._ended if self.autoreset_mode is AutoresetMode.NEXT_STEP else np.zeros_like(self._ended)
        executed = self._reader.read(actions, (self.num_envs,), ~resetting).numpy()
        passed = executed if isinstance(self._reader.space, Box) else np.where(resetting, 0, actions)
        frames, rewards, terminations, truncations, infos = self.env.step(passed)
        ended = np.logical_or(terminations, truncations)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
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
    def world_model(self) -> WorldModel:
        """V, M and the rest of the bundle."""
        return self._view.world_model

    @property
    def encoder(self) -> LatentEncoder:
        """What holds z, h and the generators of noise."""
        return self._view.encoder

    @property
    def latent_state(self) -> LatentState:
        """z, h and c as they are now, copies, float32 of shape (num_envs, 32), (num_envs, 256) and (num_envs, 256)."""
        return self.encoder.state
