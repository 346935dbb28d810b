"""The dream as a Gymnasium vector environment, all rows in one batch of the core."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dreamgym.dream.dreaming import Dreaming
from dreamgym.dream.noise import fold_seed
from dreamgym.dream.options import (
    Seeds,
    parse_autoreset_mode,
    parse_seeds,
    require_count,
    reset_arguments,
    take_reset_mask,
)
from dreamgym.dream.temperature import Temperature, parse_temperature
from dreamgym.errors import ConfigError, ResetNeededError
from dreamgym.threads import single_thread
from dreamgym.world_model import WorldModel

__all__ = ["DreamVectorEnv"]

Array = NDArray[Any]


class DreamVectorEnv(Dreaming, VectorEnv[Array, Array, Array]):
    """``num_envs`` dreams in one batch; see :class:`~dreamgym.dream.env.DreamEnv` for a single one.

    Environment i gives to the bit what a single one does that is seeded with ``seed + i`` and reset when this one is
    (without ``fast``: the two have each their own way to be it, and agree to 1e-5 a step).
    Arrays that are handed out are copies. The time limit is the environment's own.

    After a :class:`~dreamgym.errors.DivergedError` nothing has advanced: reset the rows that it names (``reset_mask``)
    and step again with the same actions, and the others go on as if nothing had happened.

    Args:
        num_envs: N.
        render_mode: None or "rgb_array", for which ``render`` gives a tuple of N pictures.
        max_episode_steps: steps after which an episode is truncated; "world" for the bundle's, None for never.
        autoreset_mode: NEXT_STEP (an ended row is reset by the next step, whose action it ignores), SAME_STEP (by the
            step that ended it; its last observation and info are in ``final_obs`` and ``final_info``) or DISABLED (by
            ``reset(options={"reset_mask": mask})``).
        temperature: None for the bundle's, a number, or (low, high) to draw each episode's from.
        obs_type: "features", "latent" or "rgb".
        continuous: vectors or discrete actions; None for the world's default.
        start: where episodes begin: "beginning", "anywhere", "hard" or an index into the bundle's start states.
        world_model: a bundle's folder or a ``WorldModel``; None for the default.
        world: the name of the world that the bundle must be of; None for any.
        precision: "float32", "bfloat16" for the matrix products, "auto" for the faster of the two, or "float64" for all
            but observations.
        device: where to run.
        fast: step with loops compiled by numba; see :class:`~dreamgym.dream.core.DreamCore`.

    Raises:
        ConfigError: for an argument that is unknown or out of range.
        InstallationError: fast without numba.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        render_mode: str | None = None,
        *,
        max_episode_steps: int | Literal["world"] | None = "world",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        temperature: Temperature = None,
        obs_type: str = "features",
        continuous: bool | None = None,
        start: str | int = "beginning",
        world_model: WorldModel | str | Path | None = None,
        world: str | None = None,
        precision: str = "float32",
        device: str = "cpu",
        fast: bool = False,
    ) -> None:
        super().__init__()
        self.autoreset_mode = parse_autoreset_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        require_count("num_envs", num_envs)
        self.num_envs = num_envs
        self.single_observation_space = self._open(
            num_envs,
            render_mode,
            world_model,
            world,
            obs_type,
            continuous,
            start,
            # An array is a range here as everywhere; rows of their own are set by the attribute.
            temperature=None if temperature is None else parse_temperature(temperature, 1.0),
            max_episode_steps=max_episode_steps,
            precision=precision,
            device=device,
            fast=fast,
        )
        self.single_action_space = self._reader.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended = np.zeros(num_envs, np.bool_)

    @property
    def temperature(self) -> NDArray[np.float32]:
        """Each environment's temperature in its episode, float32 of shape (num_envs,), a copy.

        Before the first reset it is NaN where it is to be drawn.

        Set a number or an array of num_envs of them, and it holds from the next step on and for later episodes; a
        tuple or list (low, high), and later episodes draw theirs from it; None for the card's.

        Raises:
            TemperatureError: unless positive and finite.
        """
        return self.core.known_temperature.to("cpu", copy=True).numpy()

    @temperature.setter
    def temperature(self, value: Temperature | NDArray[np.floating]) -> None:
        self.set_temperature(value)

    def set_temperature(self, value: Temperature | NDArray[np.floating], mask: NDArray[np.bool_] | None = None) -> None:
        """As setting :attr:`temperature`, in the environments of a mask only.

        Args:
            value: see there.
            mask: bool of shape (num_envs,); None for all.

        Raises:
            TemperatureError: unless positive and finite.
        """
        each = isinstance(value, np.ndarray) and value.ndim == 1
        chosen = None if mask is None else torch.from_numpy(mask)
        self.core.set_temperature(torch.from_numpy(np.array(value)) if each else value, chosen)  # type: ignore[arg-type]

    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode in every environment, or in those of ``options["reset_mask"]``.

        Args:
            seed: an int gives environment i seed + i; a list gives each its own, or None to go on; None: all go on.
            options: as the single environment's, for all that begin; an ``observation`` may also be (num_envs, ...),
                and ``state`` (num_envs, H) each. ``"reset_mask"``, bool of shape (num_envs,): which ones begin.

        Raises:
            ConfigError, TemperatureError, ObservationError: for a bad argument; nothing has changed.
        """
        mask, others = take_reset_mask(options, self.num_envs)
        arguments = reset_arguments(others, self._start, self._preprocess)
        seeds = parse_seeds(seed, self.num_envs)
        before = self._np_random, self._np_random_seed
        super().reset(seed=int(seed) if isinstance(seed, (int, np.integer)) else None)
        unseeded = mask & ~self.core.seeded.cpu().numpy()
        for row in np.flatnonzero(unseeded).tolist():
            if seeds[row] is None:
                seeds[row] = int(self.np_random.integers(1 << 63))
        given = np.array([each is not None for each in seeds])
        values = torch.tensor([fold_seed(each or 0) for each in seeds])
        try:
            for chosen, its_seeds in ((mask & given, values), (mask & ~given, None)):
                if chosen.any():
                    self.core.reset(torch.from_numpy(chosen), seeds=its_seeds, **arguments)
        except Exception:
            self._np_random, self._np_random_seed = before
            raise
        self._ended[mask] = False
        return self._observe(), self._infos(mask)

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Advance every environment by one frame; see ``autoreset_mode`` for those that have ended.

        Returns:
            observations, rewards (float64), terminations and truncations (bool), infos.

        Raises:
            ActionError, ResetNeededError, DivergedError: nothing has changed.
        """
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            rows = np.flatnonzero(self._ended).tolist()
            raise ResetNeededError(
                f"environments {rows[:8]} have ended and autoreset is disabled; call "
                "reset(options={'reset_mask': mask}) with their mask first"
            )
        beginning = self._ended if self._ended.any() else None
        active = None if beginning is None else ~beginning
        executed = self._reader.read(actions, (self.num_envs,), active)
        result = self.core.step_executed(executed, None if active is None else torch.from_numpy(active))
        if beginning is not None:
            self._begin(beginning)
        rewards, terminations, truncations, laps = (value.cpu().numpy() for value in result)
        ended = terminations | truncations
        infos: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            infos = self._final(ended, terminations, laps)
            self._begin(ended)
            infos |= self._infos(np.ones_like(ended))
        else:
            infos = self._infos(np.ones_like(ended), terminations, laps)
            self._ended = ended
        return self._observe(), rewards.astype(np.float64), terminations, truncations, infos

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        self.core.reset(torch.from_numpy(mask), start=self._start)

    def _final(self, ended: Array, terminations: Array, laps: Array) -> dict[str, Any]:
        """Observations and infos of the episodes that this step ended, as Gymnasium's vector environments give them."""
        observations = self._observe(ended)
        final = np.full(self.num_envs, None, dtype=object)
        for row, observation in zip(np.flatnonzero(ended), observations, strict=True):
            final[row] = observation.copy()
        info = self._infos(ended, terminations, laps)
        return {"final_obs": final, "_final_obs": ended.copy(), "final_info": info, "_final_info": ended.copy()}

    def _infos(self, mask: Array, terminations: Array | None = None, laps: Array | None = None) -> dict[str, Any]:
        """Infos of the rows of a mask: a value and a mask for each key."""
        infos: dict[str, Any] = {}
        completable = self.core.rewards.cap is not None
        progress = (("progress", self.core.progress),) if completable else ()
        for name, value in (*progress, ("temperature", self.core.temperature)):
            infos[name] = np.where(mask, value.cpu().numpy(), 0.0).astype(np.float64)
            infos[f"_{name}"] = mask.copy()
        if completable and terminations is not None and laps is not None and terminations.any():
            name = self.core.rewards.completion
            infos[name], infos[f"_{name}"] = laps.copy(), terminations.copy()
        return infos

    def _observe(self, mask: Array | None = None) -> Array:
        """Copies of the observations of all rows, or of those of a mask."""
        core = self.core
        with single_thread():
            value = core.features if self.obs_type == "features" else core.z
            chosen = value if mask is None else value[torch.from_numpy(mask)]
            if self.obs_type != "rgb":
                return chosen.float().cpu().clone(memory_format=torch.contiguous_format).numpy()
        return self._frames(chosen)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of each environment in the mode "rgb_array", as a single one's.

        Each is uint8 of shape (height, width, 3).

        Raises:
            ResetNeededError: before the first reset.
        """
        return self._pictures() if self._may_render("make_vec") else None

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, to be given to :meth:`set_state`; copies."""
        return {**super().get_state(), "ended": self._ended.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a saved state: what follows is the same to the bit.

        Raises:
            ConfigError: a state of another number of environments, world model, precision or autoreset mode; nothing
                has changed then.
        """
        ended = state.get("ended")
        if not isinstance(ended, np.ndarray) or ended.shape != (self.num_envs,) or ended.dtype != np.bool_:
            raise ConfigError(f"expected 'ended' in the state, bool of shape ({self.num_envs},), got {ended!r}")
        if ended.any() and self.autoreset_mode is AutoresetMode.SAME_STEP:
            raise ConfigError(
                f"environments {np.flatnonzero(ended).tolist()[:8]} of this state wait for their reset, which "
                "AutoresetMode.SAME_STEP does not have; restore it in the mode that it was saved in"
            )
        super().set_state(state)
        self._ended = ended.copy()
