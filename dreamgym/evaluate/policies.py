"""What plays: any callable from features to actions, loaded from a file or made by hand."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dreamgym.controller.linear import LinearController
from dreamgym.errors import BundleNotFoundError, ConfigError, InstallationError, ObservationError, UntrustedPickleError
from dreamgym.tensor_files import read_content
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import ActionSet
from dreamgym.worlds.registry import find

_LARGEST: Final = 1 << 31
"""Bytes of an archive."""

__all__ = ["Policy", "SB3Policy", "begin_episodes", "load_policy"]


class Policy(Protocol):
    """Chooses actions for a batch of rows; :class:`~dreamgym.controller.linear.LinearController` is one.

    A policy that remembers anything has ``reset(seeds)`` as well, which is called before a batch of episodes with one
    seed for each row; its choices must then be a function of a row's seed and observations.
    """

    def __call__(self, observation: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Actions, (B, A) in the world's range, for features, float32 of shape (B, Z + H)."""


def begin_episodes(policy: Policy, seeds: Sequence[int]) -> None:
    """Tell a policy that remembers that episodes begin, one a row."""
    reset = getattr(policy, "reset", None)
    if reset is not None:
        reset(seeds)


class SB3Policy:
    """A stable-baselines3 or sb3-contrib policy saved by ``model.save``, acting without exploration noise.

    Its actions are clipped to the action range, as SB3 does. A policy trained behind Gymnasium's ``RescaleAction``
    gives actions in [-1, 1]^A, which are scaled back to the world's range here, and one trained on discrete actions
    their numbers: an archive's action space tells.

    Args:
        path: the archive. Reading it unpickles, which runs code of its author's choosing.
        latent_size: how many of the features are z, for a policy trained on ``obs_type="latent"``.
        actions: the world's; those of the default world when None.
        statistics: the file that ``VecNormalize.save`` wrote, for a policy trained behind it; unpickled as well.

    Raises:
        ConfigError: it was trained for another action space, or the statistics are none.
        ObservationError: it was trained on other observations than the features, or z alone.
    """

    def __init__(
        self,
        path: Path | str,
        latent_size: int = 32,
        actions: ActionSet | None = None,
        statistics: Path | str | None = None,
    ) -> None:
        self._path, self._latent_size = str(path), latent_size
        self._archive = read_content(Path(path), _LARGEST)
        self._actions = actions or find().actions
        self._statistics = None if statistics is None else (str(statistics), read_content(Path(statistics), _LARGEST))
        self._load()

    def _load(self) -> None:
        model = _load_archive(self._path, self._archive)
        self._model = model
        self._state: Any = None
        self._starts: NDArray[np.bool_] | None = None
        self._size = int(np.prod(model.observation_space.shape or (0,)))
        self._vectors = _vectors_of(model.action_space, self._actions, self._path)
        self._normalized = _normalization(*self._statistics, self._size) if self._statistics else None

    def __getstate__(self) -> dict[str, Any]:
        """What files hold, and no model: a process on a machine that lacks the files makes it of that."""
        return {name: vars(self)[name] for name in ("_path", "_latent_size", "_actions", "_archive", "_statistics")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._load()

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
        if self._normalized is not None:
            seen = self._normalized(seen)
        action, self._state = self._model.predict(
            seen, state=self._state, episode_start=self._starts, deterministic=True
        )
        if self._starts is not None:
            self._starts = np.zeros_like(self._starts)
        return self._vectors(action)


def _load_archive(path: str, content: bytes) -> Any:
    try:
        import stable_baselines3
    except ImportError as error:
        raise InstallationError(
            f"{path} is an SB3 archive, which needs stable-baselines3; run: pip install 'dreamgym[sb3]'"
        ) from error
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ConfigError(f"{path}: expected an SB3 archive, got a file that is no zip archive; copy it again")
    algorithms = [getattr(stable_baselines3, name) for name in ("PPO", "A2C", "SAC", "TD3", "DDPG", "DQN")]
    try:
        import sb3_contrib

        algorithms += [getattr(sb3_contrib, name) for name in ("RecurrentPPO", "TQC", "TRPO", "CrossQ", "QRDQN", "ARS")]
    except ImportError:
        pass
    problems: dict[str, list[str]] = {}  # most say the same
    for algorithm in algorithms:
        try:
            return algorithm.load(io.BytesIO(content), device="cpu")
        except Exception as error:
            problems.setdefault(str(error), []).append(algorithm.__name__)
    told = "; ".join(f"{', '.join(names)}: {problem[:200]}" for problem, names in problems.items())
    raise ConfigError(f"{path}: expected an archive of an algorithm's save; {told[:600]}")


def _normalization(path: str, content: bytes, size: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What VecNormalize made of observations when its statistics were saved."""
    try:
        saved = pickle.loads(content)  # noqa: S301 - after --trust-pickle alone
        normalize = cast("Callable[[NDArray[np.float32]], NDArray[np.float32]]", saved.normalize_obs)
        normalize(np.zeros((1, size), np.float32))
    except Exception as error:
        raise ConfigError(
            f"{path}: expected the statistics of {size} numbers that stable-baselines3's VecNormalize.save writes, got "
            f"{type(error).__name__}: {error}"
        ) from error
    return normalize


def _vectors_of(space: Any, actions: ActionSet, path: str) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The way from a policy's outputs, of the space it was trained for, to the world's action vectors."""
    low, high = np.array(actions.low, np.float32), np.array(actions.high, np.float32)
    ends = np.array(getattr(space, "low", ())), np.array(getattr(space, "high", ()))
    if np.array_equal(ends, (low, high)):
        return lambda action: np.asarray(np.clip(action, low, high), np.float32)
    if np.array_equal(ends, (-np.ones(len(low)), np.ones(len(low)))):
        return lambda action: np.asarray(low + (np.clip(action, -1.0, 1.0) + 1.0) / 2.0 * (high - low), np.float32)
    if actions.discrete and getattr(space, "n", None) == len(actions.discrete):
        return np.array(actions.discrete, np.float32).__getitem__
    raise ConfigError(
        f"{path}: expected a policy for actions in {actions.low} .. {actions.high}, for [-1, 1]^{len(low)} by "
        f"RescaleAction, or for one of {len(actions.discrete)} discrete actions; it was trained for {space}"
    )


def load_policy(
    path: Path | None, world_model: WorldModel, *, trust_pickle: bool = False, vec_normalize: Path | None = None
) -> Policy:
    """The policy in a file.

    Args:
        path: a controller's safetensors; an SB3 archive (.zip); None for the world model's own controller.
        world_model: whose controller None stands for, and whose actions and latents an archive's policy is of.
        trust_pickle: whether an SB3 archive may be unpickled.
        vec_normalize: statistics that an SB3 policy's observations were normalized with.

    Raises:
        BundleNotFoundError: no such file, or no controller in the world model.
        BundleError: a damaged file.
        ConfigError: a controller that was made for another world model.
        UntrustedPickleError: an SB3 archive without ``trust_pickle``.
    """
    if vec_normalize is not None and (path is None or path.suffix.lower() != ".zip"):
        raise ConfigError(f"vec_normalize: expected an SB3 archive (.zip) as the controller, got {path}; leave it out")
    if path is None:
        if world_model.controller is None:
            raise BundleNotFoundError("the world model has no controller of its own; name a controller's file")
        return world_model.controller
    if path.suffix.lower() != ".zip":
        memory, controller = world_model.memory, LinearController.load(path)
        squash = world_model.actions.squash
        controller.require_form_of(LinearController.zeros(memory.latent_size + memory.hidden_size, squash), path)
        return controller
    if not path.is_file():
        raise BundleNotFoundError(f"expected an SB3 archive, found nothing at {path}")
    if not trust_pickle:
        raise UntrustedPickleError(
            f"{path} is an SB3 archive, which can only be read by unpickling it: that runs code of its author's "
            "choosing. If you trust its author, say so with --trust-pickle"
        )
    warnings.warn(f"unpickling {path}: this runs code of its author's choosing", stacklevel=2)
    beside = [] if vec_normalize else sorted(path.parent.glob("*normalize*.pkl"))
    if beside:
        warnings.warn(
            f"{beside[0]} lies beside the archive: a policy that was trained behind VecNormalize plays badly without "
            f"its statistics; give them by --vec-normalize {beside[0]}",
            stacklevel=2,
        )
    return SB3Policy(path, world_model.vision.latent_size, world_model.actions, vec_normalize)
