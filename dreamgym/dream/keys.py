"""Keys for ``gymnasium.utils.play``, as data."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dreamgym.real.world import World

__all__ = ["keys_to_action"]

# Left, right, gas, brake, as pygame names keys by number; pygame itself is not needed to say so.
_LETTERS: Final = (ord("a"), ord("d"), ord("w"), ord("s"))
_ARROWS: Final = (1073741904, 1073741903, 1073741906, 1073741905)
_BRAKE: Final = 0.8  # as when CarRacing-v3 is driven by hand


def keys_to_action(world: World, continuous: bool) -> dict[tuple[int, ...], Any]:
    """What each combination of keys does: steering keys, pedal keys, or one of each.

    Returns:
        Actions of the world's space by sorted key numbers: float32 of shape (3,), or ints.
    """
    actions = {}
    for left, right, gas, brake in (_LETTERS, _ARROWS):
        for steer, keys in ((0.0, ()), (-1.0, (left,)), (1.0, (right,))):
            for pedals, more in (((0.0, 0.0), ()), ((1.0, 0.0), (gas,)), ((0.0, _BRAKE), (brake,))):
                if combination := tuple(sorted((*keys, *more))):
                    action = np.array([steer, *pedals], np.float32)
                    actions[combination] = action if continuous else _nearest(world, action)
    return actions


def _nearest(world: World, action: Any) -> int:
    """The discrete action of the same kind; steering before pedals, since it can have only one."""
    for index in range(len(world.discrete_actions)):
        sign = np.sign(world.discrete_actions[index])
        if np.array_equal(sign, np.sign(action)) or (action[0] != 0.0 and sign[0] == np.sign(action[0])):
            return index
    return 0
