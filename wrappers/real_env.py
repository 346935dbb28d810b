"""``LatentCarRacing-v0``: the real CarRacing-v3 as the dream shows itself, an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from dreamgym.dream.keys import keys_to_action
from dreamgym.encoder import LatentState
from dreamgym.real.world import CAR_RACING
from dreamgym.world_model import WorldModel
from dreamgym.wrappers.latent import LatentObservation
from dreamgym.wrappers.real_vector_env import METADATA, LatentCarRacingVectorEnv, car_racing

__all__ = ["LatentCarRacingEnv", "LatentCarRacingVectorEnv"]


class LatentCarRacingEnv(gym.Env[NDArray[Any], Any], EzPickle):
    """
    ## Description
    The real CarRacing-v3, seen through V and M: the observation and action spaces of ``DreamCarRacing-v0`` and their
    meaning, so that one policy runs in both. It is what agents trained in the dream are evaluated in.

    It is :class:`~dreamgym.wrappers.LatentObservation` around Gymnasium's own CarRacing-v3, made an environment.

    ## Action Space
    As in CarRacing-v3: ``Box([-1, 0, 0], [1, 1, 1], (3,), float32)`` for steering (-1 is left), gas and brake; with
    ``continuous=False`` ``Discrete(5)``: nothing, right, left, gas, brake. An action of wrong type or shape, not
    finite, or outside the space by more than 1e-6 raises :class:`~dreamgym.errors.ActionError` and changes nothing.

    ## Observation Space
    By ``obs_type``:

    * ``"features"``: z (V's latents) and h (M's hidden state) side by side, ``Box`` float32 of shape ``(288,)``,
      |z| <= 10 (cut, and counted in ``env.unwrapped.clamped``), |h| <= 1;
    * ``"latent"``: z alone, shape ``(32,)``;
    * ``"rgb"``: V's picture of z, uint8 of shape ``(64, 64, 3)``.

    ## Rewards
    CarRacing-v3's: -0.1 a frame, +1000/N for each of the track's N tiles, and -100 alone in the frame that leaves the
    playfield.

    ## Starting State
    CarRacing-v3's: at rest on the start line of a random track. h is zero, z is of the first frame.

    ## Episode End
    Terminated by a whole lap (``info["lap_finished"]`` is True) or by leaving the playfield (False); truncated after
    1,000 steps by the time limit of the registered id.

    ## Arguments
    ```python
    >>> import gymnasium as gym
    >>> env = gym.make("dreamgym:LatentCarRacing-v0", obs_type="features", latent="sample", continuous=True)
    >>> observation, info = env.reset(seed=1)
    >>> env.observation_space.contains(observation)
    True
    >>> env.close()

    ```

    * ``render_mode``: ``"human"`` or ``"rgb_array"``, CarRacing-v3's own pictures;
    * ``obs_type``: see above;
    * ``latent``: ``"sample"`` draws z from V's posterior by a generator seeded in ``reset(seed=...)``; ``"mean"`` is
      the posterior's mean;
    * ``world_model``: a :class:`~dreamgym.world_model.WorldModel`, the folder of a bundle, or None for the one found
      by ``DREAMGYM_MODELS`` or in the package;
    * ``continuous``: see above;
    * ``exact_drawing``: True draws with :class:`~dreamgym.real.drawing.ExactCarRacing`, which gives the same
      bytes in a fraction of the time;
    * ``precision``: ``"bfloat16"`` encodes frames by products in bfloat16, with z and h close to float32's.

    ``reset(options=...)`` is passed on to CarRacing-v3.

    ## Version History
    * v0: first version
    """

    metadata = METADATA

    def __init__(
        self,
        render_mode: str | None = None,
        obs_type: str = "features",
        latent: str = "sample",
        world_model: WorldModel | str | Path | None = None,
        continuous: bool = True,
        exact_drawing: bool = False,
        precision: str = "float32",
    ) -> None:
        EzPickle.__init__(self, render_mode, obs_type, latent, world_model, continuous, exact_drawing, precision)
        real = car_racing(render_mode, continuous, exact_drawing, None)
        self._latent = LatentObservation(real, obs_type, latent, world_model, precision)
        self.render_mode = render_mode
        self.world_model = self._latent.world_model
        self.observation_space = self._latent.observation_space
        self.action_space = self._latent.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode: a track and a stream of noise from ``seed``; None goes on with both."""
        super().reset(seed=seed)
        return self._latent.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Drive one frame of 1/50 s."""
        observation, reward, terminated, truncated, info = self._latent.step(action)
        return observation, reward, bool(terminated), bool(truncated), info

    def render(self) -> NDArray[np.uint8] | None:
        """CarRacing-v3's picture, uint8 of shape (400, 600, 3), or None in the mode "human".

        Raises:
            ResetNeededError: before the first reset.
        """
        self._latent.encoder.require_reset()
        picture: NDArray[np.uint8] | None = self._latent.render()  # type: ignore[assignment]
        return picture

    def close(self) -> None:
        """Close the real environment and its window."""
        self._latent.close()

    @property
    def latent_state(self) -> LatentState:
        """z, h and c as they are now, copies, float32 of shape (32,), (256,) and (256,)."""
        return self._latent.latent_state

    @property
    def clamped(self) -> int:
        """How many latents were cut to +-10 since construction."""
        return self._latent.encoder.clamped

    @property
    def real(self) -> gym.Env[NDArray[np.uint8], Any]:
        """The CarRacing inside, unwrapped."""
        return self._latent.unwrapped

    def get_keys_to_action(self) -> dict[tuple[int, ...], Any]:
        """Keys of ``gymnasium.utils.play``: W, A, S, D or the arrows, and what they do together."""
        return keys_to_action(CAR_RACING, isinstance(self.action_space, Box))
