"""Noise on what M reads in training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dreamgym.memory.input_noise import with_input_noise
from dreamgym.memory.sequences import SequenceSampler
from tests.support.latent_episodes import toy_episode

pytestmark = pytest.mark.usefixtures("one_thread")


def test_noise_is_on_what_m_reads_and_not_on_what_it_predicts():
    sampler = SequenceSampler([toy_episode(100, 0.0)], 90, start_share=0.0)
    batch = sampler.sample(np.random.default_rng(0), 1000, torch.device("cpu"))
    noisy, again = (with_input_noise(batch, 0.6, np.random.default_rng(1)) for _ in range(2))
    assert torch.equal(noisy.z, again.z)
    assert all(one is other for one, other in zip(noisy[1:], batch[1:], strict=True))
    noise = noisy.z - batch.z
    strength = noise.square().mean(dim=(1, 2)).sqrt()
    assert strength.min() < 0.05
    assert float(noise.square().mean().sqrt()) == pytest.approx(0.6 / 3**0.5, abs=0.02)  # of a uniform strength
    assert float(noise[:, 0].std()) == pytest.approx(float(noise[:, -1].std()), rel=0.1)  # stationary


def test_half_of_the_noise_lasts_up_to_fifty_frames():
    sampler = SequenceSampler([toy_episode(100, 0.0)], 90, start_share=0.0)
    batch = sampler.sample(np.random.default_rng(0), 1000, torch.device("cpu"))
    noise = (with_input_noise(batch, 0.6, np.random.default_rng(1)).z - batch.z).double()
    kept = (noise[:, 1:] * noise[:, :-1]).sum(dim=(1, 2)) / noise.square().sum(dim=(1, 2))
    assert float((kept.abs() < 0.25).float().mean()) == pytest.approx(0.5 + 0.5 * math.log(4 / 3, 50), abs=0.05)
    assert float((kept > 0.9).float().mean()) == pytest.approx(0.5 * math.log(5, 50), abs=0.08)
    assert kept.max() < 1.0
