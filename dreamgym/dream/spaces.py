"""Observation and action spaces, the same for ever: an agent refuses to load where bounds have changed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import NDArray

from dreamgym.dream.actions import ACTION_TOLERANCE
from dreamgym.errors import ActionError, ConfigError
from dreamgym.real.preprocess import FRAME_SHAPE
from dreamgym.real.world import World
from dreamgym.world_model import LATENT_LIMIT

__all__ = ["OBSERVATION_TYPES", "ActionReader", "action_space", "observation_space"]

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


def action_space(world: World, continuous: bool) -> Box | Discrete:
    """The world's continuous actions, or its discrete ones."""
    if continuous:
        return Box(np.array(world.action_low, np.float32), np.array(world.action_high, np.float32), dtype=np.float32)
    return Discrete(len(world.discrete_actions))


class ActionReader:
    """From actions of a space to the continuous ones that are executed."""

    def __init__(self, world: World, continuous: bool) -> None:
        self.space: Space[Any] = action_space(world, continuous)
        self._table = None if continuous else np.array(world.discrete_actions, np.float32)
        self._low = np.array(world.action_low, np.float32)
        self._high = np.array(world.action_high, np.float32)
        self._bounds = self._low, self._high

    def read(self, actions: Any, batch: tuple[int, ...], active: NDArray[np.bool_] | None = None) -> torch.Tensor:
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
        if given.dtype == np.float32 and ((cut := self._cut(given, batch)) == given).all():  # the rule
            return torch.from_numpy(cut)
        # In float64, so that nothing outside rounds to the inside.
        cut = np.clip(given, self._low, self._high)
        good = np.abs(given - cut) <= ACTION_TOLERANCE  # False for NaN
        if active is not None:
            good |= ~active[..., None]
        if not good.all():
            raise ActionError(
                f"expected finite actions within {self._low.tolist()} .. {self._high.tolist()}; "
                f"got {given.tolist() if not batch else _first_bad(given, good)}"
            )
        return torch.from_numpy(np.nan_to_num(cut).astype(np.float32, copy=False))

    def _cut(self, given: NDArray[np.float32], batch: tuple[int, ...]) -> NDArray[np.float32]:
        if self._bounds[0].shape != given.shape:
            # A row each: to broadcast three numbers takes several times as long as to read them.
            self._bounds = np.tile(self._low, (*batch, 1)), np.tile(self._high, (*batch, 1))
        low, high = self._bounds
        cut: NDArray[np.float32] = np.minimum(np.maximum(given, low), high)
        return cut

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


def _first_bad(given: NDArray[Any], good: NDArray[np.bool_]) -> str:
    row = int(np.flatnonzero(~good.all(axis=1))[0])
    return f"{given[row].tolist()} in environment {row}"
