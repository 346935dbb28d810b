"""The sequences that M is trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.sequences import SequenceSampler
from tests.support.latent_episodes import toy_episode

pytestmark = pytest.mark.usefixtures("one_thread")


def test_sequences_line_up_and_padding_is_masked():
    sampler = SequenceSampler([toy_episode(5, 0.0), toy_episode(30, 1.0)], 10, start_share=0.3)
    batch = sampler.sample(np.random.default_rng(0), 64, torch.device("cpu"))
    step = batch.z[..., 1] * 64
    inside = batch.mask.bool()
    assert torch.equal(batch.action[..., 0][inside], step[inside])
    assert torch.equal((batch.next_z[..., 1] * 64)[inside], step[inside] + 1)
    assert torch.equal(batch.next_z[:, :-1], batch.z[:, 1:])
    short = batch.z[:, 0, 0] == 0
    assert short.any() and not short.all()
    begin = torch.where(short, 5.0, 30.0) - step[:, 0]
    assert torch.equal(batch.mask.sum(dim=1), begin.clamp(max=10.0))
    length = torch.where(short, 5.0, 30.0)[:, None]
    assert torch.equal(batch.failed[inside].bool(), (step == length - 1)[inside])


def test_recent_episodes_are_drawn_as_often_as_asked():
    sampler = SequenceSampler([toy_episode(100, 0.0), toy_episode(10, 1.0)], 5, recent_from=1, recent_share=0.5)
    batch = sampler.sample(np.random.default_rng(0), 400, torch.device("cpu"))
    share = (batch.z[:, 0, 0] > 0).float().mean().item()
    assert 0.5 <= share < 0.6  # half of them, and the recent one's part of the other half


def test_remembered_states_are_those_of_a_run_from_the_first_frame():
    torch.manual_seed(0)
    model = MDNRNN(latent_size=2, hidden_size=4)
    episodes = [toy_episode(100, 0.0), toy_episode(70, 1.0)]
    sampler = SequenceSampler(episodes, 10, start_share=0.0, fresh_share=0.25)
    sampler.remember(model, np.random.default_rng(0), torch.device("cpu"))
    batch = sampler.sample(np.random.default_rng(1), 200, torch.device("cpu"))
    assert batch.state is not None
    begin = (batch.z[:, 0, 1] * 64).int()
    assert (begin % 10 == 0).all() and (begin > 0).any()
    fresh = (batch.state.h == 0).all(dim=1)
    assert 0.1 < fresh[begin > 0].float().mean() < 0.45
    for row in torch.nonzero(~fresh)[:20].flatten().tolist():
        episode = episodes[int(batch.z[row, 0, 0] > 0)]
        z, action = torch.from_numpy(episode.mean.astype(np.float32)), torch.from_numpy(episode.actions)
        _, state = model(z[None, : begin[row]], action[None, : begin[row]])
        torch.testing.assert_close(batch.state.h[row], state.h[0], atol=0.02, rtol=0)  # kept in half precision


@pytest.mark.parametrize("steps", [5, 8, 12, 37, 40])
@pytest.mark.parametrize("length", [5, 40, 100, 127, 128, 129, 200])
def test_sequences_reach_every_step_of_every_episode(length: int, steps: int) -> None:
    # The last is the only one that can leave the world. Rounding starts down to remembered states once hid the last 31,
    # and half of all steps from sequences shorter than the distance of those states.
    sampler = SequenceSampler([toy_episode(length, 0.0)], steps, start_share=0.0)
    sampler.remember(MDNRNN(latent_size=2, hidden_size=4), np.random.default_rng(0), torch.device("cpu"))
    batch = sampler.sample(np.random.default_rng(1), 500, torch.device("cpu"))
    seen = (batch.z[..., 1] * 64).int()[batch.mask.bool()].unique()
    assert seen.tolist() == list(range(length))
    assert batch.failed.any()


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize(("length", "steps"), [(640, 64), (620, 64), (300, 48), (159, 16)])
def test_the_last_step_is_drawn_as_often_as_others(length: int, steps: int, remembered: bool) -> None:
    # It is where episodes fail: were it in fewer sequences, M would expect too few failures.
    sampler = SequenceSampler([toy_episode(length, 0.0)], steps, start_share=0.0)
    if remembered:
        sampler.remember(MDNRNN(latent_size=2, hidden_size=4), np.random.default_rng(0), torch.device("cpu"))
    batch = sampler.sample(np.random.default_rng(1), 4000, torch.device("cpu"))
    step = (batch.z[..., 1] * 64).round().int()[batch.mask.bool()]
    drawn = torch.bincount(step, minlength=length).float()
    assert drawn[-1] == pytest.approx(drawn[steps:-steps].mean().item(), rel=0.15)
    assert drawn[steps:].std() < 0.15 * drawn[steps:].mean()  # and all others


@pytest.mark.parametrize("steps", [16, 96])
def test_last_steps_of_short_and_long_episodes_are_drawn_alike(steps: int) -> None:
    lengths = (steps + 1, 2 * steps - 1, 600)
    episodes = [toy_episode(length, float(index)) for index, length in enumerate(lengths)]
    sampler = SequenceSampler(episodes, steps, start_share=0.0)
    sampler.remember(MDNRNN(latent_size=2, hidden_size=4), np.random.default_rng(0), torch.device("cpu"))
    batch = sampler.sample(np.random.default_rng(1), 12_000, torch.device("cpu"))
    drawn = torch.bincount((batch.z[..., 0][batch.failed.bool()] * 64).round().int(), minlength=3).float()
    assert (drawn / drawn.mean()).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=0.1)
