"""What a step pays in a world's dream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ConfigError
from dreamgym.worlds.actions import is_number

__all__ = ["RewardRule"]

Array = NDArray[np.float32]
A = TypeVar("A", bound=Any)  # a NumPy array or a torch tensor


@dataclass(frozen=True)
class RewardRule:
    """What a step of the dream pays.

    One formula is for tracks, for survival and for rewards that M learned.

    A gain is what M's reward head says, divided by :attr:`unit`, and 0 where it says :attr:`threshold` or less. The
    gains of an episode add up to its progress, at most :attr:`cap`. A step pays
    ``constant + scale * (progress after - before)``, or :attr:`failure` instead where M's draw ends the episode. An
    episode whose progress reaches the cap is complete.
    """

    constant: float = 0.0
    """Paid in every step."""
    scale: float = 1.0
    """Paid for a progress of 1; 0 where there is nothing to predict."""
    head: Literal["none", "count", "value"] = "value"
    """M's reward head: none; the expected number of units, never negative; or the expected reward."""
    unit: float = 1.0
    """What the head says for a progress of 1, such as the tiles of a lap; a bundle's is measured on its data."""
    threshold: float | None = None
    """Small spurious predictions: what the head says at or below this counts as 0; None for no such limit."""
    cap: float | None = None
    """The progress at which an episode is complete, in (0, 1]; None for never."""
    failure: float | None = None
    """Paid instead of all else where M's draw ends the episode; None to pay that step as any other."""
    completion: str = "complete"
    """The key of ``info`` that says, when an episode ends, whether it was complete."""

    def __post_init__(self) -> None:
        numbers = {"constant": self.constant, "scale": self.scale, "unit": self.unit}
        numbers |= {
            name: value
            for name, value in (("threshold", self.threshold), ("cap", self.cap), ("failure", self.failure))
            if value is not None
        }
        for name, value in numbers.items():
            positive = name in ("unit", "cap")
            if not is_number(value):
                raise ConfigError(f"rewards: expected {name} to be a finite number, got {value!r}")
            if positive and value <= 0:
                raise ConfigError(f"rewards: expected {name} to be positive, got {value!r}")
        if self.cap is not None and self.cap > 1:
            raise ConfigError(
                f"rewards: expected cap to be 1 or less, got {self.cap!r}; give what a complete episode pays as scale"
            )
        if self.head not in ("none", "count", "value") or not isinstance(self.completion, str):
            raise ConfigError(f"rewards: expected a head of none, count or value, and a key as text; got {self}")

    def counted(self, head_output: A) -> A:
        """What counts of what the head says: 0 for small spurious predictions; NumPy or torch."""
        return head_output if self.threshold is None else cast(A, head_output * (head_output > self.threshold))

    def expected(self, head_output: A) -> A:
        """The reward of a step by the head, while the episode goes on.

        NumPy or torch.
        """
        return cast(A, self.constant + self.scale * self.counted(head_output) / self.unit)

    def completed(self, info: Mapping[str, Any]) -> bool:
        """Whether an episode was complete, by the ``info`` of its last step.

        Without a :attr:`cap` none is.
        """
        return self.cap is not None and bool(info.get(self.completion, False))

    def units(self, rewards: Array, total_units: float) -> Array:
        """What the reward head should have predicted of recorded rewards, (T,).

        Args:
            rewards: as the environment paid them, (T,).
            total_units: units in a progress of 1, of this episode.
        """
        value = (rewards - np.float32(self.constant)) * total_units / (self.scale or 1.0)
        return (np.maximum(np.round(value), 0.0) if self.head == "count" else value).astype(np.float32)
