"""A controller as a player for recording: it sees the frames through V and M."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamgym.controller.linear import LinearController
from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.errors import ConfigError
from dreamgym.world_model import WorldModel, locate
from dreamgym.worlds.random_walk import OrnsteinUhlenbeck

__all__ = ["ControllerPlayer"]


class ControllerPlayer:
    """Plays real episodes with a linear controller, disturbed or not.

    Makes a picklable player factory by ``functools.partial(ControllerPlayer, world_model, weight_noise=0.1)``. Every
    random choice comes from the generator given to :meth:`reset`: the weights' disturbance, the level and quickness
    of the actions' noise, and z's noise. h is advanced with the action that is executed, noise included.

    Args:
        world_model: a bundle, its folder, which a process reads once, or None for the one that :meth:`WorldModel.load`
            finds.
        controller: a controller, its file, or its parameters, flat; None for the bundle's own.
        weight_noise: standard deviation of the noise on every parameter, as a share of the parameters' root mean
            square, or several such shares of which each episode draws one. A new disturbance for each episode.
        action_noise: standard deviation of the noise on the action, or several of which each episode draws one. The
            noise is an Ornstein-Uhlenbeck process, from white to forgetting in 20 steps.
        blindness: share of the features that the controller lacks, or several of which each episode draws one; which
            features, is drawn for each episode.
        latent: ``"sample"`` or ``"mean"``.
        world: the name of the world that the bundle must be of; None for any.

    Raises:
        BundleError: a missing or damaged file.
        ConfigError: no noise level, a negative one, or a bundle without a controller where none was given.
    """

    def __init__(
        self,
        world_model: WorldModel | Path | str | None,
        controller: LinearController | Path | str | Sequence[float] | NDArray[np.floating] | None = None,
        *,
        weight_noise: float | Sequence[float] = 0.0,
        action_noise: float | Sequence[float] = 0.0,
        blindness: float | Sequence[float] = 0.0,
        latent: str = "sample",
        world: str | None = None,
    ) -> None:
        if not isinstance(world_model, WorldModel):
            world_model = _load(locate(world_model, world), world)
        self.world_model = world_model
        """What it sees through."""
        self._given = _controller(controller, self.world_model)
        self.controller = self._given
        """What plays this episode: the controller, disturbed."""
        self._weight_noise = _levels("weight_noise", weight_noise)
        self._action_noise = _levels("action_noise", action_noise)
        self._blindness = _levels("blindness", blindness)
        if (self._blindness > 1).any():
            raise ConfigError(f"blindness: expected shares of at most 1, got {blindness!r}")
        self.encoder = LatentEncoder(self.world_model, latent=latent, preprocessed=True)
        """V and M, in the midst of an episode."""

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """Begin an episode; see :class:`~dreamgym.worlds.base.Player`."""
        parameters = self._given.parameters.astype(np.float64)
        scale = rng.choice(self._weight_noise) * np.sqrt(np.mean(parameters**2))
        self.controller = self._given.with_parameters(parameters + scale * rng.standard_normal(len(parameters)))
        size = self.world_model.actions.size
        rate = np.full(size, np.exp(rng.uniform(np.log(0.05), 0.0)))
        self._noise = OrnsteinUhlenbeck(rng, rate, np.full(size, rng.choice(self._action_noise)))
        self._latent_seed = int(rng.integers(2**62))
        blindness = rng.choice(self._blindness)
        if blindness > 0:
            self.controller.weights[:, rng.random(self.controller.weights.shape[1]) < blindness] = 0.0
        self._executed: NDArray[np.float32] | None = None

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The action, float32 (A,), for the preprocessed frame, uint8 (64, 64, 3)."""
        if self._executed is None:
            self.encoder.reset(frame[None], seeds=[self._latent_seed])
        else:
            self.encoder.step(frame[None], self._executed[None])
        actions = self.world_model.actions
        wanted = self.controller(self.encoder.features())[0] + self._noise.step()
        given: NDArray[np.float32] = np.clip(wanted, actions.low, actions.high).astype(np.float32)
        self._executed = actions.executed(given)
        return given.copy()


def _levels(name: str, value: float | Sequence[float]) -> NDArray[np.float64]:
    levels = np.atleast_1d(np.asarray(value, np.float64))
    if not len(levels) or not (np.isfinite(levels) & (levels >= 0)).all():
        raise ConfigError(f"{name}: expected one or more numbers of at least 0, got {value!r}")
    return levels


def _controller(given: Any, world_model: WorldModel) -> LinearController:
    squash, memory = world_model.actions.squash, world_model.memory
    if isinstance(given, LinearController):
        return given
    if isinstance(given, str | Path):
        found = LinearController.load(given)
        found.require_form_of(LinearController.zeros(memory.latent_size + memory.hidden_size, squash), given)
        return found
    if given is not None:
        return LinearController.from_parameters(np.asarray(given), squash)
    if world_model.controller is None:
        raise ConfigError("controller: expected a file or parameters, got None, and the world model has none")
    return world_model.controller


def _load(folder: Path, world: str | None) -> WorldModel:
    """A bundle, read again only where its card has changed: recording makes a player for every episode."""
    return _load_version(folder, (folder / "card.json").stat().st_mtime_ns, world)


@functools.lru_cache(maxsize=2)
def _load_version(folder: Path, _: int, world: str | None) -> WorldModel:
    return WorldModel.load(folder, world=world)
