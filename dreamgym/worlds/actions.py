"""What an agent can do in a world."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeGuard, TypeVar, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ActionError, ConfigError

__all__ = ["ActionSet", "Key", "Squash", "is_number", "require_reachable", "squash_outputs"]

Array = NDArray[np.float32]
A = TypeVar("A", bound=Any)  # a NumPy array or a torch tensor


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number, no bool, that is finite as a float.

    Whole numbers in JSON have any length.
    """
    return not isinstance(value, bool) and isinstance(value, int | float) and abs(value) <= sys.float_info.max


@dataclass(frozen=True)
class Key:
    """A key that moves one number of the action while it is held."""

    label: str
    """What it does, for people."""
    keys: tuple[str, ...]
    """Names as pygame gives them, such as ("left", "a")."""
    number: int
    """Which of the action's numbers it moves."""
    value: float
    """What it moves that number to."""
    on: float = math.inf
    """How fast the number moves there, per second."""
    off: float = math.inf
    """How fast the number goes back to 0 when the key is let go, per second."""

    def __post_init__(self) -> None:
        texts = all(isinstance(text, str) for text in (self.label, *self.keys))
        rates = all(isinstance(rate, int | float) and rate > 0 for rate in (self.on, self.off))
        if not texts or not rates or not is_number(self.value) or type(self.number) is not int or self.number < 0:
            raise ConfigError(f"actions: expected a key's texts, a number's place, its value and rates; got {self}")


Squash = Literal["tanh", "unit", "positive"]
"""From a raw output to a number of the action: tanh; "unit", (tanh + 1) / 2; "positive", max(tanh, 0)."""


def squash_outputs(raw: A, kinds: Sequence[Squash]) -> A:
    """Actions, (..., A), of raw outputs, (..., A).

    Each number is squashed in its own way; NumPy or torch.
    """
    squashed: Any = np.tanh(raw) if isinstance(raw, np.ndarray) else raw.tanh()
    for number, kind in enumerate(kinds):
        if kind == "unit":
            squashed[..., number] = (squashed[..., number] + 1.0) / 2.0
        elif kind == "positive":
            squashed[..., number] = squashed[..., number].clip(min=0.0)
    return cast(A, squashed)


@dataclass(frozen=True)
class ActionSet:
    """What an agent can do, and how it is told to M.

    An action is a vector of A numbers: M reads it, and a linear controller gives it. ``Box`` agents give the vector
    itself, ``Discrete`` agents an index into :attr:`discrete`.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    names: tuple[str, ...]
    """Of the A numbers, for tables and gauges."""
    squash: tuple[Squash, ...]
    """From a controller's raw output to each number."""
    discrete: tuple[tuple[float, ...], ...] = ()
    """The vector that each discrete action stands for, (n, A); empty where there are none."""
    discrete_names: tuple[str, ...] = ()
    rule: Literal["given", "thresholds", "argmax"] = "given"
    """What is executed of a vector: the vector as it is; each number as -1, 0 or 1 by :attr:`threshold`; or 1 at the
    largest number and 0 elsewhere."""
    threshold: float = 0.0
    """Where a number counts as 1, and below its negative as -1, with the rule "thresholds"."""
    box: bool = True
    """Whether agents may give vectors (``continuous=True``)."""
    penalty: tuple[float, ...] = ()
    """Weights of the squared numbers in evolution's `action_penalty`; empty for none."""
    mirror: tuple[float, ...] | None = None
    """Factors that make the mirror image's action; None where the world is not symmetric."""
    keys: tuple[Key, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.low)
        lengths = {len(self.high), len(self.names), len(self.squash), *map(len, self.discrete)}
        lengths |= {len(self.penalty)} - {0} | ({len(self.mirror)} if self.mirror is not None else set())
        known = self.rule in ("given", "thresholds", "argmax") and set(self.squash) <= {"tanh", "unit", "positive"}
        if lengths != {size} or not size or not (self.box or self.discrete) or not known:
            raise ConfigError(
                f"actions: expected {size} numbers in each of high, names, squash, penalty, mirror and the discrete "
                f"actions, and at least one of box and discrete; got {self}"
            )
        numbers = (*self.low, *self.high, *self.penalty, *(self.mirror or ()), *chain(*self.discrete), self.threshold)
        texts = all(isinstance(name, str) for name in (*self.names, *self.discrete_names))
        if not texts or not all(map(is_number, numbers)) or any(map(operator.gt, self.low, self.high)):
            raise ConfigError(f"actions: expected names, and finite numbers with low below high; got {self}")
        if not isinstance(self.box, bool) or any(key.number >= size for key in self.keys):
            raise ConfigError(f"actions: expected a bool for box, and keys of one of {size} numbers; got {self}")

    @property
    def size(self) -> int:
        """A, the numbers of an action."""
        return len(self.low)

    def space(self, continuous: bool | None = None) -> gym.spaces.Box | gym.spaces.Discrete:
        """The action space: a ``Box`` of vectors, or ``Discrete``.

        For None the first of these that the world has.

        Raises:
            ConfigError: the world has no such actions, or ``continuous`` is no bool.
        """
        if continuous is None:
            continuous = self.box
        if not isinstance(continuous, bool | np.bool_):
            raise ConfigError(f"continuous must be True, False, or None for the world's default; got {continuous!r}")
        if continuous and self.box:
            return gym.spaces.Box(np.array(self.low, np.float32), np.array(self.high, np.float32), dtype=np.float32)
        if not continuous and self.discrete:
            return gym.spaces.Discrete(len(self.discrete))
        there = "only discrete actions (continuous=False)" if continuous else "no discrete actions (continuous=True)"
        raise ConfigError(f"continuous={continuous}: this world has {there}")

    def from_outputs(self, raw: A) -> A:
        """Actions in the range, (..., A), of a controller's raw outputs.

        (..., A) as well; NumPy or torch.
        """
        return squash_outputs(raw, self.squash)

    def executed(self, actions: A) -> A:
        """What the world does of vectors within the range, (..., A) each; NumPy or torch.

        By the rule, and where agents may not give vectors, the nearest of a discrete action.
        """
        done = self._by_rule(actions)
        if self.box:
            return done
        table: Any = np.array(self.discrete, np.float32)
        if not isinstance(done, np.ndarray):
            table = done.new_tensor(self.discrete)
        distances = ((done[..., None, :] - table) ** 2).sum(-1)  # (..., n)
        return cast(A, table[distances.argmin(-1)])

    def _by_rule(self, actions: A) -> A:
        if self.rule == "given":
            return actions
        if self.rule == "thresholds":
            up, down = actions > self.threshold, actions < -self.threshold
            numbers: Any = (
                up.astype(np.float32) - down if isinstance(actions, np.ndarray) else up.float() - down.float()
            )
            return cast(A, numbers)
        chosen = actions.argmax(-1)
        if isinstance(actions, np.ndarray):
            return cast(A, np.eye(self.size, dtype=np.float32)[chosen])
        return cast(A, actions.new_zeros(actions.shape).scatter_(-1, chosen.unsqueeze(-1), 1.0))

    def as_given(self, executed: Array) -> Any:
        """What the environment is given for a vector, (A,): itself, or its index.

        Raises:
            ActionError: agents may not give vectors, and it stands for no discrete action.
        """
        return executed if self.box else self.index(executed)

    def index(self, executed: Array) -> int:
        """The discrete action that an executed vector, (A,), stands for.

        Raises:
            ActionError: it stands for none.
        """
        for index, vector in enumerate(self.discrete):
            if np.array_equal(np.array(vector, np.float32), executed):
                return index
        raise ActionError(f"expected the vector of a discrete action, one of {self.discrete}; got {executed.tolist()}")


def require_reachable(actions: ActionSet) -> None:
    """Refuse actions that a controller or a discrete action puts outside their range.

    Raises:
        ConfigError: a squash gives numbers beyond low or high, or a discrete action has one there.
    """
    for name, low, high, kind in zip(actions.names, actions.low, actions.high, actions.squash, strict=True):
        least = -1.0 if kind == "tanh" else 0.0
        if not low <= least or not high >= 1.0:
            raise ConfigError(
                f"actions: expected a range of {name} that holds {least:g} to 1, which the squash {kind!r} gives a "
                f"controller; got {low:g} to {high:g}. Choose another squash, or scale the action in make_env"
            )
    for vector in actions.discrete:
        if any(map(operator.lt, vector, actions.low)) or any(map(operator.gt, vector, actions.high)):
            raise ConfigError(f"actions: expected discrete actions in {actions.low} to {actions.high}, got {vector}")
