"""Fewer parameters to search: the directions in which what a controller sees varies.

The features [z, h], 288 numbers for CarRacing, vary in some 60 directions. What a controller weighs in the others
changes nothing it does but costs the search a parameter each, for every number of the action. Searched in the leading
principal components, it is still a linear controller on all features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    outputs: int
    """A, the controller's."""

    @classmethod
    def of(cls, features: NDArray[np.floating], components: int, outputs: int) -> Subspace:
        """The leading components of samples of features, (N, F).

        All there are where they are fewer.

        Args:
            features: (N, F).
            components: how many.
            outputs: A, the controller's.

        Raises:
            ConfigError: unless ``components`` is positive.
        """
        if components < 1:
            raise ConfigError(f"subspace: expected 1 component or more, got {components}")
        centre = features.astype(np.float64).mean(axis=0)
        _, singular, directions = np.linalg.svd(features - centre, full_matrices=False)
        deviation = singular[:components] / np.sqrt(len(features))
        return cls(centre, directions[:components] / np.sqrt(np.maximum(deviation, 1e-6))[:, None], outputs)

    def with_directions(self, features: NDArray[np.floating], directions: NDArray[np.floating]) -> Subspace:
        """Also searched: what is known to matter, each scaled to a standard deviation of 1.

        Args:
            features: samples, (N, F).
            directions: (n, F).

        Raises:
            ConfigError: directions of another size than the features.
        """
        if directions.ndim != 2 or directions.shape[1] != features.shape[1]:
            raise ConfigError(
                f"directions: expected an array of shape (n, {features.shape[1]}), got {directions.shape}; they "
                "must be of the memory model that the controller sees through"
            )
        deviation = (features @ directions.T).std(axis=0).astype(np.float64)
        scaled = directions / np.maximum(deviation, 1e-6)[:, None]
        return Subspace(self.centre, np.concatenate([scaled, self.basis]), self.outputs)

    def expand(self, points: Array) -> Array:
        """Parameters of controllers for points of the search.

        (..., A k + A) -> (..., A F + A).
        """
        weights, bias = self._split(points)
        weights = weights @ self.basis
        bias = bias - weights @ self.centre
        return np.concatenate([weights.reshape(*points.shape[:-1], -1), bias], axis=-1)

    def reduce(self, parameters: NDArray[np.floating]) -> Array:
        """The point whose controller is nearest to these parameters, (A F + A,)."""
        weights, bias = self._split(parameters)
        weights = weights.astype(np.float64)
        point = weights @ np.linalg.pinv(self.basis)
        return np.concatenate([point.ravel(), bias + weights @ self.centre])

    def _split(self, flat: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Weights (..., A, n) and bias (..., A) of flat parameters."""
        weights = flat[..., : -self.outputs].reshape(*flat.shape[:-1], self.outputs, -1)
        return weights, flat[..., -self.outputs :]
