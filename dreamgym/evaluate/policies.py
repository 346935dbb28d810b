"""What drives: any callable from features to actions, loaded from a file or made by hand."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamgym.control.linear import LinearController
from dreamgym.errors import BundleNotFoundError, ConfigError, InstallationError, ObservationError, UntrustedPickleError
from dreamgym.real.world import CAR_RACING
from dreamgym.world_model import WorldModel

__all__ = ["Policy", "SB3Policy", "begin_episodes", "load_policy"]


class Policy(Protocol):
    """Chooses actions for a batch of rows; :class:`~dreamgym.control.linear.LinearController` is one.

    A policy that remembers anything has ``reset(seeds)`` as well, which is called before a batch of episodes with one
    seed for each row; its choices must then be a function of a row's seed and observations.
    """

    def __call__(self, observation: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Actions, (B, 3) in CarRacing's range, for features, float32 of shape (B, 288)."""


def begin_episodes(policy: Policy, seeds: Sequence[int]) -> None:
    """Tell a policy that remembers that episodes begin, one a row."""
    reset = getattr(policy, "reset", None)
    if reset is not None:
        reset(seeds)


class SB3Policy:
    """A stable-baselines3 or sb3-contrib policy saved by ``model.save``, acting without exploration noise.

    Its actions are cut to the action range, as SB3 does. A policy trained behind Gymnasium's ``RescaleAction`` gives
    actions in [-1, 1]^3, which are scaled back to CarRacing's range here: an archive's action space tells.

    Args:
        path: the archive. Reading it unpickles, which runs code of its author's choosing.
        latent_size: how many of the features are z, for a policy trained on ``obs_type="latent"``.

    Raises:
        ConfigError: it was trained for another action space.
        ObservationError: it was trained on other observations than the 288 features, or z alone.
    """

    def __init__(self, path: Path | str, latent_size: int = 32) -> None:
        self._path, self._latent_size = str(path), latent_size
        self._load()

    def _load(self) -> None:
        model = _load_archive(self._path)
        self._model = model
        self._state: Any = None
        self._starts: NDArray[np.bool_] | None = None
        self._size = int(np.prod(model.observation_space.shape or (0,)))
        self._scaled = _needs_rescaling(model.action_space, self._path)

    def __reduce__(self) -> tuple[type[SB3Policy], tuple[str, int]]:
        return SB3Policy, (self._path, self._latent_size)  # each worker process reads the archive itself

    def reset(self, seeds: Sequence[int]) -> None:
        """Forget the recurrent state, if there is one."""
        self._state, self._starts = None, np.ones(len(seeds), bool)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Policy`."""
        if self._size not in (observation.shape[-1], self._latent_size):
            raise ObservationError(
                f"{self._path} was trained on {self._size} numbers; expected {observation.shape[-1]}, the features, "
                f"or {self._latent_size}, the latents that they begin with"
            )
        seen = observation[..., : self._size]  # z alone for a policy of obs_type="latent"
        action, self._state = self._model.predict(
            seen, state=self._state, episode_start=self._starts, deterministic=True
        )
        if self._starts is not None:
            self._starts = np.zeros_like(self._starts)
        low, high = (np.array(end, np.float32) for end in (CAR_RACING.action_low, CAR_RACING.action_high))
        if self._scaled:
            action = low + (np.clip(action, -1.0, 1.0) + 1.0) / 2.0 * (high - low)
        return np.asarray(np.clip(action, low, high), np.float32)


def _load_archive(path: str) -> Any:
    try:
        import stable_baselines3
    except ImportError as error:
        raise InstallationError(
            f"{path} is an SB3 archive, which needs stable-baselines3; run: pip install 'dreamgym[sb3]'"
        ) from error
    algorithms = [getattr(stable_baselines3, name) for name in ("PPO", "A2C", "SAC", "TD3", "DDPG")]
    try:
        import sb3_contrib

        algorithms += [getattr(sb3_contrib, name) for name in ("RecurrentPPO", "TQC", "TRPO", "CrossQ")]
    except ImportError:
        pass
    problems = []
    for algorithm in algorithms:
        try:
            return algorithm.load(path, device="cpu")
        except Exception as error:
            problems.append(f"{algorithm.__name__}: {error}")
    raise ConfigError(f"{path}: expected an archive of {[a.__name__ for a in algorithms]}; {'; '.join(problems)[:600]}")


def _needs_rescaling(space: Any, path: str) -> bool:
    ends = np.array(getattr(space, "low", ())), np.array(getattr(space, "high", ()))
    if np.array_equal(ends, (CAR_RACING.action_low, CAR_RACING.action_high)):
        return False
    if np.array_equal(ends, (-np.ones(3), np.ones(3))):
        return True
    raise ConfigError(
        f"{path}: expected a policy for actions in {CAR_RACING.action_low} .. {CAR_RACING.action_high}, or for "
        f"[-1, 1]^3 by RescaleAction; it was trained for {space}"
    )


def load_policy(path: Path | None, world: WorldModel, *, trust_pickle: bool = False) -> Policy:
    """The policy in a file.

    Args:
        path: a controller's safetensors; an SB3 archive (.zip); None for the world model's own controller.
        world: whose controller None stands for.
        trust_pickle: whether an SB3 archive may be unpickled.

    Raises:
        BundleNotFoundError: no such file, or no controller in the world model.
        BundleError: a damaged file.
        UntrustedPickleError: an SB3 archive without ``trust_pickle``.
    """
    if path is None:
        if world.controller is None:
            raise BundleNotFoundError("the world model has no controller of its own; name a controller's file")
        return world.controller
    if path.suffix.lower() != ".zip":
        return LinearController.load(path)
    if not path.is_file():
        raise BundleNotFoundError(f"expected an SB3 archive, found nothing at {path}")
    if not trust_pickle:
        raise UntrustedPickleError(
            f"{path} is an SB3 archive, which can only be read by unpickling it: that runs code of its author's "
            "choosing. If you trust its author, say so with --trust-pickle"
        )
    warnings.warn(f"unpickling {path}: this runs code of its author's choosing", stacklevel=2)
    return SB3Policy(path, world.vision.latent_size)
