"""What a world is: everything that the package asks of a real environment, in one description.

A world is data and a few functions. The parts that a dream needs (:class:`ActionSet`, :class:`RewardRule`, frame rate,
time limit) are written into a bundle's card as JSON, so that a dream opens without the world's code.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ConfigError, ObservationError
from dreamgym.worlds.actions import ActionSet, Key, Squash, require_reachable, squash_outputs
from dreamgym.worlds.cards import actions_from_card, rewards_from_card, to_card
from dreamgym.worlds.judging import FidelityCases, Handicap, ScoreRule
from dreamgym.worlds.recording import Auxiliary, HardMoments, LabelRecorder, Labels, Player, RecordedSteps, Recording
from dreamgym.worlds.rewards import RewardRule

__all__ = [
    "FRAME_SHAPE",
    "LEAST_BURN_IN",
    "ActionSet",
    "Auxiliary",
    "FidelityCases",
    "Handicap",
    "HardMoments",
    "Key",
    "LabelRecorder",
    "Labels",
    "ModelSizes",
    "Player",
    "Preprocess",
    "RecordedSteps",
    "Recording",
    "RewardRule",
    "ScoreRule",
    "Squash",
    "World",
    "actions_from_card",
    "import_world",
    "installed_versions",
    "rewards_from_card",
    "squash_outputs",
    "to_card",
]

FRAME_SHAPE: Final = (64, 64, 3)
"""What V sees, of every world: uint8."""
LEAST_BURN_IN: Final = 30
"""Real frames, at least, that M has seen when a dream starts within an episode: its hidden state then holds speed."""


@dataclass(frozen=True)
class Preprocess:
    """The one way from a world's raw frame to the picture that V sees."""

    raw_shape: tuple[int, ...]
    """Of one raw frame, uint8."""
    convert: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    """From (..., *raw_shape) to (..., 64, 64, 3), both uint8: one frame, or any number in leading dimensions."""
    version: int = 1
    """Raised whenever a pixel of the result would change; recorded with episodes and weights."""

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames for V, uint8 (..., 64, 64, 3), of raw ones, uint8 (..., *raw_shape).

        Raises:
            ObservationError: another shape or dtype, given or made.
        """
        if frames.shape[-len(self.raw_shape) :] != self.raw_shape or frames.dtype != np.uint8:
            raise ObservationError(
                f"expected one or more raw frames, uint8 of shape {self.raw_shape}; got {frames.dtype} of shape "
                f"{frames.shape}"
            )
        made = self.convert(frames)
        leading = frames.shape[: frames.ndim - len(self.raw_shape)]
        if made.shape != (*leading, *FRAME_SHAPE) or made.dtype != np.uint8:
            raise ObservationError(
                f"preprocess: expected uint8 of shape {(*leading, *FRAME_SHAPE)} of raw frames of {frames.shape}, "
                f"got {made.dtype} of shape {made.shape}; convert takes one frame, and any number in leading dimensions"
            )
        return made


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of V and M (World Models, appendix A)."""

    latents: int = 32
    """Z."""
    hidden_units: int = 256
    """H."""
    mixtures: int = 5
    """K."""
    factors: int = 4
    """F, the common factors of :mod:`dreamgym.memory.correlated_noise`; 0 in the paper."""
    sequence_length: int = 96
    """Steps in a training sequence of M."""


def _accepts_any(env: gym.Env[Any, Any]) -> str | None:
    return None


def _unknown(env: gym.Env[Any, Any]) -> int | None:
    return None


@dataclass(frozen=True)
class World:
    """The description of a real environment and of how it is learned."""

    name: str
    """In CamelCase; the ids are ``Dream<name>-v0`` and ``Latent<name>-v0``."""
    env_id: str
    """Gymnasium's id of the real environment, or another unique name of it."""
    make_env: Callable[..., gym.Env[Any, Any]]
    """``make_env(render_mode=None, max_episode_steps=N, exact_drawing=True, continuous=None)``: the real environment.
    Its time limit is N steps, or none for None; its action space is ``actions.space(continuous)``."""
    preprocess: Preprocess
    actions: ActionSet
    rewards: RewardRule
    fps: int
    max_episode_steps: int
    sizes: ModelSizes = field(default_factory=ModelSizes)
    labels: Labels = field(default_factory=Labels)
    players: Mapping[str, Callable[[], Player]] = field(default_factory=dict)
    """Who records data, by name."""
    recordings: Mapping[str, Recording] = field(default_factory=dict)
    """What ``train all`` records before its first round, by name; V trains on the first. Empty: all players."""
    own_recording: Recording | None = None
    """What each later round records with its own controller; None for it alone, disturbed in half of the episodes."""
    hard_moments: tuple[HardMoments, ...] = ()
    probes: Mapping[str, Sequence[tuple[int, tuple[float, ...]]]] = field(default_factory=dict)
    """Policies that should score at the minimum: pairs of a number of steps and an action, the last one held."""
    fidelity: FidelityCases = field(default_factory=FidelityCases)
    score: ScoreRule = field(default_factory=ScoreRule)
    versions: Callable[[], Mapping[str, Any]] = dict
    """Versions that decide what a recorded frame looks like."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Settings of ``train all`` that differ from its defaults; those of its stages "vision", "memory" and "evolve" are
    mappings of their own. See :class:`dreamgym.config.PipelineConfig`."""
    accepts: Callable[[gym.Env[Any, Any]], str | None] = _accepts_any
    """Why a given real environment is not this world as it was recorded, for the wrappers; None where it is."""
    reusable: bool = False
    """Whether an episode in a used environment is to the bit that in a new one. Processes that play many then keep one,
    which saves time where making it is slow."""
    simulated_steps: Callable[[gym.Env[Any, Any]], int | None] = _unknown
    """Steps that the simulator has made in this episode, or None; shows wrappers that skip frames."""
    own_actions: Callable[[NDArray[Any]], NDArray[np.float32]] | None = None
    """From the environment's own actions, (T, ...), to those of :attr:`actions`, (T, A), for recordings made elsewhere;
    raises :class:`~dreamgym.errors.ActionError`. None where they are the same."""
    aspect: float = 1.0
    """Width over height of the view that V's square picture shows."""
    picture: Callable[[gym.Env[Any, Any], NDArray[np.uint8]], NDArray[np.uint8]] | None = None
    """``picture(env, raw_frame)``: that view for people, as sharp as it was drawn, uint8 (height, width, 3); good until
    the next step. None where V's own picture has to do."""
    check_pictures: Callable[[NDArray[np.uint8], NDArray[np.uint8]], Mapping[str, float]] | None = None
    """``check_pictures(frames, reconstructions)``: figures by name that V's training log has besides its losses, on
    held-out frames, uint8 (N, 64, 64, 3)."""
    origin: str | None = field(default=None, init=False, repr=False, compare=False)
    """The ``module:OBJECT`` that the registry imported it as; other processes then import it, too."""

    def __post_init__(self) -> None:
        """Refuse at once what a bundle, an evolution or a comparison would refuse after hours of training."""
        size, fidelity = self.actions.size, self.fidelity
        numbers = {"fps": self.fps, "max_episode_steps": self.max_episode_steps}
        for name, value in {**numbers, "preprocess.version": self.preprocess.version}.items():
            if type(value) is not int or value < 1:
                raise ConfigError(f"{name}: expected a whole number, 1 or more, got {value!r}")
        if not 0.1 <= self.aspect <= 10.0:
            raise ConfigError(f"aspect: expected width over height in 0.1..10, got {self.aspect!r}")
        require_reachable(self.actions)
        unknown = [name for name in (*fidelity.players, *fidelity.fast) if name not in self.players]
        if unknown:
            raise ConfigError(f"fidelity: expected some of the players {sorted(self.players)}, got {unknown}")
        rows = [row for each in fidelity.handicaps for row in (each.scale, each.offset) if row is not None]
        rows += [action for parts in self.probes.values() for _, action in parts]
        if any(len(row) != size for row in rows):
            raise ConfigError(f"fidelity, probes: expected {size} numbers in each handicap and action, got {rows}")

    def __reduce__(self) -> Any:
        """A description with an origin is pickled by name, so that its functions need not be picklable."""
        return super().__reduce__() if self.origin is None else (import_world, (self.origin,))

    @classmethod
    def from_env(cls, env: str | Callable[[str | None], gym.Env[Any, Any]], **settings: Any) -> World:
        """Describe a Gymnasium environment that shows pictures; see :func:`dreamgym.worlds.from_env.from_env`.

        Args:
            env: its id, or a function of the render mode that makes it.
            settings: crop, frame skip and others; and fields of this class.
        """
        from dreamgym.worlds.from_env import from_env

        return from_env(env, **settings)

    @property
    def dream_id(self) -> str:
        """Gymnasium's id of the dream."""
        return f"Dream{self.name}-v0"

    @property
    def latent_id(self) -> str:
        """Gymnasium's id of the real environment seen through V and M."""
        return f"Latent{self.name}-v0"

    @property
    def slug(self) -> str:
        """The name in lower case with underscores, as folders and modules have it."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()

    def progress_made(self, env: gym.Env[Any, Any]) -> tuple[float, float]:
        """Units made so far in a real episode, and units in a progress of 1.

        None are made where the world has no progress.
        """
        return (0.0, self.rewards.unit) if self.score.progress is None else self.score.progress(env)

    def recorded_versions(self) -> dict[str, Any]:
        """What decides a recorded frame: versions, and that of the preprocessing."""
        return {"preprocess": self.preprocess.version, **self.versions()}


def installed_versions(*packages: str) -> dict[str, Any]:
    """Versions of Python and of packages, by name; None for those that are not installed."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def import_world(origin: str) -> World:
    """The description at ``module:OBJECT``, which is imported.

    Raises:
        ConfigError: there is none.
    """
    module, _, attribute = origin.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # whatever a user's module raises while it runs
        raise ConfigError(
            f"world: cannot import {origin!r} ({type(error).__name__}: {error}); expected module:OBJECT, of a module "
            "that Python can import: its folder must be in PYTHONPATH"
        ) from error
    if not isinstance(found, World):
        raise ConfigError(f"world: expected {origin!r} to be a dreamgym.worlds.base.World, got {type(found).__name__}")
    object.__setattr__(found, "origin", origin)
    return found
