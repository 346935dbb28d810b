"""Every player of CarRacing."""

from __future__ import annotations

import numpy as np
import pytest

from dreamgym.collect.collect import record_episode
from dreamgym.worlds.registry import find

PLAYERS = find().players


@pytest.mark.parametrize("name", sorted(PLAYERS))
def test_a_player_repeats_to_the_bit_and_stays_in_the_action_space(name: str):
    first, second = (record_episode(PLAYERS[name](), 1_000_001, 40, player_name=name) for _ in range(2))
    assert np.array_equal(first.actions, second.actions)
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.rewards, second.rewards)
    low, high = np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32)
    assert ((first.actions >= low) & (first.actions <= high)).all()
    assert len(first) == 40 and first.truncated and not first.terminated
    other = record_episode(PLAYERS[name](), 1_000_002, 40)
    assert np.array_equal(first.actions, other.actions) == (name == "straight_on")
