"""What is recorded of a world: who plays, how long, and what the simulator says of it in training alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ConfigError

__all__ = ["Auxiliary", "HardMoments", "LabelRecorder", "Labels", "Player", "RecordedSteps", "Recording"]

Array = NDArray[np.float32]


class Player(Protocol):
    """Chooses actions in a real environment while data are recorded."""

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        """Begin an episode in the unwrapped environment; every random choice comes from ``rng``."""

    def act(self, frame: NDArray[np.uint8]) -> Array:
        """The action, float32 (A,), in the range, for the preprocessed frame, uint8 (64, 64, 3)."""


LONGEST: Final = 40_000
"""Steps of the longest episode that one file can hold."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Which episodes are recorded."""

    mix: dict[str, float]
    """Share of the episodes that each player records, by its name."""
    frames: int
    """Time limits of the planned episodes, added up: fewer frames are recorded where episodes end sooner."""
    lengths: tuple[int, ...]
    """Time limits of episodes, one drawn for each."""
    patience: int | None = None
    """End an episode after so many frames without a gain, so that one that gets nowhere fills no shards; None for
    never."""

    def __post_init__(self) -> None:
        shares, wanted_lengths = self.mix.values(), f"positive numbers of at most {LONGEST}"
        for name, wanted, met in (
            ("mix", "shares that are not negative and not all zero", all(x >= 0 for x in shares) and sum(shares) > 0),
            ("frames", "a positive number", self.frames > 0),
            ("lengths", wanted_lengths, bool(self.lengths) and 0 < min(self.lengths) <= max(self.lengths) <= LONGEST),
            ("patience", "a positive number or None", self.patience is None or self.patience > 0),
        ):
            if not met:
                raise ConfigError(f"{name}: expected {wanted}, got {getattr(self, name)!r}")


class LabelRecorder(Protocol):
    """Asks the simulator for an episode's labels while it is recorded."""

    def step(self) -> None:
        """See what a step led to; called after each."""

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        """All labels of the episode.

        (T + 1, n) for what is known at each frame, (T,) for what is known of a step.
        """


@dataclass(frozen=True)
class Auxiliary:
    """A head that M has while it trains.

    It predicts a label that the simulator gives in training alone.
    """

    label: str
    kind: Literal["value", "event"]
    """A squared error on (T + 1, n) numbers, or a cross-entropy on whether something happens in a step, (T,)."""
    size: int = 1
    """n."""
    weight: float = 1.0
    """Of its loss, against the latents' nats."""
    mirror: tuple[float, ...] | None = None
    """Factors of the label in a mirror; None leaves it as it is."""
    kept: bool = False
    """Whether the head stays in the bundle: evolution may put a penalty on its event."""


@dataclass(frozen=True)
class Labels:
    """What the simulator says while episodes are recorded, and never in use."""

    record: Callable[[gym.Env[Any, Any]], LabelRecorder] | None = None
    """Begins an episode's labels, right after its reset."""
    total_units: Callable[[gym.Env[Any, Any]], float] | None = None
    """Units in a progress of 1 of the present episode, such as a track's tiles; None for the rule's own unit."""
    auxiliaries: tuple[Auxiliary, ...] = ()

    def __post_init__(self) -> None:
        kept = [each for each in self.auxiliaries if each.kept]
        if len(kept) > 1 or any(each.kind != "event" for each in kept):
            told = ", ".join(f"{each.label} ({each.kind})" for each in kept)
            raise ConfigError(f"labels: expected one event at most whose head is kept, got {told}; keep one of them")


class RecordedSteps(Protocol):
    """What hard moments are found in: an encoded episode of T steps."""

    @property
    def progress(self) -> Array:
        """What the reward head should have said of each step, (T,)."""

    @property
    def labels(self) -> Mapping[str, Array]:
        """The recorded labels."""

    def __len__(self) -> int:
        """T."""


@dataclass(frozen=True)
class HardMoments:
    """A kind of moment that is worth practising, and where recorded episodes have it."""

    name: str
    share: float
    """Of the hard start states."""
    find: Callable[[RecordedSteps], list[int]]
    """Steps at which an episode has it."""
