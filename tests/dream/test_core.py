"""The batched dream against the networks it is made of: what a step computes, for which rows, at which temperature."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.errors import DivergedError
from dreamgym.memory.mdn_rnn import State
from dreamgym.memory.mixture import common_noise, sample_mixture
from dreamgym.world_model import WorldModel
from tests.support.dream_cores import SIZES, drive, started


@pytest.mark.parametrize(("precision", "cell", "rest"), [("float32", 2e-6, 1e-5), ("float64", 1e-13, 1e-12)])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_step_is_what_the_networks_say(
    make_world_model: Callable[..., WorldModel], sizes: dict[str, int], precision: str, cell: float, rest: float
) -> None:
    """z, h and c by MDNRNN and sample_mixture: the same up to rounding."""
    model = make_world_model(**sizes)
    core = DreamCore(model, 6, temperature=(0.5, 1.5), precision=precision)
    core.reset(seeds=torch.arange(6), start="anywhere")
    assert str(core.z.dtype) == f"torch.{precision}"
    memory = copy.deepcopy(model.memory).to(core.z.dtype)
    for frame in range(30):
        z, h, c, elapsed = core.z.clone(), core.h.clone(), core.c.clone(), core.elapsed.clone()
        actions = drive(core.seed, frame)
        if frame > 20:
            core.set_temperature(0.3 + 0.1 * (frame % 3))  # which holds at once
        core.step(actions)
        state = memory.step(z, actions.to(z.dtype), State(h, c))
        torch.testing.assert_close(core.h, state.h, atol=cell, rtol=0)
        torch.testing.assert_close(core.c, state.c, atol=cell, rtol=0)
        prediction, reference = core.last_prediction, memory.predict(state.h)
        for ours, theirs in zip(prediction, reference, strict=True):
            torch.testing.assert_close(ours, theirs, atol=rest, rtol=rest)
        uniform, normal, _ = core.memory_step.noise(core._batch.keys[:6], elapsed)
        noise = common_noise(normal, prediction.loadings)
        temperature = core.temperature[:, None].to(z.dtype)
        drawn = sample_mixture(prediction.mixture, temperature, uniform[:, 0], noise)
        torch.testing.assert_close(core.z, drawn.clamp(-10, 10), atol=rest, rtol=rest)
        torch.testing.assert_close(core.event(), memory.event_logit(state.h).sigmoid(), atol=rest, rtol=rest)


def test_teacher_forced_it_gives_the_hidden_states_of_a_sequence(toy_world_model: WorldModel) -> None:
    """The order of one step: M consumes the z that the controller saw and the action that was executed, once."""
    memory = toy_world_model.memory
    torch.manual_seed(1)
    z, actions = torch.randn(4, 20, memory.latent_size), torch.rand(4, 20, 3)
    expected, _ = memory(z, actions)
    core = started(toy_world_model, 4)
    assert not core.h.any()
    for frame in range(20):
        core.z.copy_(z[:, frame])
        core.step(actions[:, frame])
        torch.testing.assert_close(core.h, expected[:, frame], atol=2e-6, rtol=0)


def test_rows_that_are_not_active_stay_as_they_are(toy_world_model: WorldModel) -> None:
    core, free = started(toy_world_model, 4), started(toy_world_model, 4)
    active = torch.tensor([True, False, True, False])
    before = core.get_state()
    actions = torch.zeros(4, 3)
    actions[1] = torch.nan
    step = core.step(actions, active)
    free.step(torch.zeros(4, 3))
    after = core.get_state()
    for name, value in after.items():
        assert torch.equal(value[~active], before[name][~active]), name
    assert torch.equal(core.features[active], free.features[active])
    assert step.reward[~active].tolist() == [0.0, 0.0]
    assert (step.reward[active] != 0).all()
    assert core.elapsed.tolist() == [1, 0, 1, 0]
    core.step(torch.zeros(4, 3), ~active)
    assert torch.equal(core.features, free.features)


def test_thread_setting_is_given_back(toy_world_model: WorldModel, threads: Callable[[int], None]) -> None:
    threads(3)
    core = started(toy_world_model, 200)
    core.step(torch.zeros(200, 3))
    assert torch.get_num_threads() == 3
    core.c[7] = torch.nan
    with pytest.raises(DivergedError):
        core.step(torch.zeros(200, 3))
    assert torch.get_num_threads() == 3


def test_weights_are_copies(make_world_model: Callable[..., WorldModel]) -> None:
    model = make_world_model(seed=3)
    core = started(model, 1)
    with torch.no_grad():
        model.memory.input_weight.fill_(torch.nan)
    core.step(torch.zeros(1, 3))
    assert torch.isfinite(core.features).all()


def test_latents_are_cut_at_ten_and_counted(make_world_model: Callable[..., WorldModel]) -> None:
    model = make_world_model(seed=4)
    with torch.no_grad():
        means = model.memory.mixture_head.bias.unflatten(0, (3, 3, 8))[1]
        means[:, 0], means[:, 1] = 500.0, -500.0
    core = started(model, 3)
    core.step(torch.zeros(3, 3))
    assert core.z[:, 0].tolist() == [10.0] * 3
    assert core.z[:, 1].tolist() == [-10.0] * 3
    assert core.z[:, 2:].abs().max() < 10
    assert core.clamped == 6
    core.step(torch.zeros(3, 3), torch.tensor([True, False, False]))
    assert core.clamped == 8


def test_temperature_forms(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 4)
    assert core.temperature.tolist() == [1.0] * 4  # the card's
    core.set_temperature(0.5, torch.tensor([True, False, False, False]))
    assert core.temperature.tolist() == [0.5, 1.0, 1.0, 1.0]
    core.set_temperature([0.25, 2.0])
    assert core.temperature.tolist() == [0.5, 1.0, 1.0, 1.0]
    drawn = []
    for _ in range(100):
        core.reset()
        drawn.append(core.temperature.clone())
    spread = torch.cat(drawn)
    assert spread.min() >= 0.25
    assert spread.max() <= 2.0
    assert abs(float(spread.mean()) - 1.125) < 5 * 1.75 / (12 * 400) ** 0.5
    core.reset(temperature=3.0)
    assert core.temperature.tolist() == [3.0] * 4
    core.reset()
    assert (core.temperature <= 2.0).all()
    core.set_temperature(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    core.reset()
    assert core.temperature.tolist() == [1.0, 2.0, 3.0, 4.0]
    core.set_temperature(None)
    assert core.temperature.tolist() == [1.0] * 4


@pytest.mark.parametrize("fast", [False, True])
def test_a_dream_goes_on_past_the_end_of_the_noise_counter(toy_world_model: WorldModel, fast: bool) -> None:
    core = started(toy_world_model, 16, temperature=(0.5, 4.0), max_episode_steps=None, fast=fast)
    begun = 2**31 // core.memory_step.noise_size - 100  # the counter is of 32 bits
    core.elapsed.fill_(begun)
    torch.manual_seed(0)
    extremes, seen = torch.randint(0, 2, (20, 16, 3)).float(), []
    for frame in range(200):
        core.step(extremes[frame // 10])
        seen.append(core.z.clone())
    assert core.elapsed.tolist() == [begun + 200] * 16
    drawn = torch.stack(seen)
    assert drawn.isfinite().all()
    assert core.c.isfinite().all()
    assert len(drawn[:, 0].unique(dim=0)) == 200
