"""Policies that are easy to follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamgym.controller.linear import LinearController

__all__ = ["Constant", "Noting"]

Array = NDArray[np.float32]


class Noting:
    """A policy that remembers what it was told and shown."""

    def __init__(self, controller: LinearController) -> None:
        self.controller, self.seeds, self.seen = controller, [], []  # type: ignore[var-annotated]

    def reset(self, seeds: Sequence[int]) -> None:
        self.seeds.append(list(seeds))

    def __call__(self, observation: Array) -> Array:
        self.seen.append(observation.copy())
        return self.controller(observation)


class Constant:
    """A policy that always does the same."""

    def __init__(self, *action: float) -> None:
        self.action = action

    def __call__(self, observation: Array) -> Array:
        return np.tile(np.array(self.action, np.float32), (len(observation), 1))
