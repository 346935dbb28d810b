"""Start states of dreams, from encoded episodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dreamgym.errors import ConfigError
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.world_model.start_states import hard_contexts, require_long_enough, start_bank
from dreamgym.worlds.car_racing.hard_moments import HARD_MOMENTS
from tests.support.latent_episodes import LENGTH, STUCK_FROM, toy_episode, toy_latents


def test_hard_contexts_are_of_every_kind_by_its_share_and_marked():
    contexts = [now for _, now in hard_contexts([toy_latents()], 40, HARD_MOMENTS, np.random.default_rng(0))]
    assert len(contexts) == 16 + 18 + 6
    assert all(now > STUCK_FROM + 60 for now in contexts[-6:])
    for count in range(1, 8):  # few ones too are as many as were asked for
        assert len(hard_contexts([toy_latents()], count, HARD_MOMENTS, np.random.default_rng(0))) == count
    memory = MDNRNN(4, 3, 8, 2)
    bank = start_bank(
        memory, [toy_latents()], at_start=2, anywhere=3, hard=40, latent_noise=0.3, seed=0, kinds=HARD_MOMENTS
    )
    assert bank.at_start.tolist() == [True] * 2 + [False] * 43
    assert bank.hard.tolist() == [False] * 5 + [True] * 40
    assert not bank.h[:2].any() and bank.h[2:].any(dim=1).all()


@pytest.mark.parametrize("none", ["at_start", "anywhere"])
def test_a_bank_without_a_kind_of_start_is_refused(none: str):
    sizes = {"at_start": 2, "anywhere": 3, "hard": 0, none: 0}
    with pytest.raises(ConfigError, match=f"{none}: expected a positive number, got 0"):
        start_bank(MDNRNN(4, 3, 8, 2), [toy_latents()], **sizes, latent_noise=0.0, seed=0)


def test_rewards_of_a_world_without_an_end_to_its_progress_do_not_begin_a_dream():
    sizes = {"at_start": 2, "anywhere": 3, "hard": 0, "latent_noise": 0.0, "seed": 0}
    paid = replace(toy_latents(), progress=np.full(LENGTH, -8.0, np.float32), total_units=1.0)
    assert not start_bank(MDNRNN(4, 3, 8, 2), [paid], **sizes, cap=None).progress.any()
    assert start_bank(MDNRNN(4, 3, 8, 2), [toy_latents()], **sizes).progress[2:].all()


def test_episodes_that_are_all_too_short_are_refused_with_the_longest():
    short = [toy_episode(length, 0.0) for length in (12, 30)]
    with pytest.raises(ConfigError, match=r"more than 30 steps.*the longest of 2 has 30"):
        require_long_enough(short)
    assert [len(episode) for episode in require_long_enough([*short, toy_episode(31, 0.0)])] == [31]


def test_no_start_of_an_episode_is_mirrored():
    driven = replace(toy_latents(), mean=np.ones((LENGTH + 1, 4), np.float16))
    mirrored = replace(toy_latents(), mean=-np.ones((LENGTH + 1, 4), np.float16), mirrored=True)
    sizes = {"at_start": 20, "anywhere": 20, "hard": 0, "latent_noise": 0.0, "seed": 0}
    bank = start_bank(MDNRNN(4, 3, 8, 2), [driven, mirrored], **sizes)
    assert (bank.z[bank.at_start] == 1).all()
    assert (bank.z[~bank.at_start] == -1).any()
    with pytest.raises(ConfigError, match="as they were"):
        start_bank(MDNRNN(4, 3, 8, 2), [mirrored], **sizes)
