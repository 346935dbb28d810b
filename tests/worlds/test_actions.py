"""What a world does of the vectors that a controller gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.dream.keys import keys_to_action
from dreamgym.worlds.actions import ActionSet, Key

MOVES = ((-1.0,), (1.0,))


def actions(**changes: Any) -> ActionSet:
    return ActionSet(low=(-1.0,), high=(1.0,), names=("move",), squash=("tanh",), discrete=MOVES, **changes)


@pytest.mark.parametrize(
    ("world", "wanted"),
    [
        (actions(), [-0.6, -0.1, 0.0, 0.2, 0.4]),
        (actions(rule="thresholds", threshold=0.3), [-1, 0, 0, 0, 1]),
        (actions(rule="thresholds", threshold=0.3, box=False), [-1, -1, -1, -1, 1]),  # there is no standing still
        (actions(box=False), [-1, -1, -1, 1, 1]),
    ],
)
def test_vectors_become_what_the_world_knows_alike_in_both_libraries(world: ActionSet, wanted: list[float]) -> None:
    given = np.array([[-0.6], [-0.1], [0.0], [0.2], [0.4]], np.float32)
    executed = world.executed(given)
    assert executed.dtype == np.float32
    np.testing.assert_array_equal(executed[:, 0], np.array(wanted, np.float32))
    np.testing.assert_array_equal(world.executed(torch.from_numpy(given)).numpy(), executed)
    np.testing.assert_array_equal(world.executed(given[3]), executed[3])
    if not world.box:
        assert [world.index(one) for one in executed] == [0 if move < 0 else 1 for move in wanted]


def test_the_largest_of_several_numbers_is_the_discrete_action() -> None:
    table = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    world = ActionSet((-1.0,) * 3, (1.0,) * 3, ("a", "b", "c"), ("tanh",) * 3, table, rule="argmax", box=False)
    given = np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32)
    assert [world.index(one) for one in world.executed(given)] == given.argmax(axis=1).tolist()
    np.testing.assert_array_equal(world.executed(torch.from_numpy(given)).numpy(), world.executed(given))


def test_keys_have_pygames_numbers_and_those_without_are_left_out() -> None:
    pygame = pytest.importorskip("pygame")
    names = {"space": "SPACE", "return": "RETURN", "tab": "TAB", "escape": "ESCAPE", "backspace": "BACKSPACE"}
    names |= {"left ctrl": "LCTRL", "right shift": "RSHIFT", "left alt": "LALT", "up": "UP", "W": "w", "7": "7"}
    for name, constant in names.items():
        world = actions(keys=(Key("move", (name, "f1"), 0, 1.0),))
        assert keys_to_action(world, True) == {(getattr(pygame, f"K_{constant}"),): np.float32([1.0])}
