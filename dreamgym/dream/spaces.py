"""Spaces, and the way from an agent's actions to what is executed.

Spaces are the same for ever: an agent refuses to load where bounds have changed.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.errors import ActionError, ConfigError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT
from dreamgym.worlds.base import FRAME_SHAPE, ActionSet

__all__ = ["ACTION_TOLERANCE", "OBSERVATION_TYPES", "ActionRange", "ActionReader", "observation_space"]

ACTION_TOLERANCE: Final = 1e-6
"""How far outside the space an action may be, to allow for rounding; it is then clipped to the space."""

OBSERVATION_TYPES: Final = ("features", "latent", "rgb")
"""z and h, z alone, or V's picture."""


def observation_space(obs_type: str, latent_size: int, hidden_size: int) -> Box:
    """The space of an observation type.

    Raises:
        ConfigError: for an unknown type.
    """
    if obs_type == "rgb":
        return Box(0, 255, FRAME_SHAPE, np.uint8)
    if obs_type not in OBSERVATION_TYPES:
        raise ConfigError(f"obs_type must be one of {list(OBSERVATION_TYPES)}, got {obs_type!r}")
    bound = np.full(latent_size, LATENT_LIMIT, np.float32)
    if obs_type == "features":
        bound = np.concatenate([bound, np.ones(hidden_size, np.float32)])
    return Box(-bound, bound, dtype=np.float32)


class ActionReader:
    """From actions of a space to the vectors that are executed.

    Args:
        actions: the world's.
        continuous: vectors or discrete actions; None for the world's default.
    """

    def __init__(self, actions: ActionSet, continuous: bool | None) -> None:
        self.space: Space[Any] = actions.space(continuous)
        self._actions = actions
        self._table = np.array(actions.discrete, np.float32) if isinstance(self.space, Discrete) else None
        self._low = np.array(actions.low, np.float32)
        self._high = np.array(actions.high, np.float32)
        self._limits = list(zip(self._low.tolist(), self._high.tolist(), strict=True))
        self._bounds = self._low, self._high

    def read(self, actions: Any, batch: tuple[int, ...], active: NDArray[np.bool_] | None = None) -> Tensor:
        """The executed actions, float32 of shape (*batch, A).

        Args:
            actions: (*batch, A), or (*batch,) where they are discrete.
            batch: leading dimensions, () or (num_envs,).
            active: rows that count, bool of shape ``batch``; the others may hold anything. None for all.

        Raises:
            ActionError: wrong shape or type, not finite, or outside the space by more than 1e-6.
        """
        given = np.asarray(actions)
        if self._table is not None:
            return torch.from_numpy(self._discrete(given, batch, active))
        wanted = (*batch, len(self._low))
        if given.shape != wanted or given.dtype.kind not in "fiu":
            raise ActionError(f"expected actions as float32 of shape {wanted}; got {given.dtype} of {given.shape}")
        if given.dtype == np.float32 and self._inside(given):  # the rule
            return torch.from_numpy(self._actions.executed(given.copy()))
        # In float64, so that nothing outside rounds to the inside.
        clipped = np.clip(given, self._low, self._high)
        good = np.abs(given - clipped) <= ACTION_TOLERANCE  # False for NaN
        if active is not None:
            good |= ~active[..., None]
        if not good.all():
            raise ActionError(
                f"expected finite actions within {self._low.tolist()} .. {self._high.tolist()}; "
                f"got {given.tolist() if not batch else _first_bad(given, good)}"
            )
        return torch.from_numpy(self._actions.executed(np.nan_to_num(clipped).astype(np.float32, copy=False)))

    def _inside(self, given: NDArray[np.float32]) -> bool:
        """Whether every number is within the space; False for NaN."""
        if given.ndim == 1:  # a few numbers: Python compares them in less time than a call of NumPy takes
            return all(low <= x <= high for x, (low, high) in zip(given.tolist(), self._limits, strict=True))
        if self._bounds[0].shape != given.shape:
            # A row each: to broadcast three numbers takes several times as long as to read them.
            self._bounds = np.tile(self._low, (len(given), 1)), np.tile(self._high, (len(given), 1))
        low, high = self._bounds
        return bool(((given >= low) & (given <= high)).all())

    def _discrete(self, given: NDArray[Any], batch: tuple[int, ...], active: NDArray[np.bool_] | None) -> NDArray[Any]:
        assert self._table is not None
        count = len(self._table)
        if given.shape != batch or given.dtype.kind not in "iu":
            raise ActionError(
                f"expected discrete actions as integers of shape {batch}; got {given.dtype} of {given.shape}"
            )
        good = (given >= 0) & (given < count)
        if active is not None:
            good |= ~active
        if not good.all():
            raise ActionError(f"expected discrete actions in 0..{count - 1}; got {given[~good].tolist()[:8]}")
        executed: NDArray[np.float32] = self._table[np.clip(given, 0, count - 1)]
        return executed


class ActionRange:
    """The range of a world's continuous actions, for a batch on a device.

    Args:
        actions: have the range.
        num_envs: B.
        device: where the actions are needed.
    """

    def __init__(self, actions: ActionSet, num_envs: int, device: torch.device) -> None:
        self._set = actions
        # A row each: to broadcast three numbers takes several times as long as to read them.
        self._low = torch.tensor([actions.low], dtype=torch.float32, device=device).repeat(num_envs, 1)
        self._high = torch.tensor([actions.high], dtype=torch.float32, device=device).repeat(num_envs, 1)

    def executed(self, actions: Tensor, active: Tensor | None) -> Tensor:
        """The actions clipped to the range, float32 of shape (B, A).

        Args:
            actions: float of shape (B, A).
            active: rows that count, bool of shape (B,); None for all.

        Raises:
            ActionError: wrong shape or type, or a row that counts is not finite or outside the range by more than
                :data:`ACTION_TOLERANCE`.
        """
        wanted = tuple(self._low.shape)
        if actions.shape != wanted or not actions.is_floating_point():
            got = f"{actions.dtype} of {tuple(actions.shape)}"
            raise ActionError(f"expected actions as float of shape {wanted}; got {got}")
        actions = actions.to(self._low.device, torch.float32)
        clipped = actions.clamp(self._low, self._high)
        if self._low.device.type == "cpu" and torch.equal(clipped, actions):  # the rule, and quick to see
            return self._set.executed(clipped)
        good = (actions - clipped).abs_() <= ACTION_TOLERANCE  # False for NaN
        if active is not None:
            good |= ~active[:, None]
        if not good.all():
            row = int(torch.nonzero(~good)[0, 0])
            raise ActionError(
                f"expected finite actions within {self._set.low} .. {self._set.high}; "
                f"got {actions[row].tolist()} in row {row}"
            )
        return self._set.executed(clipped)


def _first_bad(given: NDArray[Any], good: NDArray[np.bool_]) -> str:
    row = int(np.flatnonzero(~good.all(axis=1))[0])
    return f"{given[row].tolist()} in environment {row}"
