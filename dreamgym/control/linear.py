"""C: the linear controller, a_t = squash(W [z_t, h_t] + b) (World Models, section 2.3)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from dreamgym.errors import BundleError, BundleNotFoundError, ConfigError

__all__ = ["LinearController", "squash"]

ACTION_SIZE = 3


def squash(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Into CarRacing's action range: steer = tanh, gas = (tanh + 1) / 2, brake = max(tanh, 0); (..., 3)."""
    action = np.tanh(raw)
    action[..., 1] = (action[..., 1] + 1.0) / 2.0
    action[..., 2] = np.maximum(action[..., 2], 0.0)
    return action


class LinearController:
    """A linear map from observation to action; 867 parameters on the 288 features.

    Args:
        weights: float32 (3, observation_size).
        bias: float32 (3,).

    Raises:
        ConfigError: for other shapes, or values that are not finite.
    """

    def __init__(self, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        if weights.ndim != 2 or len(weights) != ACTION_SIZE or bias.shape != (ACTION_SIZE,):
            raise ConfigError(
                f"controller: expected weights of shape (3, observation_size) and bias of shape (3,), "
                f"got {weights.shape} and {bias.shape}"
            )
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise ConfigError("controller: expected finite weights, got NaN or infinity among them")
        self.weights = np.ascontiguousarray(weights, np.float32)
        self.bias = np.ascontiguousarray(bias, np.float32)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Actions, float32 (..., 3), for observations, float32 (..., observation_size)."""
        # A sum of products rather than a matrix product: each row is the same to the bit in a batch of any size.
        return squash((observation[..., None, :] * self.weights).sum(axis=-1) + self.bias)

    @property
    def parameters(self) -> NDArray[np.float32]:
        """All parameters flat, the weights row by row and then the bias, (3 * observation_size + 3,)."""
        return np.concatenate([self.weights.ravel(), self.bias])

    @classmethod
    def from_parameters(cls, parameters: NDArray[np.floating]) -> LinearController:
        """The inverse of :attr:`parameters`."""
        flat = np.asarray(parameters, np.float32)
        return cls(flat[:-ACTION_SIZE].reshape(ACTION_SIZE, -1), flat[-ACTION_SIZE:])

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The tensors that :meth:`save` writes."""
        return {"weights": self.weights, "bias": self.bias}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[np.float32]]) -> LinearController:
        """The inverse of :meth:`tensors`.

        Raises:
            BundleError: if the keys are others, or the values are no controller's.
        """
        if set(tensors) != {"weights", "bias"}:
            raise BundleError(f"controller: expected the keys ['bias', 'weights'], got {sorted(tensors)}")
        try:
            return cls(tensors["weights"], tensors["bias"])
        except ConfigError as error:
            raise BundleError(str(error)) from error

    def save(self, path: Path | str) -> None:
        """Write safetensors atomically."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            save_file(self.tensors(), temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path | str) -> LinearController:
        """Read what :meth:`save` wrote.

        Raises:
            BundleNotFoundError: no such file.
            BundleError: it is damaged, or no controller.
        """
        if not Path(path).is_file():
            raise BundleNotFoundError(f"expected a controller's safetensors file, found nothing at {path}")
        try:
            tensors = load_file(path)
        except Exception as error:
            raise BundleError(f"cannot read a controller from {path}: {error}") from error
        return cls.from_tensors(tensors)
