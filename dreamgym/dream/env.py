"""The dream as a Gymnasium environment: a batch of one over the core."""

from __future__ import annotations

from functools import partialmethod
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.dream.dreaming import Dreaming
from dreamgym.dream.keys import keys_to_action
from dreamgym.dream.noise import fold_seed
from dreamgym.dream.options import parse_steps, reset_arguments
from dreamgym.dream.rendering import Window
from dreamgym.dream.temperature import Temperature, parse_temperature
from dreamgym.world_model import WorldModel

__all__ = ["BundleDreamEnv", "DreamCarRacingEnv", "DreamEnv"]


class DreamEnv(Dreaming, gym.Env[NDArray[Any], Any]):
    """
    ## Description
    A real environment as a world model dreams it (Ha & Schmidhuber, 2018). M, a recurrent network with a
    mixture-density head, draws the next latent from the present one, the action and its hidden state; V turns latents
    into pictures. No simulator runs. What the world does is read from the bundle: its code is not needed.

    ## Action Space
    The world's: `Box` of A numbers, or with `continuous=False` `Discrete`, as far as the world has them. An action of
    another shape, one that is not finite, or one outside the space by more than 1e-6 raises `ActionError` and changes
    nothing.

    ## Observation Space
    By `obs_type`:
    - `"features"` (default): z and h side by side, `Box` of shape (Z + H,), float32. z is V's latent, Z numbers within
      +-10; h is M's hidden state, H numbers within +-1.
    - `"latent"`: z alone, `Box(-10, 10, (Z,), float32)`.
    - `"rgb"`: V's picture of z, `Box(0, 255, (64, 64, 3), uint8)`.

    ## Rewards
    By the bundle's reward rule; see :class:`dreamgym.worlds.base.RewardRule`.

    ## Starting State
    A real start of an episode, drawn from the bundle's bank of start states. `reset` takes options, for one episode:
    `"start"` (`"beginning"`, `"anywhere"`, `"hard"` or an index into the bank), `"temperature"`, `"observation"` (a
    real frame, uint8 (64, 64, 3), preprocessed), `"state"` (h, c) and `"progress"`.

    ## Episode End
    Terminated when M draws the end, or when the progress that the world asks for is made. Truncated by the time limit.

    Every `info` has `"temperature"`. Where episodes can be complete, it has `"progress"` as well, and at an end whether
    this one was, under the rule's key.

    ## Arguments
    * `temperature=None`: how uncertain the dream is: mixture logits / temperature, each sigma * its square root. None
      is the bundle's value; a number; or (low, high) to draw each episode's from.
    * `obs_type="features"`: see Observation Space.
    * `continuous=None`: see Action Space; None is the world's default.
    * `start="beginning"`: where episodes begin.
    * `render_mode=None`: `"rgb_array"` (at the world's proportions, 640 pixels on the longer side), `"human"` (a
      window) or `"rgb_array_list"`.
    * `world_model=None`: a bundle's folder or a `WorldModel`; None is the environment variable `DREAMGYM_MODELS`, else
      the shipped one of `world`.
    * `world=None`: the name of the world that the bundle must be of; None for any.
    * `precision="float32"`: or `"bfloat16"` for the matrix products, `"auto"` for the faster of the two, or `"float64"`
      for all but what is seen.
    * `device="cpu"`: where to run.
    * `fast=False`: True steps with loops that numba compiles (CPU): equal to 1e-5 a step instead of to the bit.
    * `time_limit=None`: steps after which the dream truncates by itself; `"world"` for the bundle's limit. It is there
      for `Dream-v0`, where it may be longer or None; `max_episode_steps` of `gym.make` can but shorten it. In
      `gym.make_vec` it is `max_episode_steps`.

    ## Version History
    - v0: Original version
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 50}  # noqa: RUF012
    """The frame rate of an instance is its world's."""

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        temperature: Temperature = None,
        obs_type: str = "features",
        continuous: bool | None = None,
        start: str | int = "beginning",
        world_model: WorldModel | str | Path | None = None,
        world: str | None = None,
        precision: str = "float32",
        device: str = "cpu",
        fast: bool = False,
        time_limit: int | Literal["world"] | None = None,
    ) -> None:
        self.observation_space = self._open(
            1,
            render_mode,
            world_model,
            world,
            obs_type,
            continuous,
            start,
            # An array of one number is each row's, which a single dream does not have.
            temperature=None if temperature is None else parse_temperature(temperature, 1.0),
            max_episode_steps=None,
            precision=precision,
            device=device,
            fast=fast,
        )
        self.action_space = self._reader.space
        self._limit = parse_steps("time_limit", time_limit, self.world_model.max_episode_steps)
        self._single = self.core.single_stepper() if fast else None
        self._window = Window(f"Dream{self.world_model.world_name}", self.world_model.fps)

    @property
    def temperature(self) -> float:
        """The temperature of this episode.

        Before the first one it is NaN where it is to be drawn.

        Set a number, and it holds from the next step on and for later episodes; (low, high), and later episodes draw
        theirs from it; None for the card's. Raises TemperatureError unless positive and finite.
        """
        return float(self.core.known_temperature[0])

    @temperature.setter
    def temperature(self, value: Temperature) -> None:
        self.core.set_temperature(parse_temperature(value, self.world_model.temperature))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode; see the class for the options.

        Args:
            seed: decides the episode and those after it. None goes on: another episode of the same seed.
            options: see Starting State in the class.

        Raises:
            ConfigError, TemperatureError, ObservationError: for a bad option; the environment is then unchanged.
        """
        arguments = reset_arguments(options, self._start, self._preprocess)
        before = self._np_random, self._np_random_seed
        super().reset(seed=seed)
        if seed is None and not bool(self.core.seeded[0]):
            seed = int(self.np_random.integers(1 << 63))
        try:
            self.core.reset(seeds=None if seed is None else torch.tensor([fold_seed(seed)]), **arguments)
        except Exception:
            self._np_random, self._np_random_seed = before
            raise
        self._show()
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Advance by one frame.

        Raises:
            ActionError, ResetNeededError: nothing has changed.
            DivergedError: the state is no longer finite; reset to go on.
        """
        executed = self._reader.read(action, ())
        if self._single is None:
            reward, ended, _, complete = (value.item() for value in self.core.step_executed(executed[None]))
        else:
            reward, ended, complete = self._single.step(executed.numpy())
        info = self._info()
        if ended and self.core.rewards.cap is not None:
            info[self.core.rewards.completion] = complete
        self._show()
        truncated = self._limit is not None and int(self.core.elapsed[0]) >= self._limit
        return self._observe(), float(reward), bool(ended), truncated, info

    def _info(self) -> dict[str, Any]:
        source = self.core if self._single is None else self._single
        info = {"temperature": source.temperature.item()}
        return info if self.core.rewards.cap is None else {"progress": source.progress.item(), **info}

    def _observe(self) -> NDArray[Any]:
        if self.obs_type == "rgb":
            return np.asarray(self._frames(self.core.z)[0])
        if self._single is not None:
            return self._single.observe(self.obs_type)
        seen = self.core.features if self.obs_type == "features" else self.core.z
        return np.array(seen.float().cpu().numpy()[0])  # a copy

    def render(self) -> NDArray[np.uint8] | None:
        """The picture in the mode "rgb_array", None in the others.

        uint8 of shape (height, width, 3), at the world's proportions, such as (448, 640, 3) for CarRacing.

        Raises:
            ResetNeededError: before the first reset.
        """
        if not self._may_render("gym.make"):
            return None
        self._show()
        return self._pictures()[0] if self.render_mode == "rgb_array" else None

    def _show(self) -> None:
        if self.render_mode == "human":
            self._window.show(self._pictures()[0])

    def close(self) -> None:
        """Close the window, if there is one; may be called again."""
        self._window.close()

    def get_keys_to_action(self) -> dict[tuple[int, ...], Any]:
        """Keys of ``gymnasium.utils.play``: W, A, S, D or the arrows, and what they do together."""
        return keys_to_action(self.world_model.actions, isinstance(self.action_space, gym.spaces.Box))


class DreamCarRacingEnv(DreamEnv):
    """
    ## Description
    CarRacing-v3 as a world model dreams it (Ha & Schmidhuber, 2018). M, a recurrent network with a mixture-density
    head, draws the next latent from the present one, the action and its hidden state; V turns latents into pictures.
    No simulator runs. A policy that was trained here runs on the real track through
    `dreamgym:LatentCarRacing-v0`, whose spaces are the same.

    ## Action Space
    As in CarRacing-v3. Continuous, `Box([-1, 0, 0], [1, 1, 1], (3,), float32)`: steering (-1 is full left, +1 full
    right), gas, braking. With `continuous=False`, `Discrete(5)`: do nothing, steer right (0.6), steer left (0.6), gas
    (0.2), brake (0.8).

    An action of another shape, one that is not finite, or one outside the space by more than 1e-6 raises
    `ActionError` and changes nothing.

    ## Observation Space
    By `obs_type`:
    - `"features"` (default): z and h side by side, `Box` of shape (288,), float32. z is V's latent, 32 numbers within
      +-10 (clipped; `env.unwrapped.core.clamped` counts how often). h is M's hidden state, 256 numbers within +-1.
    - `"latent"`: z alone, `Box(-10, 10, (32,), float32)`.
    - `"rgb"`: V's picture of z, `Box(0, 255, (64, 64, 3), uint8)`.

    ## Rewards
    -0.1 every frame, and 1000 times the share of the lap that M predicts for it. A prediction of at most 0.02 of a tile
    pays nothing, so that small spurious predictions do not add up. The last payment is clipped to a full lap, so no
    return exceeds what the real track allows. Leaving the playfield pays -100 instead.

    ## Starting State
    The beginning of a real episode, drawn from the bundle's start states. `reset` takes options, for one episode:
    - `"start"`: `"beginning"`, `"anywhere"` (any moment of an episode, with the hidden state and lap progress it had),
      `"hard"` (likewise, shortly before a sharp bend or a mishap, or after one) or an index into the bank.
    - `"temperature"`: a number, or (low, high) to draw it from.
    - `"observation"`: a real frame to dream on from, uint8, (96, 96, 3) as CarRacing-v3 gives it or (64, 64, 3)
      preprocessed; M's hidden state is zero, or `"state"`: (h, c), as it was in reality.
    - `"progress"`: share of the lap already made, in [0, 1].

    ## Episode End
    Terminated when the lap is finished (`info["lap_finished"]` is true), or when M draws that the car has left the
    playfield (false). Truncated after 1,000 frames by the registered time limit.

    Every `info` has `"progress"`, the share of the lap made so far, and `"temperature"`.

    ## Arguments
    ```python
    >>> import gymnasium as gym
    >>> env = gym.make("dreamgym:DreamCarRacing-v0", temperature=1.15, obs_type="features")
    >>> env.reset(seed=1)[0].shape
    (288,)

    ```
    * `temperature=None`: how uncertain the dream is: mixture logits / temperature, each sigma * its square root. None
      is the bundle's value, which its controller was evolved at; a number; or (low, high) to draw each episode's
      from. `env.unwrapped.temperature` reads it and sets it live (set on a wrapper, an attribute stays there).
    * `obs_type="features"`: see Observation Space.
    * `continuous=True`: see Action Space.
    * `start="beginning"`: where episodes begin; see Starting State.
    * `render_mode=None`: `"rgb_array"` (448 x 640), `"human"` (a window) or `"rgb_array_list"`.
    * `world_model=None`: a bundle's folder or a `WorldModel`; None is the environment variable `DREAMGYM_MODELS`, else
      the shipped one.
    * `precision="float32"`: or `"bfloat16"` for the matrix products, `"auto"` for the faster of the two, or `"float64"`
      for all but what is seen.
    * `device="cpu"`: where to run.
    * `fast=False`: True steps with loops that numba compiles, several times as fast (CPU). A step then agrees with the
      default's to 1e-5, not to the bit.

    The same seed gives the same rollout to the bit, alone or, without `fast`, in a batch. `env.unwrapped.get_state()`
    and `set_state()` save and restore it exactly in mid-episode. `gymnasium.utils.play.play(env, noop=numpy.zeros(3,
    numpy.float32))` drives it by hand, with W, A, S, D or the arrows (without `noop` where `continuous=False`).

    ## Version History
    - v0: Original version
    """


class BundleDreamEnv(DreamEnv):
    """``Dream-v0``: any bundle's dream, truncated by the time limit of its card; see :class:`DreamEnv`."""

    __init__ = partialmethod(DreamEnv.__init__, time_limit="world")
