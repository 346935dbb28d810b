"""A controller as a driver for recording: it sees the frames through V and M."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamgym.control.linear import LinearController
from dreamgym.encoder import LatentEncoder
from dreamgym.errors import ConfigError
from dreamgym.real.drivers import OrnsteinUhlenbeck
from dreamgym.real.world import CAR_RACING
from dreamgym.world_model import WorldModel, locate

__all__ = ["ControllerDriver"]


class ControllerDriver:
    """Drives real episodes with a linear controller, disturbed or not.

    Makes a picklable driver factory by ``functools.partial(ControllerDriver, folder, path, weight_noise=0.1)``. Every
    random choice comes from the generator given to :meth:`reset`: the weights' disturbance, the level and quickness
    of the actions' noise, and z's noise. h is advanced with the action that is executed, noise included.

    Args:
        world_model: a bundle's folder, or None for the one that :meth:`WorldModel.load` finds. A process reads it once.
        controller: a controller's file, or its parameters, (867,); None for the bundle's own.
        weight_noise: standard deviation of the noise on every parameter, as a share of the parameters' root mean
            square, or several such shares of which each episode draws one. A new disturbance for each episode.
        action_noise: standard deviation of the noise on the action, or several of which each episode draws one. The
            noise is an Ornstein-Uhlenbeck process, from white to forgetting in 20 steps.
        latent: ``"sample"`` or ``"mean"``.

    Raises:
        BundleError: a missing or damaged file.
        ConfigError: no noise level, a negative one, or a bundle without a controller where none was given.
    """

    def __init__(
        self,
        world_model: Path | str | None,
        controller: Path | str | Sequence[float] | NDArray[np.floating] | None = None,
        *,
        weight_noise: float | Sequence[float] = 0.0,
        action_noise: float | Sequence[float] = 0.0,
        blindness: float | Sequence[float] = 0.0,
        latent: str = "sample",
    ) -> None:
        self._world = _load(locate(world_model))
        self._given = _controller(controller, self._world)
        self.controller = self._given
        """What drives this episode: the controller, disturbed."""
        self._weight_noise = _levels("weight_noise", weight_noise)
        self._action_noise = _levels("action_noise", action_noise)
        self._blindness = _levels("blindness", blindness)
        if (self._blindness > 1).any():
            raise ConfigError(f"blindness: expected shares of at most 1, got {blindness!r}")
        self.encoder = LatentEncoder(self._world, latent=latent)
        """What it sees through."""

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """Begin an episode; see :class:`~dreamgym.real.drivers.Driver`."""
        parameters = self._given.parameters.astype(np.float64)
        scale = rng.choice(self._weight_noise) * np.sqrt(np.mean(parameters**2))
        self.controller = LinearController.from_parameters(parameters + scale * rng.standard_normal(len(parameters)))
        rate = np.full(3, np.exp(rng.uniform(np.log(0.05), 0.0)))
        self._noise = OrnsteinUhlenbeck(rng, rate, np.full(3, rng.choice(self._action_noise)))
        self._latent_seed = int(rng.integers(2**62))
        blindness = rng.choice(self._blindness)
        if blindness > 0:
            self.controller.weights[:, rng.random(self.controller.weights.shape[1]) < blindness] = 0.0
        self._executed: NDArray[np.float32] | None = None

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The action, float32 (3,), for the preprocessed frame, uint8 (64, 64, 3)."""
        if self._executed is None:
            self.encoder.reset(frame[None], seeds=[self._latent_seed])
        else:
            self.encoder.step(frame[None], self._executed[None])
        wanted = self.controller(self.encoder.features())[0] + self._noise.step()
        self._executed = np.clip(wanted, CAR_RACING.action_low, CAR_RACING.action_high).astype(np.float32)
        return self._executed.copy()


def _levels(name: str, value: float | Sequence[float]) -> NDArray[np.float64]:
    levels = np.atleast_1d(np.asarray(value, np.float64))
    if not len(levels) or not (np.isfinite(levels) & (levels >= 0)).all():
        raise ConfigError(f"{name}: expected one or more numbers of at least 0, got {value!r}")
    return levels


def _controller(given: Any, world: WorldModel) -> LinearController:
    if isinstance(given, str | Path):
        return LinearController.load(given)
    if given is not None:
        return LinearController.from_parameters(np.asarray(given))
    if world.controller is None:
        raise ConfigError("controller: expected a file or parameters, got None, and the world model has none")
    return world.controller


def _load(folder: Path) -> WorldModel:
    """A bundle, read again only where its card has changed: recording makes a driver for every episode."""
    return _load_version(folder, (folder / "card.json").stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _load_version(folder: Path, _: int) -> WorldModel:
    return WorldModel.load(folder)
