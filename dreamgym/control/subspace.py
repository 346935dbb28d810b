"""Fewer parameters to search: the directions in which what a controller sees varies.

The features [z, h] of 288 numbers vary in some 60 directions. What a controller weighs in the others changes nothing it
does but costs the search a parameter each, three times over. Searched in the leading principal components, it is still
a linear controller on all features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ConfigError

__all__ = ["Subspace"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Subspace:
    """Leading principal components of features, each scaled to the square root of its standard deviation.

    Between no scaling, in which the search hardly tries the smaller components, and whitening, which takes them for as
    important as the larger ones.
    """

    centre: Array
    """The features' mean, (F,)."""
    basis: Array
    """(k, F): component j of features f is ``basis[j] @ (f - centre)``."""

    @classmethod
    def of(cls, features: NDArray[np.floating], components: int) -> Subspace:
        """The leading components of samples of features, (N, F); all there are where they are fewer.

        Raises:
            ConfigError: unless ``components`` is positive.
        """
        if components < 1:
            raise ConfigError(f"subspace: expected 1 component or more, got {components}")
        centre = features.astype(np.float64).mean(axis=0)
        _, singular, directions = np.linalg.svd(features - centre, full_matrices=False)
        deviation = singular[:components] / np.sqrt(len(features))
        return cls(centre, directions[:components] / np.sqrt(np.maximum(deviation, 1e-6))[:, None])

    def expand(self, points: Array) -> Array:
        """Controllers' parameters, (..., 3 F + 3), for points of the search, (..., 3 k + 3)."""
        weights = points[..., :-3].reshape(*points.shape[:-1], 3, -1) @ self.basis
        bias = points[..., -3:] - weights @ self.centre
        return np.concatenate([weights.reshape(*points.shape[:-1], -1), bias], axis=-1)

    def reduce(self, parameters: NDArray[np.floating]) -> Array:
        """The point whose controller is nearest to the one with these parameters, (3 F + 3,)."""
        weights = parameters[:-3].astype(np.float64).reshape(3, -1)
        lengths = (self.basis**2).sum(axis=1)
        point = weights @ (self.basis / lengths[:, None]).T
        return np.concatenate([point.ravel(), parameters[-3:] + weights @ self.centre])
