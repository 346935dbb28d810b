"""How latents move together: common factors over the normal scores of the mixtures.

The paper's mixture draws every latent alone. What comes into view, a bend above all, moves many of them together, in
directions that depend on the moment; drawn alone, their moves hardly ever add up to a bend, and a dream's roads are
straighter than real ones. Here a factor analysis is laid over the mixtures: with g_j the normal score of latent j (its
place in its own mixture, as a quantile of the standard normal), g ~ N(0, D^2 + L^T L), where the loadings L, (F, Z),
are read from h. What M expects of each latent alone stays the paper's mixture; what a dream draws is more widely
spread, since the factors are added to each latent's own noise, and strengthened: see
:func:`dreamgym.world_model.build.assemble`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreamgym.memory.mixture import mixture_cdf

__all__ = ["factor_loss", "normal_scores"]

_TAIL = 1e-6  # in float32, the distribution function of a value further out is 0 or 1


@torch.no_grad()
def normal_scores(parameters: Tensor, target: Tensor) -> Tensor:
    """Where a target lies in the mixture of each latent.

    As a quantile of the standard normal.

    Args:
        parameters: (..., 3, K, Z), see :mod:`dreamgym.memory.mixture`.
        target: (..., Z).

    Returns:
        (..., Z), within +-4.8.
    """
    scores: Tensor = torch.special.ndtri(mixture_cdf(parameters, target).clamp(_TAIL, 1.0 - _TAIL))
    return scores


def factor_loss(scores: Tensor, loadings: Tensor, log_own: Tensor) -> Tensor:
    """Negative log likelihood of normal scores under the factor model.

    N(0, D^2 + L^T L), up to a constant.

    By Woodbury's identity all is done with F x F matrices.

    Args:
        scores: (..., Z).
        loadings: L, (..., F, Z).
        log_own: of the diagonal of D, each latent's own noise, (..., Z).

    Returns:
        (...), nats a latent.
    """
    scores, loadings = scores * torch.exp(-log_own), loadings * torch.exp(-log_own).unsqueeze(-2)
    inner = loadings @ loadings.transpose(-1, -2)
    inner = inner + torch.eye(inner.shape[-1], device=inner.device)  # (..., F, F)
    triangle, _ = torch.linalg.cholesky_ex(inner)  # of numbers that are not finite it makes some that are not
    projected = torch.linalg.solve_triangular(triangle, loadings @ scores.unsqueeze(-1), upper=False)  # (..., F, 1)
    squares = scores.square().sum(dim=-1) - projected.square().sum(dim=(-1, -2))
    log_determinant = torch.diagonal(triangle, dim1=-2, dim2=-1).log().sum(dim=-1) + log_own.sum(dim=-1)
    loss: Tensor = (0.5 * squares + log_determinant) / scores.shape[-1]
    return loss
