"""One step of M for a tile of rows, laid out for speed; :meth:`MDNRNN.step` and ``sample_mixture`` are the reference.

Layout. A row of the state is [z | h | 1 | a], so that the observation of the controller ([z, h]), the input of the
LSTM (all of it) and the input of the heads ([h, 1]) are slices of one tensor, and biases are a row of the weights: a
step is two matrix products and no concatenation. The heads' output is [logits | means | log sigmas | progress |
termination], the first three with the component index outside the latent index, so that work on one component reads
contiguous memory. tanh(x) is computed as 2 sigmoid(2x) - 1, the 2x folded into the weights: one sigmoid over all four
gates is several times as fast as a tanh, and differs by 1e-7.

Row independence. Rows of a matrix product do not depend on the number of rows from 16 up, so rows are padded to that.
``sigmoid`` computes the last few elements of a tensor by another formula when they do not fill a vector register: the
padding sees to it that none remain. The other functions used (exp, log, log1p, cos, sin) treat every element alike.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dreamgym.dream.noise import normals, uniforms
from dreamgym.errors import ConfigError, DivergedError
from dreamgym.memory.mdn_rnn import MDNRNN, Prediction
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN

__all__ = ["PRECISIONS", "StepKernel"]

PRECISIONS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_PAD: Final = 16


class StepKernel:
    """M's weights in the layout of the fast path, and one step of it.

    The weights are copies: training the module later changes nothing here.

    Args:
        memory: the trained M.
        precision: "float32", or "bfloat16" to run the matrix products in it (all else stays float32).
        device: where to run.

    Raises:
        ConfigError: for another precision.
        DivergedError: when a weight is not finite, by name.
    """

    def __init__(self, memory: MDNRNN, precision: str = "float32", device: torch.device | str = "cpu") -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"precision must be one of {list(PRECISIONS)}, got {precision!r}")
        for name, value in memory.state_dict().items():
            if not torch.isfinite(value).all():
                raise DivergedError(f"M's {name} has values that are not finite; load or train the weights again")
        self.precision = precision
        self.latent_size = memory.latent_size
        self.action_size = memory.action_size
        self.hidden_size = memory.hidden_size
        self.mixtures = memory.mixtures
        self.observation_size = memory.latent_size + memory.hidden_size
        self.row_size = self.observation_size + 1 + memory.action_size
        self.head_size = 3 * memory.mixtures * memory.latent_size + 2
        self.noise_pairs = (memory.latent_size + 1) // 2
        self.noise_size = memory.latent_size + 2 * self.noise_pairs + 1
        """Uniform draws a row needs in a step: one a latent to choose the component, the normals', one to end."""
        self.padding = _PAD if memory.hidden_size % 2 == 0 else 2 * _PAD
        """Rows come in multiples of this; see the module's note on row independence."""
        self._dtype = PRECISIONS[precision]
        with torch.no_grad():
            self._gate_weight = self._gates(memory).to(device, self._dtype)  # (row_size, 4H)
            self._head_weight = self._heads(memory).to(device, self._dtype)  # (H + 1, head_size)
        self._lanes = torch.arange(self.noise_size, dtype=torch.int32, device=device)

    @staticmethod
    def _gates(memory: MDNRNN) -> Tensor:
        z_weight, a_weight = memory.input_weight.split([memory.latent_size, memory.action_size], dim=1)
        weight = torch.cat([z_weight, memory.recurrent_weight, memory.bias[:, None], a_weight], dim=1).float()
        _, _, candidate, _ = weight.chunk(4)
        candidate *= 2.0
        return weight.T.contiguous()

    @staticmethod
    def _heads(memory: MDNRNN) -> Tensor:
        heads = (memory.mixture_head, memory.progress_head, memory.termination_head)
        weight = torch.cat([head.weight for head in heads])
        bias = torch.cat([head.bias for head in heads])
        return torch.cat([weight, bias[:, None]], dim=1).float().T.contiguous()

    def _product(self, rows: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
        if self._dtype is torch.float32:
            return torch.mm(rows, weight, out=out)
        product = torch.mm(rows.to(self._dtype), weight)
        return product.float() if out is None else out.copy_(product)

    def advance(
        self, rows: Tensor, c: Tensor, next_rows: Tensor, next_c: Tensor, heads: Tensor | None = None
    ) -> Tensor:
        """The LSTM and the heads.

        Args:
            rows: [z | h | 1 | a], float32 of shape (B, row_size).
            c: the cell, (B, hidden_size).
            next_rows: as ``rows``; its h is written.
            next_c: as ``c``; written.
            heads: (B, head_size), to be written; None for a new tensor.

        Returns:
            The heads' output, (B, head_size).
        """
        gates = self._product(rows, self._gate_weight).sigmoid_()
        i, f, g, o = gates.chunk(4, dim=1)
        g.mul_(2.0).sub_(1.0).mul_(i)
        torch.mul(f, c, out=next_c).add_(g)
        squashed = (next_c * 2.0).sigmoid_().mul_(2.0).sub_(1.0)
        z, h = self.latent_size, self.hidden_size
        torch.mul(o, squashed, out=next_rows[:, z : z + h])
        return self._product(next_rows[:, z : z + h + 1], self._head_weight, heads)

    def noise(self, keys: Tensor, elapsed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A step's noise: uniform (B, Z) and normal (B, Z) for the mixture, uniform (B,) for the end.

        Args:
            keys: int32 of shape (B, 2).
            elapsed: steps taken in this episode, int64 of shape (B,).
        """
        counters = (elapsed * self.noise_size).to(torch.int32)[:, None] + self._lanes
        uniform = uniforms(keys, counters)
        z = self.latent_size
        return uniform[:, :z], normals(uniform[:, z:-1])[:, :z], uniform[:, -1]

    def sample(self, heads: Tensor, temperature: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        """Draw z from the mixture at a temperature, as :func:`dreamgym.memory.mixture.sample_mixture`.

        Args:
            heads: (B, head_size).
            temperature: (B, 1).
            uniform: (B, Z).
            normal: (B, Z).

        Returns:
            (B, Z).
        """
        mixture = heads[:, :-2].unflatten(1, (3, self.mixtures, self.latent_size))
        logits, means, log_sigmas = (part.unbind(1) for part in mixture.unbind(1))
        peak = logits[0]
        for logit in logits[1:]:
            peak = torch.maximum(peak, logit)
        weights = mixture[:, 0].sub(peak[:, None]).div_(temperature[:, :, None]).exp_()  # (B, K, Z), not normalised
        cumulative = [weights[:, 0]]
        for k in range(1, self.mixtures):
            cumulative.append(cumulative[-1] + weights[:, k])
        threshold = uniform * cumulative[-1]
        mean, log_sigma = means[0], log_sigmas[0]
        for k in range(1, self.mixtures):
            beyond = cumulative[k - 1] <= threshold
            mean = torch.where(beyond, means[k], mean)
            log_sigma = torch.where(beyond, log_sigmas[k], log_sigma)
        sigma = log_sigma.clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX).exp_()
        drawn: Tensor = sigma.mul_(temperature.sqrt()).mul_(normal).add_(mean)
        return drawn

    def prediction(self, heads: Tensor) -> Prediction:
        """The heads' output by name; the mixture is a view of it."""
        mixture = heads[:, :-2].unflatten(1, (3, self.mixtures, self.latent_size))
        return Prediction(mixture, softplus(heads[:, -2]), heads[:, -1])


def softplus(value: Tensor) -> Tensor:
    """log(1 + e^x) from functions that treat every element alike (see the module's note)."""
    return value.abs().neg_().exp_().log1p_().add_(value.clamp_min(0.0))


def sigmoid(value: Tensor) -> Tensor:
    """1 / (1 + e^-x) from functions that treat every element alike (see the module's note)."""
    return value.neg().exp_().add_(1.0).reciprocal_()
