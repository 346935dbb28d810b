from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dreamgym.memory.mixture import (
    LOG_SIGMA_MAX,
    LOG_SIGMA_MIN,
    common_noise,
    mixture_cdf,
    mixture_log_likelihood,
    mixture_moments,
    sample_mixture,
)


def make_mixture(shape: tuple[int, ...] = (), components: int = 5, latents: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, 3, components, latents, generator=torch.Generator().manual_seed(seed))


def reference_log_likelihood(parameters: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    logits, means, log_sigmas = parameters.double().unbind(-3)
    log_sigmas = log_sigmas.clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX)
    weights = torch.log_softmax(logits, dim=-2)
    normal = torch.distributions.Normal(means, log_sigmas.exp())
    return torch.logsumexp(weights + normal.log_prob(target.double().unsqueeze(-2)), dim=-2)


def test_likelihood_agrees_with_float64():
    parameters, target = make_mixture((7,)), torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    expected = reference_log_likelihood(parameters, target)
    torch.testing.assert_close(mixture_log_likelihood(parameters, target).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("log_sigma", [-20.0, 20.0])
@pytest.mark.parametrize("target", [0.0, 50.0])
@pytest.mark.parametrize("logit", [0.0, 80.0])
def test_likelihood_and_gradient_stay_finite_at_the_extremes(log_sigma: float, target: float, logit: float):
    parameters = make_mixture((4,))
    parameters[:, 2] = log_sigma
    parameters[:, 0, 0] = logit
    parameters.requires_grad_()
    goal = torch.full((4, 3), target)
    likelihood = mixture_log_likelihood(parameters, goal)
    torch.testing.assert_close(likelihood.double(), reference_log_likelihood(parameters, goal), rtol=1e-4, atol=1e-4)
    likelihood.sum().backward()
    assert parameters.grad is not None and torch.isfinite(parameters.grad).all()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.8])
def test_samples_follow_the_tempered_mixture_in_closed_form(temperature: float):
    count = 200_000
    generator = torch.Generator().manual_seed(3)
    parameters = make_mixture(seed=4)
    uniform, normal = (draw(count, 3, generator=generator) for draw in (torch.rand, torch.randn))
    z = sample_mixture(parameters.expand(count, -1, -1, -1), torch.full((count, 1), temperature), uniform, normal)
    logits, means, log_sigmas = parameters.double().unbind(0)
    weights = torch.softmax(logits / temperature, dim=0)
    mean = (weights * means).sum(0)
    variance = (weights * (temperature * torch.exp(2 * log_sigmas) + means**2)).sum(0) - mean**2
    standard_error = (variance / count).sqrt()
    assert ((z.double().mean(0) - mean).abs() < 5 * standard_error).all()
    torch.testing.assert_close(z.double().var(0), variance, rtol=0.03, atol=0.0)


def test_components_are_chosen_as_often_as_their_tempered_weights_say():
    count, temperature = 100_000, 1.5
    parameters = make_mixture(latents=1)
    parameters[1, :, 0] = torch.arange(5) * 10.0  # far apart and narrow: a draw names its component
    parameters[2] = -6.0
    generator = torch.Generator().manual_seed(5)
    uniform, normal = (draw(count, 1, generator=generator) for draw in (torch.rand, torch.randn))
    z = sample_mixture(parameters.expand(count, -1, -1, -1), torch.full((count, 1), temperature), uniform, normal)
    frequencies = np.bincount((z[:, 0] / 10).round().int().numpy(), minlength=5) / count
    weights = torch.softmax(parameters[0, :, 0].double() / temperature, dim=0).numpy()
    assert np.abs(frequencies - weights).max() < 5 * math.sqrt(0.25 / count)


def test_a_cold_mixture_gives_the_mean_of_its_heaviest_component():
    parameters = make_mixture((100,), seed=6)
    uniform, normal = torch.rand(100, 3), torch.randn(100, 3)
    z = sample_mixture(parameters, torch.full((100, 1), 1e-8), uniform, normal)
    logits, means, _ = parameters.unbind(-3)
    heaviest = means.gather(-2, logits.argmax(-2, keepdim=True)).squeeze(-2)
    torch.testing.assert_close(z, heaviest, rtol=0, atol=1e-2)


def test_moments_agree_with_samples():
    parameters = make_mixture(seed=7)
    generator = torch.Generator().manual_seed(8)
    uniform, normal = (draw(200_000, 3, generator=generator) for draw in (torch.rand, torch.randn))
    z = sample_mixture(parameters.expand(200_000, -1, -1, -1), torch.ones(200_000, 1), uniform, normal)
    mean, variance = mixture_moments(parameters)
    torch.testing.assert_close(z.mean(0), mean, rtol=0.02, atol=0.02)
    torch.testing.assert_close(z.var(0), variance, rtol=0.03, atol=0.0)


def test_common_noise_is_each_latents_own_and_its_loadings_of_the_factors():
    normal = torch.tensor([[1.0, 2.0, 3.0, 10.0, 100.0], [0.0, 0.0, 0.0, 1.0, -1.0]])
    loadings = torch.tensor([[1.0, 0.0, 0.5], [0.0, 2.0, 0.25]])
    wanted = torch.tensor([[11.0, 202.0, 33.0], [1.0, -2.0, 0.25]])
    torch.testing.assert_close(common_noise(normal, loadings), wanted)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 2.25])
def test_the_distribution_function_agrees_with_float64(temperature: float):
    parameters, value = make_mixture((7,)), torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    logits, means, log_sigmas = parameters.double().unbind(-3)
    normal = torch.distributions.Normal(means, log_sigmas.exp() * math.sqrt(temperature))
    expected = (torch.softmax(logits / temperature, -2) * normal.cdf(value.double().unsqueeze(-2))).sum(-2)
    torch.testing.assert_close(mixture_cdf(parameters, value, temperature).double(), expected, rtol=1e-5, atol=1e-5)


def test_log_sigmas_are_kept_within_what_the_trained_models_know():
    assert (LOG_SIGMA_MIN, LOG_SIGMA_MAX) == (-7.0, 4.0)
    parameters = torch.zeros(3, 1, 2)
    parameters[2] = torch.tensor([[-50.0, 50.0]])
    drawn = sample_mixture(parameters, torch.tensor(1.0), torch.zeros(2), torch.ones(2))
    torch.testing.assert_close(drawn, torch.tensor([-7.0, 4.0]).exp())


def test_a_draw_is_the_chosen_mean_and_the_noise_times_sigma_and_the_root_of_the_temperature():
    parameters = torch.tensor([[[0.0], [0.0]], [[-1.0], [3.0]], [[0.0], [math.log(2.0)]]])  # (3, K, Z)
    for uniform, wanted in ((0.25, -1.0 + 0.5 * 1.0), (0.5, 3.0 + 0.5 * 2.0), (0.75, 3.0 + 0.5 * 2.0)):
        drawn = sample_mixture(parameters, torch.tensor(0.25), torch.tensor([uniform]), torch.ones(1))
        torch.testing.assert_close(drawn, torch.tensor([wanted]))


def test_a_component_without_weight_is_never_drawn():
    parameters = torch.tensor([[[-math.inf], [0.0]], [[-1.0], [3.0]], [[0.0], [0.0]]])
    assert sample_mixture(parameters, torch.tensor(1.0), torch.zeros(1), torch.zeros(1)).item() == 3.0


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (2, 4, 1)])
def test_a_temperature_is_of_all_rows_or_of_each(shape: tuple[int, ...]):
    generator = torch.Generator().manual_seed(9)
    parameters = make_mixture((2, 4), seed=9)
    temperature = 0.5 + torch.rand(shape, generator=generator)
    uniform, normal = torch.rand(2, 4, 3, generator=generator), torch.randn(2, 4, 3, generator=generator)
    drawn = sample_mixture(parameters, temperature, uniform, normal)
    of_each = temperature.expand(2, 4, 1)
    for row in np.ndindex(2, 4):
        alone = sample_mixture(parameters[row], of_each[row], uniform[row], normal[row])
        torch.testing.assert_close(drawn[row], alone)


def test_noise_of_a_batch_is_each_rows():
    generator = torch.Generator().manual_seed(10)
    normal, loadings = torch.randn(2, 4, 5, generator=generator), torch.randn(2, 4, 2, 3, generator=generator)
    together = common_noise(normal, loadings)
    for row in np.ndindex(2, 4):
        torch.testing.assert_close(together[row], common_noise(normal[row], loadings[row]))


def test_the_distribution_function_is_at_temperature_one_unless_another_is_given():
    parameters, value = make_mixture((7,)), torch.zeros(7, 3)
    assert torch.equal(mixture_cdf(parameters, value), mixture_cdf(parameters, value, 1.0))
