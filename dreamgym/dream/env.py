"""The dream as a Gymnasium environment: a batch of one over the core."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.dream.core import DreamCore
from dreamgym.dream.fast import FastStepper
from dreamgym.dream.keys import keys_to_action
from dreamgym.dream.noise import fold_seed
from dreamgym.dream.options import Temperature, reset_arguments, start_candidates
from dreamgym.dream.rendering import Window, decode_frames, enlarge
from dreamgym.dream.spaces import ActionReader, observation_space
from dreamgym.errors import ConfigError, ResetNeededError
from dreamgym.real.world import CAR_RACING
from dreamgym.world_model import WorldModel

__all__ = ["DreamCarRacingEnv"]


class DreamCarRacingEnv(gym.Env[NDArray[Any], Any]):
    """
    ## Description
    CarRacing-v3 as a world model dreams it (Ha & Schmidhuber, 2018). M, a recurrent network with a mixture-density
    head, draws the next latent from the present one, the action and its hidden state; V turns latents into pictures.
    No simulator runs. An agent that learns here drives the real track through `dreamgym:LatentCarRacing-v0`, whose
    spaces are the same.

    ## Action Space
    As in CarRacing-v3. Continuous, `Box([-1, 0, 0], [1, 1, 1], (3,), float32)`: steering (-1 is full left, +1 full
    right), gas, braking. With `continuous=False`, `Discrete(5)`: do nothing, steer right (0.6), steer left (0.6), gas
    (0.2), brake (0.8).

    An action of another shape, one that is not finite, or one outside the space by more than 1e-6 raises
    `ActionError` and changes nothing.

    ## Observation Space
    By `obs_type`:
    - `"features"` (default): z and h side by side, `Box` of shape (288,), float32. z is V's latent, 32 numbers within
      +-10 (cut there; `env.unwrapped.core.clamped` counts how often). h is M's hidden state, 256 numbers within +-1.
    - `"latent"`: z alone, `Box(-10, 10, (32,), float32)`.
    - `"rgb"`: V's picture of z, `Box(0, 255, (64, 64, 3), uint8)`.

    ## Rewards
    -0.1 every frame, and 1000 times the share of the lap that M says was made in it, but nothing where that is no more
    than 0.02 of a tile: M hedges, and a car that gets nowhere must not live on it. The last payment is cut to a full
    lap, so no return exceeds what the real track allows. Leaving the playfield pays -100 instead.

    ## Starting State
    A real start at the line, drawn from the bundle's bank of start states. `reset` takes options, for one episode:
    - `"start"`: `"line"`, `"anywhere"` (any moment of a drive, with the hidden state and lap progress it had), `"hard"`
      (likewise, shortly before a sharp bend or a mishap, or after one) or an index into the bank.
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
      is the bundle's value, which its driver was evolved at; a number; or (low, high) to draw each episode's
      from. `env.unwrapped.temperature` reads it and sets it live (set on a wrapper, an attribute stays there).
    * `obs_type="features"`: see Observation Space.
    * `continuous=True`: see Action Space.
    * `start="line"`: where episodes begin; see Starting State.
    * `render_mode=None`: `"rgb_array"` (560 x 640), `"human"` (a window) or `"rgb_array_list"`.
    * `world_model=None`: a bundle's folder or a `WorldModel`; None is the environment variable `DREAMGYM_MODELS`, else
      the shipped one.
    * `precision="float32"`: or `"bfloat16"` for the matrix products.
    * `device="cpu"`: where to run.
    * `fast=False`: True steps with NumPy in a quarter of the time (CPU, float32). A step then agrees with the default's
      to 1e-5, not to the bit.

    The same seed gives the same rollout to the bit, alone or, without `fast`, in a batch. `env.unwrapped.get_state()`
    and `set_state()` save and restore it exactly in mid-episode. `gymnasium.utils.play.play(env, noop=numpy.zeros(3,
    numpy.float32))` drives it by hand, with W, A, S, D or the arrows (without `noop` where `continuous=False`).

    ## Version History
    - v0: Original version
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": CAR_RACING.fps}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        temperature: Temperature = None,
        obs_type: str = "features",
        continuous: bool = True,
        start: str | int = "line",
        world_model: WorldModel | str | Path | None = None,
        precision: str = "float32",
        device: str = "cpu",
        fast: bool = False,
    ) -> None:
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ConfigError(f"render_mode must be None or one of {modes}, got {render_mode!r}")
        if not isinstance(world_model, WorldModel):
            world_model = WorldModel.load(world_model)
        self.render_mode = render_mode
        self.obs_type = obs_type
        memory = world_model.memory
        self.observation_space = observation_space(obs_type, memory.latent_size, memory.hidden_size)
        self._reader = ActionReader(CAR_RACING, continuous)
        self.action_space = self._reader.space
        self.core = DreamCore(
            world_model, 1, temperature=temperature, max_episode_steps=None, precision=precision, device=device
        )
        self._fast = FastStepper(self.core) if fast else None
        start_candidates(start, world_model.starts)
        self._start = start
        self._window = Window("DreamCarRacing", CAR_RACING.fps)

    @property
    def world_model(self) -> WorldModel:
        """V, M and the rest of the bundle."""
        return self.core.world_model

    @property
    def temperature(self) -> float:
        """The temperature of this episode.

        Set a number, and it holds from the next step on and for later episodes; (low, high), and later episodes draw
        theirs from it; None for the card's. Raises TemperatureError unless positive and finite.
        """
        return float(self.core.temperature[0])

    @temperature.setter
    def temperature(self, value: Temperature) -> None:
        self.core.set_temperature(value)

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
        arguments = reset_arguments(options, self._start)
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
        if self._fast is None:
            reward, ended, _, lap_finished = (value.item() for value in self.core.step_executed(executed[None]))
        else:
            reward, ended, lap_finished = self._fast.step(executed.numpy())
        info = self._info()
        if ended:
            info["lap_finished"] = lap_finished
        self._show()
        return self._observe(), float(reward), bool(ended), False, info

    def _info(self) -> dict[str, Any]:
        source = self.core if self._fast is None else self._fast
        return {"progress": source.progress.item(), "temperature": source.temperature.item()}

    def _observe(self) -> NDArray[Any]:
        if self.obs_type == "rgb":
            return self._frame()
        if self._fast is not None:
            return self._fast.observe(self.obs_type)
        return np.array((self.core.features if self.obs_type == "features" else self.core.z).cpu().numpy()[0])  # a copy

    def _frame(self) -> NDArray[np.uint8]:
        vision = self.world_model.vision
        return decode_frames(vision, self.core.z.to(vision.mean.weight.device))[0].numpy()

    def _picture(self) -> NDArray[np.uint8]:
        return np.asarray(enlarge(self._frame()[None])[0])

    def render(self) -> NDArray[np.uint8] | None:
        """The picture, uint8 of shape (560, 640, 3), in the mode "rgb_array"; None in the others.

        Raises:
            ResetNeededError: before the first reset.
        """
        if not bool(self.core.started[0]):
            raise ResetNeededError("there is nothing to render before the first reset; call reset()")
        if self.render_mode is None:
            gym.logger.warn('render() needs a mode: gym.make("dreamgym:DreamCarRacing-v0", render_mode="rgb_array")')
            return None
        self._show()
        return self._picture() if self.render_mode == "rgb_array" else None

    def _show(self) -> None:
        if self.render_mode == "human":
            self._window.show(self._picture())

    def close(self) -> None:
        """Close the window, if there is one; may be called again."""
        self._window.close()

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, to be given to :meth:`set_state`; copies."""
        seeding = {"np_random": deepcopy(self._np_random), "np_random_seed": self._np_random_seed}
        return {"core": self.core.get_state(), **seeding}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a saved state: what follows is the same to the bit. A time limit around it has its own count."""
        self.core.set_state(state["core"])
        self._np_random = deepcopy(state["np_random"])
        self._np_random_seed = state["np_random_seed"]

    def get_keys_to_action(self) -> dict[tuple[int, ...], Any]:
        """Keys of ``gymnasium.utils.play``: W, A, S, D or the arrows, and what they do together."""
        return keys_to_action(CAR_RACING, isinstance(self.action_space, gym.spaces.Box))
