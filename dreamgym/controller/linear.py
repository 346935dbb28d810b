"""C: the linear controller, a_t = squash(W [z_t, h_t] + b) (World Models, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from dreamgym.errors import BundleError, ConfigError
from dreamgym.files import write_bytes
from dreamgym.tensor_files import parse_metadata, parse_tensors, read_content
from dreamgym.worlds.base import Squash, squash_outputs
from dreamgym.worlds.registry import find

__all__ = ["LinearController"]

_SQUASH: Final = "squash"
"""Entry of a file's metadata: how each number of the action is squashed, separated by commas."""


class LinearController:
    """A linear map from observation to action.

    Of any sizes; for CarRacing 867 parameters on the 288 features.

    Args:
        weights: float32 (A, observation_size).
        bias: float32 (A,).
        squash: from raw outputs to each number of the action, see :class:`dreamgym.worlds.base.ActionSet`; the default
            world's when None.

    Raises:
        ConfigError: for other shapes, values that are not finite, or an unknown squashing.
    """

    def __init__(
        self, weights: NDArray[np.float32], bias: NDArray[np.float32], squash: Sequence[Squash] | None = None
    ) -> None:
        self.squash: tuple[Squash, ...] = find().actions.squash if squash is None else tuple(squash)
        size = len(self.squash)
        if not size or set(self.squash) - {"tanh", "unit", "positive"}:
            raise ConfigError(f"controller: expected each squash to be tanh, unit or positive, got {self.squash}")
        if weights.ndim != 2 or len(weights) != size or bias.shape != (size,):
            raise ConfigError(
                f"controller: expected weights of shape ({size}, observation_size) and bias of shape ({size},) for "
                f"actions squashed by {self.squash}, got {weights.shape} and {bias.shape}"
            )
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise ConfigError("controller: expected finite weights, got NaN or infinity among them")
        self.weights = np.ascontiguousarray(weights, np.float32)
        self.bias = np.ascontiguousarray(bias, np.float32)

    @classmethod
    def zeros(cls, observation_size: int, squash: Sequence[Squash]) -> LinearController:
        """A controller whose parameters are all zero."""
        return cls(np.zeros((len(squash), observation_size), np.float32), np.zeros(len(squash), np.float32), squash)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Actions, float32 (..., A), for observations, float32 (..., observation_size)."""
        # A sum of products rather than a matrix product: each row is the same to the bit in a batch of any size.
        return squash_outputs((observation[..., None, :] * self.weights).sum(axis=-1) + self.bias, self.squash)

    @property
    def parameters(self) -> NDArray[np.float32]:
        """All parameters flat, (A * observation_size + A,).

        The weights row by row, and then the bias.
        """
        return np.concatenate([self.weights.ravel(), self.bias])

    @classmethod
    def from_parameters(
        cls, parameters: NDArray[np.floating], squash: Sequence[Squash] | None = None
    ) -> LinearController:
        """The inverse of :attr:`parameters`; ``squash`` as for the class."""
        size = len(find().actions.squash if squash is None else squash)
        flat = np.asarray(parameters, np.float32)
        if not size or flat.ndim != 1 or len(flat) % size or len(flat) <= size:
            raise ConfigError(
                f"controller: expected a flat array of {size} * (observation_size + 1) parameters, got {flat.shape}"
            )
        return cls(flat[:-size].reshape(size, -1), flat[-size:], squash)

    def with_parameters(self, parameters: NDArray[np.floating]) -> LinearController:
        """A controller of the same form with other parameters."""
        return type(self).from_parameters(parameters, self.squash)

    def require_form_of(self, other: LinearController, source: object) -> None:
        """Raise :class:`~dreamgym.errors.ConfigError`, naming the source, unless it acts on and as another does."""
        if self.weights.shape != other.weights.shape or self.squash != other.squash:
            raise ConfigError(
                f"{source}: expected a controller of {other.weights.shape} weights, squashed by {other.squash}, got "
                f"{self.weights.shape} and {self.squash}; it was made for another world model"
            )

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The tensors that :meth:`save` writes."""
        return {"weights": self.weights, "bias": self.bias}

    def metadata(self) -> dict[str, str]:
        """What a file of this controller says of it besides: how outputs are squashed."""
        return {_SQUASH: ",".join(self.squash)}

    def save(self, path: Path | str) -> None:
        """Write safetensors atomically; the metadata say how outputs are squashed."""
        write_bytes(Path(path), save(self.tensors(), self.metadata()))

    @classmethod
    def load(cls, path: Path | str) -> LinearController:
        """Read what :meth:`save` wrote.

        A file that does not say how outputs are squashed is the default world's.

        Raises:
            BundleNotFoundError: no such file.
            BundleError: it is damaged, or no controller.
        """
        content = read_content(Path(path))
        tensors = parse_tensors(content, Path(path))
        wrong = [f"{key} as {value.dtype}" for key, value in tensors.items() if value.dtype != torch.float32]
        if wrong:
            raise BundleError(f"{path}: expected a controller of float32 numbers, got {', '.join(wrong)}")
        if set(tensors) != {"weights", "bias"}:
            raise BundleError(
                f"{path}: expected a controller, with the keys ['bias', 'weights']; got {sorted(tensors)}"
            )
        recorded = parse_metadata(content).get(_SQUASH)
        squash = None if recorded is None else cast("list[Squash]", recorded.split(","))
        try:
            return cls(tensors["weights"].numpy(), tensors["bias"].numpy(), squash)
        except ConfigError as error:
            raise BundleError(f"{path}: {error}") from error
