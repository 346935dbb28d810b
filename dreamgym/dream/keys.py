"""Keys for ``gymnasium.utils.play``, as data."""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np

from dreamgym.worlds.base import ActionSet, Key

__all__ = ["keys_to_action"]

_NUMBERS: Final = {
    "left": 1073741904,
    "right": 1073741903,
    "up": 1073741906,
    "down": 1073741905,
    "space": 32,
    "return": 13,
    "tab": 9,
    "escape": 27,
    "backspace": 8,
    "left ctrl": 1073742048,
    "left shift": 1073742049,
    "left alt": 1073742050,
    "right ctrl": 1073742052,
    "right shift": 1073742053,
    "right alt": 1073742054,
}
"""pygame's, by its names; pygame itself is not needed to say so."""


def keys_to_action(actions: ActionSet, continuous: bool) -> dict[tuple[int, ...], Any]:
    """Actions of single keys, and of two that move different numbers of it.

    Keys whose number is not known here, such as "f1", are left out.

    Returns:
        Actions of the world's space by sorted key numbers: float32 of shape (A,), or ints.
    """
    made = {}
    for choice in range(max((len(key.keys) for key in actions.keys), default=0)):  # arrows, or letters
        there = [key for key in actions.keys if len(key.keys) > choice and _number(key.keys[choice]) is not None]
        pairs = itertools.combinations(there, 2)
        for held in [(key,) for key in there] + [pair for pair in pairs if pair[0].number != pair[1].number]:
            vector = _vector(actions, held)
            numbers = tuple(sorted(number for key in held if (number := _number(key.keys[choice])) is not None))
            made[numbers] = vector if continuous else _nearest(actions, vector)
    return made


def _vector(actions: ActionSet, held: tuple[Key, ...]) -> Any:
    vector = np.zeros(actions.size, np.float32)
    for key in held:
        vector[key.number] = key.value
    return vector


def _number(name: str) -> int | None:
    return ord(name.lower()) if len(name) == 1 else _NUMBERS.get(name.lower())


def _nearest(actions: ActionSet, vector: Any) -> int:
    """The discrete action of the same kind; the first number comes first, since it can have only one."""
    for index, discrete in enumerate(actions.discrete):
        sign = np.sign(discrete)
        if np.array_equal(sign, np.sign(vector)) or (vector[0] != 0.0 and sign[0] == np.sign(vector[0])):
            return index
    return 0
