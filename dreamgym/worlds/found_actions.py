"""The actions of a Gymnasium environment as a world has them."""

from __future__ import annotations

import math
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ActionError
from dreamgym.worlds.actions import ActionSet, Key, Squash

__all__ = ["described_actions", "found_actions", "own_action"]

_MEANT: Final = {"LEFT": ("left", "a"), "RIGHT": ("right", "d"), "UP": ("up", "w"), "DOWN": ("down", "s")}
_ROUNDING: Final = 1e-3
"""What an action may be beyond its range, as a share of it: recordings are often in half precision."""
_LETTERS: Final = "qzxjkltyuo"
"""Keys for actions without a direction; the commands of ``dreamgym play`` and of the page have the others."""


def found_actions(env: gym.Env[Any, Any]) -> ActionSet:
    """What a controller can do in an environment.

    Raises:
        ActionError: actions other than Discrete, MultiBinary, or a finite Box of one dimension.
    """
    space = env.action_space
    if isinstance(space, gym.spaces.Discrete) and space.n > 1:
        return _discrete(int(space.n), getattr(env.unwrapped, "get_action_meanings", list)())
    if isinstance(space, gym.spaces.MultiBinary) and isinstance(space.n, int | np.integer):
        size = int(space.n)
        keys = tuple(
            Key(f"action {number}", (_LETTERS[number],), number, 1.0) for number in range(size)[: len(_LETTERS)]
        )
        ends, squash = ((0.0,) * size, (1.0,) * size), _alike("unit", size)
        return ActionSet(*ends, _numbered(size), squash, rule="thresholds", threshold=0.5, keys=keys)
    if (
        isinstance(space, gym.spaces.Box)
        and len(space.shape) == 1
        and np.issubdtype(space.dtype, np.floating)
        and np.isfinite([space.low, space.high]).all()
    ):
        return _box(space.shape[0])
    raise ActionError(
        f"expected Discrete actions, two or more, MultiBinary(n), or a finite Box of floats, of shape (n,); got "
        f"{space}. Give a function that makes the environment in a wrapper with such actions"
    )


def _discrete(count: int, meanings: list[str]) -> ActionSet:
    """One number an action, of which the largest is chosen."""
    names = tuple(meanings) if len(meanings) == count else _numbered(count)
    free, keys = iter(_LETTERS), []
    for number, name in enumerate(names[1:], 1):
        letter = _MEANT.get(name) or tuple(next(free, ""))
        keys += [Key(name.lower(), letter, number, 1.0)] if letter else []
    vectors = tuple(tuple(float(place == number) for place in range(count)) for number in range(count))
    ends = (-1.0,) * count, (1.0,) * count
    return ActionSet(*ends, names, _alike("tanh", count), vectors, names, rule="argmax", box=False, keys=tuple(keys))


def _box(size: int) -> ActionSet:
    """A Box's numbers, from -1 to 1."""
    arrows = (("left", "a"), ("right", "d")), (("down", "s"), ("up", "w"))
    keys = [
        Key(f"action {number} {sign:+d}", names, number, float(sign))
        for number, pair in enumerate(arrows[:size])
        for sign, names in zip((-1, 1), pair, strict=True)
    ]
    return ActionSet((-1.0,) * size, (1.0,) * size, _numbered(size), _alike("tanh", size), keys=tuple(keys))


def _numbered(size: int) -> tuple[str, ...]:
    return tuple(f"action {number}" for number in range(size))


def _alike(kind: Squash, size: int) -> tuple[Squash, ...]:
    return (kind,) * size


def own_action(space: gym.Space[Any], action: Any) -> Any:
    """An environment's own action, of one of its description."""
    if isinstance(space, gym.spaces.Discrete):
        return space.start + action
    if isinstance(space, gym.spaces.Box):
        share = (np.asarray(action, np.float64) + 1.0) / 2.0
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        return np.clip(low + share * (high - low), low, high).astype(space.dtype)
    return (np.asarray(action) > 0.5).astype(np.int8)


def described_actions(space: gym.Space[Any], given: NDArray[Any]) -> NDArray[np.float32]:
    """Actions of a description, (T, A), of the environment's own, (T, ...): what :func:`own_action` undoes.

    Raises:
        ActionError: they are not in the space.
    """
    flat = given.reshape(len(given), math.prod(given.shape[1:]))
    found: NDArray[np.float32] | None
    if isinstance(space, gym.spaces.Discrete):
        index = flat.astype(np.float64) - float(space.start)
        fits = flat.shape[1] == 1 and np.isin(index, np.arange(space.n)).all()
        found = np.eye(int(space.n), dtype=np.float32)[index[:, 0].astype(int)] if fits else None
    elif isinstance(space, gym.spaces.Box):
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        fits = flat.shape[1:] == space.shape and np.isfinite(flat).all()
        shares = (flat - low) / np.where(high > low, high - low, 1.0) if fits else flat
        fits = fits and (shares >= -_ROUNDING).all() and (shares <= 1.0 + _ROUNDING).all()
        found = np.clip(2.0 * shares - 1.0, -1.0, 1.0).astype(np.float32) if fits else None
    else:
        fits = flat.shape[1:] == space.shape and np.isin(flat, (0, 1)).all()
        found = flat.astype(np.float32) if fits else None
    if found is None:
        raise ActionError(f"expected actions of {space}, got {given.dtype} of shape {given.shape}, {_range(given)}")
    return found


def _range(values: NDArray[Any]) -> str:
    return f"from {values.min()} to {values.max()}" if values.size else "none"
