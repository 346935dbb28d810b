from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamgym.data.latents import LatentEpisode
from dreamgym.errors import ConfigError
from dreamgym.memory.calibrate_termination import _fit, calibrate_terminations, require_failures
from dreamgym.memory.mdn_rnn import MDNRNN
from tests.conftest import make_memory


def episode(length: int, failed: bool) -> LatentEpisode:
    rng = np.random.default_rng([length, failed])
    mean = rng.standard_normal((length + 1, 4)).astype(np.float16)
    return LatentEpisode(
        path=Path("x"),
        mean=mean,
        log_variance=np.full(mean.shape, -2.0, np.float16),
        actions=np.zeros((length, 3), np.float32),
        progress=np.zeros(length, np.float32),
        failed=failed,
        total_units=1,
    )


EPISODES = [episode(length, failed=True) for length in range(20, 60)]


def sure_of_itself() -> MDNRNN:
    memory = make_memory(4, 16, 2, seed=3)
    with torch.no_grad():
        memory.termination_head.weight.mul_(40.0)
        memory.termination_head.bias.fill_(-9.0)
    return memory


def test_a_head_that_is_too_sure_is_corrected() -> None:
    memory = sure_of_itself()
    fitted = calibrate_terminations(memory, EPISODES, latent_noise=1.0, seed=0)
    # Ends say nothing about what is seen here: one step in so many ends, whatever the head says.
    rate = len(EPISODES) / sum(len(each) for each in EPISODES)
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    assert abs(fitted.scale) < 0.2
    assert fitted.before > 2 * entropy
    assert fitted.after == pytest.approx(entropy, rel=0.02)


def test_the_head_holds_what_was_fitted() -> None:
    memory = sure_of_itself()
    fitted = calibrate_terminations(memory, EPISODES, latent_noise=1.0, seed=0)
    again = calibrate_terminations(memory, EPISODES, latent_noise=1.0, seed=0)
    assert again.before == pytest.approx(fitted.after, rel=1e-4)
    assert again.scale == pytest.approx(1.0, abs=0.05)


def test_a_few_ends_are_not_enough() -> None:
    few = [episode(length, failed=length < 30) for length in range(20, 60)]
    with pytest.raises(ConfigError, match="at least 20 held-out episodes"):
        calibrate_terminations(make_memory(4, 16, 2, seed=3), few, latent_noise=1.0, seed=0)


def test_mirror_images_are_no_further_ends() -> None:
    ten = EPISODES[:10]
    with pytest.raises(ConfigError, match="got 10"):
        require_failures([*ten, *(replace(each, mirrored=True) for each in ten)])
    require_failures(EPISODES[:20])


def test_ends_that_all_stand_apart_do_not_make_the_head_sure() -> None:
    logits = torch.linspace(-4.0, 4.0, 2000)
    ended = (logits > 3.9).float()
    scale, shift = _fit(logits, ended)
    surest = torch.sigmoid(logits * scale + shift)[ended > 0].max()
    assert surest < 0.999
    assert abs(torch.sigmoid(logits * scale + shift).sum() - ended.sum()) < 2.0
