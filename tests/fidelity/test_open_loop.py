"""Dreams that go on from real frames, on worlds that M describes exactly by construction."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch

from dreamgym.fidelity.open_loop import BURN_IN, cut_windows, dream_on, open_loop
from dreamgym.world_model import WorldModel
from tests.support.episodes_by_hand import seen_by


def test_windows_are_pieces_of_the_episodes(toy_world_model: WorldModel) -> None:
    episodes = [
        seen_by(toy_world_model, 120),
        seen_by(toy_world_model, 39, seed=1),
        seen_by(toy_world_model, 40, seed=2),
    ]
    windows = cut_windows(episodes, 10, every=40)
    assert len(windows.z) == 4  # from 0, 40 and 80 of the first, and the whole of the third
    first = episodes[0]
    torch.testing.assert_close(windows.z[1], first.z[40:81])
    torch.testing.assert_close(windows.action[1], first.actions[40:80])
    np.testing.assert_array_equal(windows.frames[1], first.episode.frames[40:81])
    np.testing.assert_array_equal(windows.progress[3], episodes[2].progress)


def test_a_dream_goes_on_from_the_real_frames(toy_world_model: WorldModel) -> None:
    windows = cut_windows([seen_by(toy_world_model, 60)], 20)
    dreamed, paid = dream_on(toy_world_model, windows, 1e-6, seed=0)
    assert dreamed.shape == (1, 20, 8)
    # Cold, a dream is the heaviest component's mean; its first step sees real latents alone.
    memory = toy_world_model.memory
    hidden, state = memory(windows.z[:, : BURN_IN + 1], windows.action[:, : BURN_IN + 1])
    prediction = memory.predict(hidden[:, -1])
    logits, means, _ = prediction.mixture.unbind(-3)
    wanted = means.gather(-2, logits.argmax(-2, keepdim=True)).squeeze(-2)
    torch.testing.assert_close(dreamed[:, 0], wanted, atol=0.02, rtol=0)
    torch.testing.assert_close(paid[:, 0], prediction.reward)
    second = memory.predict(memory.step(dreamed[:, 0], windows.action[:, BURN_IN + 1], state).h)
    torch.testing.assert_close(paid[:, 1], second.reward)


def test_hedges_are_not_paid_for(toy_world_model: WorldModel) -> None:
    memory = copy.deepcopy(toy_world_model.memory)
    with torch.no_grad():
        memory.reward_head.weight.zero_()
        memory.reward_head.bias.fill_(-4.0)  # 0.018 units
    world = dataclasses.replace(toy_world_model, memory=memory)
    _, paid = dream_on(world, cut_windows([seen_by(toy_world_model, 60)], 20), 1.0, seed=0)
    assert not paid.any()


def test_error_curves_tell_a_good_dream_from_none(toy_world_model: WorldModel) -> None:
    found = open_loop(toy_world_model, [seen_by(toy_world_model, 300, seed) for seed in range(2)], 1e-6, horizon=10)
    assert found["windows"] == 6
    assert found["latent"]["vision"] == [0.0] * 10
    assert found["latent"]["dream"][0] < found["latent"]["other"][0]  # the world is as M says
    assert found["pixel_horizons"] == [1, 2, 5, 10]
    assert all(len(curve) == 4 for curve in found["pixel"].values())
    assert all(0 < value < 255 for curve in found["pixel"].values() for value in curve)
    assert found["progress"]["real"] == sorted(found["progress"]["real"])


def test_too_short_drives_give_no_curves(toy_world_model: WorldModel) -> None:
    assert open_loop(toy_world_model, [seen_by(toy_world_model, 20)], 1.0)["windows"] == 0
