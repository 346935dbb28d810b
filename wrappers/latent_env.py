"""The real environment as its dream shows itself, an environment of its own."""

from __future__ import annotations

from functools import partialmethod
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from dreamgym.dream.keys import keys_to_action
from dreamgym.dream.options import has_render_mode, parse_steps, refuse_dream_options, require_flag
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World
from dreamgym.wrappers.latent import LatentObservation
from dreamgym.wrappers.latent_vector_env import METADATA
from dreamgym.wrappers.remade import Remade
from dreamgym.wrappers.spaces import open_world

__all__ = ["BundleLatentEnv", "LatentCarRacingEnv", "LatentEnv"]


class LatentEnv(Remade, gym.Env[NDArray[Any], Any]):
    """
    ## Description
    A real environment, seen through V and M: the observation and action spaces of its dream and their meaning, so that
    one policy runs in both. It is what agents trained in the dream are evaluated in.

    It is :class:`~dreamgym.wrappers.LatentObservation` around the environment that the world's description makes.

    ## Action Space
    The world's: `Box` of A numbers, or with `continuous=False` `Discrete`, as far as the world has them. An action of
    wrong type or shape, not finite, or outside the space by more than 1e-6 raises `ActionError` and changes nothing.

    ## Observation Space
    By `obs_type`:
    - `"features"` (default): z (V's latent) and h (M's hidden state) side by side, `Box` of shape (Z + H,), float32,
      z within +-10 (clipped, and counted in `env.unwrapped.clamped`), h within +-1.
    - `"latent"`: z alone, shape (Z,).
    - `"rgb"`: V's picture of z, uint8 of shape (64, 64, 3).

    ## Rewards
    The real environment's.

    ## Starting State
    The real environment's. h is zero, z is of the first frame.

    ## Episode End
    The real environment's. Truncated by the time limit: of the registered id, or with `Latent-v0` the world's.

    ## Arguments
    * `render_mode=None`: as the real environment has them.
    * `obs_type="features"`: see Observation Space.
    * `latent="sample"`: draws z from V's posterior by a generator seeded in `reset(seed=...)`; `"mean"` is its mean.
    * `world_model=None`: a `WorldModel`, the folder of a bundle, or None for the one found by `DREAMGYM_MODELS` or in
      the package.
    * `continuous=None`: see Action Space; None is the world's default.
    * `exact_drawing=False`: True draws CarRacing in a fraction of the time, to the same bytes.
    * `precision="float32"`: `"bfloat16"` encodes frames by products in bfloat16, with z and h close to float32's;
      `"auto"` does so where it is faster.
    * `world=None`: a :class:`~dreamgym.worlds.base.World`, its name or `"module:OBJECT"`; None for the registered world
      that the bundle names. A bundle never imports anything.
    * `time_limit=None`: steps after which the real environment truncates by itself; `"world"` for the world's limit.
      It is there for `Latent-v0`, where it may be longer or None; `max_episode_steps` of `gym.make` can but shorten it.
      `gym.make_vec` takes it as `max_episode_steps`.

    `reset(options=...)` is passed on to the real environment; a dream's options are refused.

    ## Version History
    - v0: first version
    """

    metadata: dict[str, Any] = METADATA
    _latent: LatentObservation

    def __init__(
        self,
        render_mode: str | None = None,
        obs_type: str = "features",
        latent: str = "sample",
        world_model: WorldModel | str | Path | None = None,
        continuous: bool | None = None,
        exact_drawing: bool = False,
        precision: str = "float32",
        world: World | str | None = None,
        time_limit: int | Literal["world"] | None = None,
    ) -> None:
        require_flag("exact_drawing", exact_drawing)
        opened, described = open_world(world_model, world)
        described.actions.space(continuous)  # refuses what is no choice of the world's
        real = described.make_env(
            render_mode=render_mode,
            max_episode_steps=parse_steps("time_limit", time_limit, described.max_episode_steps),
            exact_drawing=exact_drawing,
            continuous=continuous,
        )
        try:
            self._latent = LatentObservation(real, obs_type, latent, opened, precision, described)
        except BaseException:
            real.close()
            raise
        modes = [mode for mode in METADATA["render_modes"] if mode in real.metadata.get("render_modes", ())]
        self.metadata = {**METADATA, "render_modes": modes, "render_fps": described.fps}
        self.render_mode = render_mode
        self.world_model = self._latent.world_model
        self.observation_space = self._latent.observation_space
        self.action_space = self._latent.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode.

        The world and a stream of noise are seeded by ``seed``; None goes on with both.
        """
        refuse_dream_options(options)
        super().reset(seed=seed)
        return self._latent.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Make one step."""
        observation, reward, terminated, truncated, info = self._latent.step(action)
        return observation, reward, bool(terminated), bool(truncated), info

    def render(self) -> NDArray[np.uint8] | None:
        """The real environment's picture; None in the mode "human", and without a mode.

        Such as uint8 of shape (400, 600, 3).

        Raises:
            ResetNeededError: before the first reset.
        """
        self._latent.encoder.require_reset()
        if not has_render_mode(self.render_mode, "gym.make"):
            return None
        picture: NDArray[np.uint8] | None = self._latent.render()  # type: ignore[assignment]
        return picture

    def close(self) -> None:
        """Close the real environment and its window."""
        self._latent.close()

    @property
    def real(self) -> gym.Env[NDArray[np.uint8], Any]:
        """The real environment inside, unwrapped."""
        return self._latent.unwrapped

    def get_keys_to_action(self) -> dict[tuple[int, ...], Any]:
        """Keys of ``gymnasium.utils.play``, and what they do together."""
        return keys_to_action(self.world_model.actions, isinstance(self.action_space, Box))


class LatentCarRacingEnv(LatentEnv):
    """
    ## Description
    The real CarRacing-v3, seen through V and M: the observation and action spaces of ``DreamCarRacing-v0`` and their
    meaning, so that one policy runs in both. It is what agents trained in the dream are evaluated in.

    It is :class:`~dreamgym.wrappers.LatentObservation` around Gymnasium's own CarRacing-v3, made an environment: see
    :class:`LatentEnv` for all arguments.

    ## Action Space
    As in CarRacing-v3: ``Box([-1, 0, 0], [1, 1, 1], (3,), float32)`` for steering (-1 is left), gas and brake; with
    ``continuous=False`` ``Discrete(5)``: nothing, right, left, gas, brake. An action of wrong type or shape, not
    finite, or outside the space by more than 1e-6 raises :class:`~dreamgym.errors.ActionError` and changes nothing.

    ## Observation Space
    By ``obs_type``:

    * ``"features"``: z (V's latents) and h (M's hidden state) side by side, ``Box`` float32 of shape ``(288,)``,
      |z| <= 10 (clipped, and counted in ``env.unwrapped.clamped``), |h| <= 1;
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
    * ``exact_drawing``: True draws by the world's own fast drawing, where it has one: the same bytes in a fraction of
      the time;
    * ``precision``: ``"bfloat16"`` encodes frames by products in bfloat16, with z and h close to float32's; ``"auto"``
      does so where it is faster.

    ``reset(options=...)`` is passed on to CarRacing-v3; a dream's options are refused.

    ## Version History
    * v0: first version
    """


class BundleLatentEnv(LatentEnv):
    """``Latent-v0``: the real environment of any bundle's world, with its time limit; see :class:`LatentEnv`."""

    __init__ = partialmethod(LatentEnv.__init__, time_limit="world")
