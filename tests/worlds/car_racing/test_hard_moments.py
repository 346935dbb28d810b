"""Moments that are worth practising, found in encoded episodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dreamgym.worlds.car_racing.hard_moments import (
    moments_after_mishaps,
    moments_before_mishaps,
    moments_before_sharp_bends,
)
from tests.support.latent_episodes import LENGTH, STUCK_FROM, toy_latents


def test_moments_before_a_mishap_still_make_progress_that_soon_ends():
    # The last unit is that of frame 115: from 81 on at most 3 lie more than 20 frames ahead, and until 130 the last 4
    # are no more than 30 frames ago.
    assert moments_before_mishaps(toy_latents()) == list(range(81, 131))


def test_moments_after_a_mishap_look_back_on_nothing():
    found = moments_after_mishaps(toy_latents())
    assert min(found) in range(STUCK_FROM + 70, STUCK_FROM + 76) and max(found) == LENGTH - 1


def test_a_sharp_bend_lies_ahead_whichever_way_it_turns():
    episode = toy_latents()
    found = moments_before_sharp_bends(episode)
    assert found and 30 < min(found) and max(found) < 75
    motion = episode.labels["motion"]
    mirrored = motion * np.array([1, -1, -1, -1], np.float32)
    assert moments_before_sharp_bends(replace(episode, labels={"motion": mirrored})) == found
    assert not moments_before_sharp_bends(replace(episode, labels={"motion": 0.5 * motion}))
    assert not moments_before_sharp_bends(replace(episode, labels={}))
