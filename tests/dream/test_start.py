"""Where dreams begin: the bank's states, a real frame, a real moment."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.errors import ConfigError, ObservationError
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import to_card
from tests.support.dream_cores import started


def test_starts_come_from_the_bank(toy_world_model: WorldModel) -> None:
    bank = toy_world_model.starts
    core = DreamCore(toy_world_model, 2000)

    def chosen(start: str | int) -> Tensor:
        core.reset(start=start)
        index = (core.z[:, None] == bank.z).all(dim=2).long().argmax(dim=1)
        assert torch.equal(core.z, bank.z[index])
        assert torch.equal(core.h, bank.h[index])
        assert torch.equal(core.c, bank.c[index])
        assert torch.equal(core.progress, bank.progress[index])
        return torch.bincount(index, minlength=10) / 2000

    beginning = chosen("beginning")
    assert (beginning[:3] - 1 / 3).abs().max() < 5 * math.sqrt(2 / 9 / 2000)
    assert not beginning[3:].any()
    anywhere = chosen("anywhere")
    assert (anywhere[:8] - 1 / 8).abs().max() < 5 * math.sqrt(7 / 64 / 2000)
    assert not anywhere[8:].any()
    assert chosen("hard")[8:].sum() == 1.0
    assert chosen(6)[6] == 1.0


@pytest.mark.parametrize("start", ["finish", -1, 10, 1.5, None, True])
def test_unknown_starts_change_nothing(toy_world_model: WorldModel, start: object) -> None:
    core = started(toy_world_model, 2)
    before = core.get_state()
    with pytest.raises(ConfigError, match="start"):
        core.reset(start=start)  # type: ignore[arg-type]
    after = core.get_state()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(("kind", "start"), [("at_start", "beginning"), ("hard", "hard")])
def test_a_bank_without_such_starts_says_so(toy_world_model: WorldModel, kind: str, start: str) -> None:
    starts = copy.copy(vars(toy_world_model.starts))
    starts[kind] = torch.zeros(10, dtype=torch.bool)
    model = WorldModel(toy_world_model.vision, toy_world_model.memory, type(toy_world_model.starts)(**starts))
    with pytest.raises(ConfigError, match=f"start='{start}'"):
        DreamCore(model, 1).reset(start=start)


def test_dream_from_a_real_frame(toy_world_model: WorldModel) -> None:
    torch.manual_seed(0)
    frame = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8)
    mean, log_variance = toy_world_model.vision.encode(frame.permute(2, 0, 1)[None].float() / 255)
    core = DreamCore(toy_world_model, 3000)
    core.reset(observation=frame)
    assert not core.h.any()
    assert not core.c.any()
    assert not core.progress.any()
    sigma = toy_world_model.latent_noise * torch.exp(0.5 * log_variance)
    noise = ((core.z - mean) / sigma).double()
    assert abs(float(noise.mean())) < 5 / math.sqrt(noise.numel())
    assert abs(float(noise.var()) - 1) < 5 * math.sqrt(2 / noise.numel())


def test_dream_from_a_real_moment(toy_world_model: WorldModel) -> None:
    model = WorldModel(
        toy_world_model.vision, toy_world_model.memory, toy_world_model.starts, None, {"latent_noise": 0}
    )
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    h, c = torch.rand(3, 12), torch.randn(3, 12)
    core = started(model, 3)
    before = core.features[0].clone()
    core.reset(torch.tensor([False, True, True]), observation=frames, state=(h, c), progress=0.25)
    mean, _ = model.vision.encode(frames.permute(0, 3, 1, 2).float() / 255)
    torch.testing.assert_close(core.z[1:], mean[1:], atol=1e-5, rtol=0)
    assert torch.equal(core.h[1:], h[1:])
    assert torch.equal(core.c[1:], c[1:])
    assert core.progress.tolist() == [0.0, 0.25, 0.25]
    assert torch.equal(core.features[0], before)
    core.reset(state=(h[0], c[0]))
    assert torch.equal(core.h, h[:1].expand(3, 12))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"observation": torch.zeros(64, 64, 3)}, ObservationError),
        ({"observation": torch.zeros(96, 96, 3, dtype=torch.uint8)}, ObservationError),
        ({"state": (torch.zeros(11), torch.zeros(12))}, ObservationError),
        ({"state": (torch.full((12,), 1.5), torch.zeros(12))}, ObservationError),
        ({"state": (torch.zeros(12), torch.full((12,), torch.nan))}, ObservationError),
        ({"progress": 1.5}, ConfigError),
        ({"progress": float("nan")}, ConfigError),
    ],
)
def test_bad_moments_change_nothing(
    toy_world_model: WorldModel, options: dict[str, object], error: type[Exception]
) -> None:
    core = started(toy_world_model, 2)
    before = core.get_state()
    with pytest.raises(error):
        core.reset(**options)  # type: ignore[arg-type]
    after = core.get_state()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_progress_beyond_the_cap_of_the_rewards_is_refused(toy_world_model: WorldModel) -> None:
    toy = toy_world_model
    capped = WorldModel(
        toy.vision, toy.memory, toy.starts, None, {**toy.card, "rewards": to_card(replace(toy.rewards, cap=0.5))}
    )
    core = started(capped, 2)
    core.reset(progress=0.5)
    with pytest.raises(ConfigError, match=r"in \[0, 0.5\]; got 0.75"):
        core.reset(progress=0.75)
