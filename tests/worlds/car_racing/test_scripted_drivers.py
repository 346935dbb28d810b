"""Drivers that follow the track."""

from __future__ import annotations

import numpy as np
import pytest

from dreamgym.collect.collect import record_episode
from dreamgym.worlds.registry import find
from tests.support.tiles import tiles

PLAYERS = find().players


@pytest.mark.usefixtures("undrawn")
def test_the_follower_drives_and_a_wild_one_is_wilder():
    steady, wild = (record_episode(PLAYERS[name](), 1_000_003, 150) for name in ("follower", "wild_follower"))
    assert tiles(steady).sum() > 20
    assert np.abs(np.diff(wild.actions, axis=0)).mean() > np.abs(np.diff(steady.actions, axis=0)).mean()
