"""What a single dream environment and a batch of dreams have in common."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.dream.options import has_render_mode, known_preprocess, open_world_model, start_candidates
from dreamgym.dream.rendering import decode_frames, render_size, resize
from dreamgym.dream.spaces import ActionReader, observation_space
from dreamgym.errors import ConfigError, ResetNeededError
from dreamgym.world_model import WorldModel

__all__ = ["Dreaming"]


class Dreaming:
    """A core with what Gymnasium wants around it: spaces, a generator, pictures."""

    metadata: dict[str, Any]
    render_mode: str | None
    core: DreamCore
    _np_random: np.random.Generator | None
    _np_random_seed: int | None

    def _open(
        self,
        num_envs: int,
        render_mode: str | None,
        world_model: WorldModel | str | Path | None,
        world: str | None,
        obs_type: str,
        continuous: bool | None,
        start: str | int,
        **core: Any,
    ) -> gym.spaces.Box:
        """Check the arguments of a constructor and make the core; gives the space of one observation."""
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ConfigError(f"render_mode must be None or one of {modes}, got {render_mode!r}")
        opened = open_world_model(world_model, world)
        self.metadata = {**self.metadata, "render_fps": opened.fps}
        self.render_mode = render_mode
        self.obs_type = obs_type
        space = observation_space(obs_type, opened.memory.latent_size, opened.memory.hidden_size)
        self._reader = ActionReader(opened.actions, continuous)
        start_candidates(start, opened.starts)
        self._start = start
        self._preprocess = known_preprocess(opened)
        self._size = render_size(opened.aspect)
        self.core = DreamCore(opened, num_envs, **core)
        return space

    @property
    def world_model(self) -> WorldModel:
        """V, M and the rest of the bundle."""
        return self.core.world_model

    def _frames(self, z: Tensor) -> NDArray[np.uint8]:
        """V's pictures of latents, uint8 of shape (B, 64, 64, 3)."""
        vision = self.world_model.vision
        return decode_frames(vision, z.to(vision.mean.weight)).numpy()

    def _pictures(self) -> tuple[NDArray[np.uint8], ...]:
        """One for people of each row, uint8 of shape (height, width, 3), at the world's proportions."""
        return tuple(resize(frame[None], self._size)[0] for frame in self._frames(self.core.z))

    def _may_render(self, make: str) -> bool:
        """Whether there is a mode to render in.

        Raises:
            ResetNeededError: before the first reset.
        """
        if not bool(self.core.started.all()):
            raise ResetNeededError("there is nothing to render before the first reset; call reset()")
        return has_render_mode(self.render_mode, make)

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, to be given to :meth:`set_state`; copies."""
        seeding = {"np_random": deepcopy(self._np_random), "np_random_seed": self._np_random_seed}
        return {"core": self.core.get_state(), **seeding}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a saved state: what follows is the same to the bit.

        A time limit around the environment has its own count.

        Raises:
            ConfigError: a state of something else, another world model or precision; nothing has changed then.
        """
        missing = [name for name in ("core", "np_random", "np_random_seed") if name not in state]
        if missing:
            raise ConfigError(f"expected a state that get_state() gave, got one without {missing}")
        self.core.set_state(state["core"])
        self._np_random = deepcopy(state["np_random"])
        self._np_random_seed = state["np_random_seed"]
