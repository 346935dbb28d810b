"""Common factors: how latents move together, from what the mixtures leave unexplained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from dreamgym.memory.correlated_noise import factor_loss, normal_scores
from dreamgym.memory.losses import memory_loss
from dreamgym.memory.mixture import common_noise, sample_mixture
from dreamgym.memory.sequences import SequenceSampler
from dreamgym.memory.trainee import Trainee
from dreamgym.worlds.base import ModelSizes
from dreamgym.worlds.registry import find
from tests.support.latent_episodes import toy_episode


def test_common_noise_has_the_covariance_that_the_loadings_say() -> None:
    torch.manual_seed(0)
    loadings = torch.randn(2, 5)
    noise = common_noise(torch.randn(400_000, 7), loadings)
    torch.testing.assert_close(torch.cov(noise.T), torch.eye(5) + loadings.T @ loadings, atol=0.05, rtol=0.02)


def test_without_factors_noise_is_each_latents_own() -> None:
    normal = torch.randn(3, 5)
    assert torch.equal(common_noise(normal, torch.zeros(3, 0, 5)), normal)


def test_normal_scores_of_draws_are_standard_normal() -> None:
    torch.manual_seed(0)
    parameters = torch.randn(3, 4, 6)
    many = parameters.expand(200_000, -1, -1, -1)
    drawn = sample_mixture(many, torch.ones(200_000, 1), torch.rand(200_000, 6), torch.randn(200_000, 6))
    scores = normal_scores(many, drawn)
    torch.testing.assert_close(torch.cov(scores.T), torch.eye(6), atol=0.02, rtol=0)
    torch.testing.assert_close(scores.mean(dim=0), torch.zeros(6), atol=0.02, rtol=0)


def test_scores_far_outside_are_finite() -> None:
    scores = normal_scores(torch.zeros(3, 2, 4), torch.tensor([-1e6, -20.0, 20.0, 1e6]))
    assert torch.isfinite(scores).all() and scores.abs().max() < 5


def test_the_loss_is_the_likelihood_of_a_normal_distribution() -> None:
    torch.manual_seed(0)
    scores, loadings, log_own = torch.randn(7, 5), torch.randn(7, 2, 5), 0.3 * torch.randn(7, 5)
    covariance = torch.diag_embed(torch.exp(2 * log_own)) + loadings.transpose(1, 2) @ loadings
    reference = -MultivariateNormal(torch.zeros(5), covariance).log_prob(scores) - 2.5 * np.log(2 * np.pi)
    torch.testing.assert_close(factor_loss(scores, loadings, log_own) * 5, reference, atol=1e-4, rtol=1e-4)


def toy_batch(**changes: Any) -> Any:
    episode = replace(toy_episode(30, 1.0), **changes)
    return SequenceSampler([episode], 10).sample(np.random.default_rng(0), 8, torch.device("cpu"))


def test_factors_are_fitted_beside_the_rest_of_m() -> None:
    """They learn from what M expects and do not change it."""
    torch.manual_seed(0)
    trainee = Trainee(find(), ModelSizes(latents=2, hidden_units=4))
    model = trainee.memory
    memory_loss(trainee, toy_batch()).factors.backward()
    assert model.factor_head is not None and model.factor_head.weight.grad.abs().max() > 0
    others = [name for name, value in model.named_parameters() if value.grad is not None and value.grad.abs().max() > 0]
    assert sorted(others) == ["factor_head.bias", "factor_head.weight"]
    alone = Trainee(find(), ModelSizes(latents=2, hidden_units=4, factors=0))
    assert memory_loss(alone, toy_batch()).factors == 0.0


def test_what_was_missed_is_asked_for_where_it_is_known() -> None:
    model = Trainee(find(), ModelSizes(latents=2, hidden_units=4))
    assert model.memory.event_head is not None
    torch.nn.init.zeros_(model.memory.event_head.weight)
    torch.nn.init.zeros_(model.memory.event_head.bias)
    assert memory_loss(model, toy_batch()).auxiliaries["missed"] == 0.0  # not recorded
    steps = np.arange(30)
    missed = np.where(steps < 15, np.where(steps % 3 == 0, 2.0, 0.0), np.nan).astype(np.float32)
    batch = toy_batch(labels={"missed": missed})
    step = (batch.z[..., 1] * 64).int()
    inside = batch.mask.bool()
    known = inside & (step < 15)
    assert torch.equal(torch.isfinite(batch.labels["missed"])[inside], (step < 15)[inside])
    assert torch.equal(batch.labels["missed"][known], (step[known] % 3 == 0).float())
    assert memory_loss(model, batch).auxiliaries["missed"].item() == pytest.approx(np.log(2.0), rel=1e-5)
