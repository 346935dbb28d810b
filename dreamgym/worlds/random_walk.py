"""Random walks that players disturb their actions with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["OrnsteinUhlenbeck"]


class OrnsteinUhlenbeck:
    """A mean-reverting random walk, standard deviation ``scale``, forgetting at ``rate`` a step."""

    def __init__(self, rng: np.random.Generator, rate: NDArray[np.float64], scale: NDArray[np.float64]) -> None:
        self._rng, self._rate, self._scale = rng, rate, scale
        self.value = scale * rng.standard_normal(len(scale))

    def step(self) -> NDArray[np.float64]:
        """The next value, (len(scale),)."""
        noise = self._rng.standard_normal(len(self._scale))
        self.value = (1 - self._rate) * self.value + np.sqrt(self._rate * (2 - self._rate)) * self._scale * noise
        return self.value
