"""One step of M for a tile of rows, laid out for speed; :meth:`MDNRNN.step` and ``sample_mixture`` are the reference.

Layout. A row of the state is [z | h | 1 | a], so that the observation of the controller ([z, h]), the input of the
LSTM (all of it) and the input of the heads ([h, 1]) are slices of one tensor, and biases are a column of the weights:
a step is two matrix products and no concatenation. What the heads say is stored with the component index outermost,
(3 K, B, Z): work on one component of all rows is then one pass over contiguous memory. tanh(x) is computed as
1 - 2 sigmoid(-2x), the -2 folded into the weights: one sigmoid over all four gates is several times as fast as a tanh,
and differs by 1e-7.

Time. For 256 rows half of it is the two products, at the processor's peak; the rest is about 70 passes over small
tensors, where torch's fixed cost of a call counts as much as the arithmetic: fewer calls is what makes it faster.

Row independence. Rows of a matrix product do not depend on the number of rows from 16 up, so rows are padded to that.
``sigmoid`` computes the last few elements of a tensor by another formula when they do not fill a vector register: the
padding sees to it that none remain. The other functions used (exp, log1p, erfinv) treat every element alike.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from dreamgym.dream.noise import normals, uniforms
from dreamgym.errors import ConfigError, DivergedError
from dreamgym.memory.mdn_rnn import MDNRNN, Prediction
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN

__all__ = ["PRECISIONS", "StepKernel"]

PRECISIONS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_PAD: Final = 16
_COLDEST: Final = 1e30  # of an inverse temperature: times a logit it stays finite


class Heads(NamedTuple):
    """What M's heads say of B rows, laid out so that one component of all rows is contiguous."""

    mixture: Tensor
    """K logits, K means, K log sigmas: float32 of shape (3 K, B, Z)."""
    ends: Tensor
    """Units of progress before softplus, and the logit of termination: (2, B)."""

    def rows(self, rows: slice) -> Heads:
        """Views of some of the rows."""
        return Heads(self.mixture[:, rows], self.ends[:, rows])


class Packed:
    """A matrix to multiply rows by, laid out once for oneDNN where torch has it.

    oneDNN's products are faster than those of ``torch.mm``: twice in float32 on AMD, where MKL leaves half of every
    vector empty, and a few per cent in bfloat16 for not packing the matrix anew in every step.

    Args:
        weight: (outputs, inputs).
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, None) if _packable(weight) else None

    def __getstate__(self) -> Tensor:
        """oneDNN's layout can be neither pickled nor copied, and belongs to this machine: a copy packs for itself."""
        return self._weight

    def __setstate__(self, weight: Tensor) -> None:
        self.__init__(weight)  # type: ignore[misc]

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs), of the weight's type."""
        if self._packed is None:
            return torch.mm(rows, self._weight.T)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, None, "none", [], "")
        return product


def _packable(weight: Tensor) -> bool:
    names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    return weight.dtype is torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


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
        self.noise_size = 2 * memory.latent_size + 1
        """Uniform draws a row needs in a step: two a latent, for its component and its normal, and one to end."""
        self.padding = _PAD if memory.hidden_size % 2 == 0 else 2 * _PAD
        """Rows come in multiples of this; see the module's note on row independence."""
        self._dtype = PRECISIONS[precision]
        with torch.no_grad():
            self._gate_weight = Packed(self._gates(memory).to(device, self._dtype))  # row_size -> 4H
            self._head_weight = Packed(self._heads(memory).to(device, self._dtype))  # H + 1 -> head_size
        self._lanes = torch.arange(self.noise_size, dtype=torch.int32, device=device)

    @staticmethod
    def _gates(memory: MDNRNN) -> Tensor:
        z_weight, a_weight = memory.input_weight.split([memory.latent_size, memory.action_size], dim=1)
        weight = torch.cat([z_weight, memory.recurrent_weight, memory.bias[:, None], a_weight], dim=1).float()
        _, _, candidate, _ = weight.chunk(4)
        candidate *= -2.0
        return weight

    @staticmethod
    def _heads(memory: MDNRNN) -> Tensor:
        heads = (memory.mixture_head, memory.progress_head, memory.termination_head)
        weight = torch.cat([head.weight for head in heads])
        bias = torch.cat([head.bias for head in heads])
        return torch.cat([weight, bias[:, None]], dim=1).float()

    def heads(self, count: int) -> Heads:
        """Buffers for :meth:`predict` and ``count`` rows."""
        device = self._lanes.device
        mixture = torch.zeros(3 * self.mixtures, count, self.latent_size, device=device)
        return Heads(mixture, torch.zeros(2, count, device=device))

    def advance(self, rows: Tensor, c: Tensor, next_rows: Tensor, next_c: Tensor) -> None:
        """One step of the LSTM.

        Args:
            rows: [z | h | 1 | a], float32 of shape (B, row_size).
            c: the cell, (B, hidden_size).
            next_rows: as ``rows``; its h is written.
            next_c: as ``c``; written.
        """
        gates = self._gate_weight(rows.to(self._dtype)).float().sigmoid_()
        i, f, g, o = gates.chunk(4, dim=1)
        torch.addcmul(i, i, g, value=-2.0, out=next_c).addcmul_(f, c)  # i (1 - 2 g) + f c
        squashed = torch.mul(next_c, -2.0).sigmoid_()
        z, h = self.latent_size, self.hidden_size
        torch.addcmul(o, o, squashed, value=-2.0, out=next_rows[:, z : z + h])

    def predict(self, rows: Tensor, heads: Heads) -> None:
        """The heads.

        Args:
            rows: as :meth:`advance` wrote them.
            heads: to be written.
        """
        product = self._head_weight(rows[:, self.latent_size : self.observation_size + 1].to(self._dtype))
        heads.mixture.copy_(product[:, :-2].unflatten(1, (3 * self.mixtures, self.latent_size)).transpose(0, 1))
        heads.ends.copy_(product[:, -2:].T)

    def noise(self, keys: Tensor, elapsed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A step's noise: uniform (B, Z) and normal (B, Z) for the mixture, uniform (B,) for the end.

        Args:
            keys: int32 of shape (B, 2).
            elapsed: steps taken in this episode, int64 of shape (B,).
        """
        counters = (elapsed * self.noise_size).to(torch.int32)[:, None] + self._lanes
        uniform = uniforms(keys, counters)
        z = self.latent_size
        return uniform[:, :z], normals(uniform[:, z:-1]), uniform[:, -1]

    def sample(self, mixture: Tensor, temperature: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        """Draw z from the mixture at a temperature, as :func:`dreamgym.memory.mixture.sample_mixture`.

        Args:
            mixture: as in :class:`Heads`, (3 K, B, Z).
            temperature: (B, 1).
            uniform: (B, Z).
            normal: (B, Z).

        Returns:
            (B, Z).
        """
        count = self.mixtures
        logits, means_and_log_sigmas = mixture[:count], mixture[count:].unflatten(0, (2, count))
        coldness = temperature.reciprocal().clamp_max_(_COLDEST)
        cumulative = torch.softmax(logits * coldness, dim=0)[:-1]  # (K - 1, B, Z)
        for k in range(1, count - 1):
            cumulative[k].add_(cumulative[k - 1])
        beyond = torch.le(cumulative, uniform, out=torch.empty_like(cumulative))  # 1 or 0
        picked = means_and_log_sigmas[:, 0].clone()  # (2, B, Z)
        for k in range(1, count):
            picked.lerp_(
                means_and_log_sigmas[:, k], beyond[k - 1]
            )  # exact at 0 and 1; where() takes five times as long
        mean, log_sigma = picked.unbind()
        sigma = log_sigma.clamp_(LOG_SIGMA_MIN, LOG_SIGMA_MAX).exp_().mul_(temperature.sqrt())
        drawn: Tensor = mean.addcmul_(sigma, normal)
        return drawn

    def prediction(self, heads: Heads) -> Prediction:
        """The heads by name; the mixture is a view."""
        mixture = heads.mixture.unflatten(0, (3, self.mixtures)).permute(2, 0, 1, 3)  # (B, 3, K, Z)
        units, logit = heads.ends.unbind()
        return Prediction(mixture, softplus(units), logit)


def softplus(value: Tensor) -> Tensor:
    """log(1 + e^x) from functions that treat every element alike (see the module's note)."""
    return value.abs().neg_().exp_().log1p_().add_(value.clamp_min(0.0))


def sigmoid(value: Tensor) -> Tensor:
    """1 / (1 + e^-x) from functions that treat every element alike (see the module's note)."""
    return value.neg().exp_().add_(1.0).reciprocal_()
