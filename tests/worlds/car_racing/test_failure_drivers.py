"""Drivers that get nowhere do, each in its way."""

from __future__ import annotations

import numpy as np
import pytest

from dreamgym.collect.collect import record_episode
from dreamgym.worlds.registry import find
from tests.support.tiles import tiles

PLAYERS = find().players


@pytest.mark.usefixtures("undrawn")
def test_the_leaving_follower_leaves():
    for seed in (1_000_008, 1_000_009):  # some stop on the grass, or have too little time
        episode = record_episode(PLAYERS["leaving_follower"](), seed, 400)
        assert episode.terminated and episode.failed
        assert episode.rewards[-1] == -100


@pytest.mark.usefixtures("undrawn")
def test_the_straying_agent_holds_a_few_actions():
    held = [record_episode(PLAYERS["straying_agent"](), seed, 300).actions for seed in range(1_000_060, 1_000_072)]
    counts = [len(np.unique(actions, axis=0)) for actions in held]
    assert min(counts) == 1 and max(counts) > 2 and max(counts) <= 4
    changes = [int((np.abs(np.diff(actions, axis=0)) > 0).any(axis=1).sum()) for actions in held]
    assert all(change < 4 for change in changes)
    assert len({actions[0].tobytes() for actions in held}) > 6


@pytest.mark.usefixtures("undrawn")
def test_the_parking_follower_comes_to_a_stand_and_stays():
    for seed in range(1_000_070, 1_000_074):
        episode = record_episode(PLAYERS["parking_follower"](), seed, 500)
        speed = np.abs(episode.labels["motion"][:, 0]) * 50  # units/s
        assert speed.max() > 5
        assert speed[-30:].max() < 1
        assert not episode.actions[-30:, :2].any()


@pytest.mark.usefixtures("undrawn")
def test_the_circling_follower_turns_on_and_earns_nothing_more():
    for seed in range(1_000_080, 1_000_084):
        episode = record_episode(PLAYERS["circling_follower"](), seed, 700)
        heading = np.cumsum(episode.labels["motion"][-200:, 2]) / 50  # rad
        assert abs(heading[-1]) > 2 * np.pi
        assert (np.diff(heading) * np.sign(heading[-1]) > 0).all()
        assert len(np.unique(episode.actions[-300:], axis=0)) == 1
        assert tiles(episode)[-200:].sum() == 0


@pytest.mark.usefixtures("undrawn")
def test_the_turning_follower_drives_back_over_what_is_paid():
    episode = record_episode(PLAYERS["turning_follower"](), 1_000_051, 700)
    windows = [slice(start, start + 50) for start in range(0, 700, 50)]
    made = np.array([tiles(episode)[window].sum() for window in windows])
    speed = np.array([episode.labels["motion"][1:, 0][window].mean() for window in windows])
    assert (made > 10).sum() >= 3
    assert ((made == 0) & (speed > 0.5)).sum() >= 2  # 25 units/s
