"""Keys for ``gymnasium.utils.play``, as data."""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np

from dreamgym.worlds.base import ActionSet, Key

__all__ = ["keys_to_action"]

_ARROWS: Final = {"left": 1073741904, "right": 1073741903, "up": 1073741906, "down": 1073741905}
"""pygame's numbers; pygame itself is not needed to say so."""


def keys_to_action(actions: ActionSet, continuous: bool) -> dict[tuple[int, ...], Any]:
    """Actions of single keys, and of two that move different numbers of it.

    Returns:
        Actions of the world's space by sorted key numbers: float32 of shape (A,), or ints.
    """
    made = {}
    for choice in range(max((len(key.keys) for key in actions.keys), default=0)):  # arrows, or letters
        there = [key for key in actions.keys if len(key.keys) > choice]
        pairs = itertools.combinations(there, 2)
        for held in [(key,) for key in there] + [pair for pair in pairs if pair[0].number != pair[1].number]:
            vector = _vector(actions, held)
            numbers = tuple(sorted(_number(key.keys[choice]) for key in held))
            made[numbers] = vector if continuous else _nearest(actions, vector)
    return made


def _vector(actions: ActionSet, held: tuple[Key, ...]) -> Any:
    vector = np.zeros(actions.size, np.float32)
    for key in held:
        vector[key.number] = key.value
    return vector


def _number(name: str) -> int:
    return _ARROWS[name] if name in _ARROWS else ord(name)


def _nearest(actions: ActionSet, vector: Any) -> int:
    """The discrete action of the same kind; the first number comes first, since it can have only one."""
    for index, discrete in enumerate(actions.discrete):
        sign = np.sign(discrete)
        if np.array_equal(sign, np.sign(vector)) or (vector[0] != 0.0 and sign[0] == np.sign(vector[0])):
            return index
    return 0
