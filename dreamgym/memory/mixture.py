"""The mixture-density part of M: likelihood, and sampling at a temperature.

A mixture over each latent on its own is held as one tensor of shape (..., 3, K, Z): logits, means and log sigmas of K
Gaussians for Z latents. The component index stands outside the latent index, so that work on one component is
contiguous.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "LOG_SIGMA_MAX",
    "LOG_SIGMA_MIN",
    "common_noise",
    "mixture_cdf",
    "mixture_log_likelihood",
    "mixture_moments",
    "sample_mixture",
]

# Outside these the density is a spike or a plain, and float32 gradients overflow.
LOG_SIGMA_MIN = -7.0
LOG_SIGMA_MAX = 4.0
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def split_mixture(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(..., 3, K, Z) -> logits, means and clamped log sigmas, each (..., K, Z)."""
    logits, means, log_sigmas = parameters.unbind(-3)
    return logits, means, log_sigmas.clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX)


def mixture_log_likelihood(parameters: Tensor, target: Tensor) -> Tensor:
    """log p(target) for each latent, in the log domain throughout.

    Args:
        parameters: (..., 3, K, Z).
        target: (..., Z).

    Returns:
        (..., Z), nats.
    """
    logits, means, log_sigmas = split_mixture(parameters)
    standardized = (target.unsqueeze(-2) - means) * torch.exp(-log_sigmas)
    log_densities = -0.5 * standardized.square() - log_sigmas - _HALF_LOG_2PI
    return torch.logsumexp(torch.log_softmax(logits, dim=-2) + log_densities, dim=-2)


def mixture_cdf(parameters: Tensor, value: Tensor, temperature: float = 1.0) -> Tensor:
    """P(latent <= value) under the mixture at a temperature, (..., Z).

    For parameters (..., 3, K, Z).
    """
    logits, means, log_sigmas = split_mixture(parameters)
    sigma = torch.exp(log_sigmas) * temperature**0.5
    below: Tensor = torch.special.ndtr((value.unsqueeze(-2) - means) / sigma)
    weights = torch.softmax(logits / temperature, dim=-2)
    return (weights * below).sum(dim=-2).clamp(max=1.0)  # float32 weights may add up to a little more


def sample_mixture(parameters: Tensor, temperature: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
    """Draw from the mixture at a temperature.

    Logits / tau, sigma * sqrt(tau) (paper, section 3.3).

    As tau -> 0 the draw tends to the mean of the heaviest component.

    Args:
        parameters: (..., 3, K, Z).
        temperature: broadcastable to (..., 1); positive.
        uniform: in [0, 1), (..., Z); chooses the component by inverting the cumulative weights.
        normal: standard normal, (..., Z).

    Returns:
        (..., Z).
    """
    logits, means, log_sigmas = split_mixture(parameters)
    weights = torch.softmax(logits / temperature.unsqueeze(-1), dim=-2)  # (..., K, Z)
    below = weights.cumsum(dim=-2)[..., :-1, :] <= uniform.unsqueeze(-2)
    component = below.sum(dim=-2, keepdim=True)  # (..., 1, Z)
    mean = means.gather(-2, component).squeeze(-2)
    sigma = log_sigmas.gather(-2, component).squeeze(-2).exp()
    return mean + sigma * temperature.sqrt() * normal


def common_noise(normal: Tensor, loadings: Tensor) -> Tensor:
    """Noise for :func:`sample_mixture` in which latents move together.

    Own noise + sum over f of factor_f * loading_f.

    Args:
        normal: standard normal, (..., Z + F): each latent's own, then the factors.
        loadings: (..., F, Z).

    Returns:
        (..., Z).
    """
    own, factors = normal.split([loadings.shape[-1], loadings.shape[-2]], dim=-1)
    noise: Tensor = own + (factors.unsqueeze(-1) * loadings).sum(dim=-2)
    return noise


def mixture_moments(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the mixture at temperature 1, each (..., Z)."""
    logits, means, log_sigmas = split_mixture(parameters)
    weights = torch.softmax(logits, dim=-2)
    mean = (weights * means).sum(dim=-2)
    second = (weights * (torch.exp(2.0 * log_sigmas) + means.square())).sum(dim=-2)
    return mean, second - mean.square()
