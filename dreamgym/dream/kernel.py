"""One step of M for a tile of rows, laid out for speed; :meth:`MDNRNN.step` and ``sample_mixture`` are the reference.

Layout. A row of the state is [z | h | 1 | a], so that the observation of the controller ([z, h]), the input of the
LSTM (all of it) and the input of the heads ([h, 1]) are slices of one tensor, and biases are a column of the weights:
a step is two matrix products and no concatenation. What the heads say is stored with the component index outermost,
(3 K, B, Z): work on one component of all rows is then one pass over contiguous memory. tanh(x) is computed as
1 - 2 sigmoid(-2x), the -2 folded into the weights: one sigmoid over all four gates is several times as fast as a tanh,
and differs by 1e-7.

Time. For 512 rows half of it is the two products, at the processor's peak; the rest is about 60 passes over small
tensors, where torch's fixed cost of a call counts as much as the arithmetic. Hence a :class:`Workspace` of buffers and
of views of them, made once: to make a view costs as much as a small operation, and memory that is used again is still
in the cache.

Row independence. Rows of a matrix product do not depend on the number of rows from 16 up, and with oneDNN on most
processors never; :class:`~dreamgym.products.Packed` tries it, and rows are padded where it is not so. torch
computes the last few elements of a sigmoid by another formula when they do not fill a vector register: sizes that are
no multiple of one are padded as well. The other functions used (exp, log, log1p, erfinv) treat every element alike.
"""

from __future__ import annotations

import itertools
from typing import Final

import torch
from torch import Tensor

from dreamgym.dream.noise import normals, uniforms
from dreamgym.errors import ConfigError, DivergedError
from dreamgym.memory.mdn_rnn import MDNRNN, Prediction
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from dreamgym.products import PADDING, Packed

__all__ = ["PRECISIONS", "StepKernel", "Workspace"]

PRECISIONS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_VECTOR: Final = 32  # elements that torch's vectorized loops take at once, at most
_COLDEST: Final = 1e30  # of an inverse temperature: times a logit it stays finite


class Workspace:
    """Buffers for one step of ``count`` rows, one after another for any tiles of that many; nothing lasts in it.

    Args:
        kernel: the step's.
        count: rows, B.
    """

    def __init__(self, kernel: StepKernel, count: int) -> None:
        z, h, k, device = kernel.latent_size, kernel.hidden_size, kernel.mixtures, kernel.device
        self.low_rows: Tensor | None = None
        """The products' inputs in another type than float32, where that is what they take."""
        if kernel.dtype is not torch.float32:
            self.low_rows = torch.zeros(count, kernel.row_size, dtype=kernel.dtype, device=device)
            self.low_hidden = torch.zeros(count, h + 1, dtype=kernel.dtype, device=device)
            self.gates = torch.zeros(count, 4 * h, device=device)
            self.gate_parts = self.gates.chunk(4, dim=1)
        self.squashed = torch.zeros(count, h, device=device)
        said = torch.zeros(3 * k + kernel.factors, count, z, device=device)  # logits, means, log sigmas, loadings
        self.said_by_row = said.transpose(0, 1)
        self.logits = said[:k]
        self.components = said[k : 3 * k].unflatten(0, (2, k)).unbind(1)
        """Mean and log sigma of each component, K times (2, B, Z)."""
        self.loadings = said[3 * k :].unbind()
        """Of each common factor, F times (B, Z)."""
        self.ends_by_row = torch.zeros(2, count, device=device).T
        self.units, self.end_logit = self.ends_by_row.unbind(1)
        """Units of progress before softplus, and the logit of termination, (B,)."""
        self.weights = torch.zeros(k, count, z, device=device)
        self.cumulative = self.weights[:-1]
        self.cumulative_parts = self.cumulative.unbind()
        self.beyond = torch.zeros(k - 1, count, z, device=device)
        self.beyond_parts = self.beyond.unbind()
        self.picked = torch.zeros(2, count, z, device=device)
        self.mean, self.log_sigma = self.picked.unbind()
        self.noise = torch.zeros(count, z, device=device)
        self.z = torch.zeros(count, z, device=device)
        self._made_of = kernel, count

    def __reduce__(self) -> tuple[type[Workspace], tuple[StepKernel, int]]:
        return Workspace, self._made_of  # copies of views would be views of nothing


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
        self.device = torch.device(device)
        self.latent_size = memory.latent_size
        self.action_size = memory.action_size
        self.hidden_size = memory.hidden_size
        self.mixtures = memory.mixtures
        self.factors = memory.factors
        self.observation_size = memory.latent_size + memory.hidden_size
        self.row_size = self.observation_size + 1 + memory.action_size
        self.noise_size = 2 * memory.latent_size + memory.factors + 1
        """Uniform draws a row needs in a step: two a latent, for its component and its normal, one for each common
        factor, and one to end."""
        self.dtype = PRECISIONS[precision]
        with torch.no_grad():
            self._gate_weight = Packed(gate_weight(memory).to(self.device, self.dtype))  # row_size -> 4H
            self._head_weight = Packed(head_weight(memory).to(self.device, self.dtype))  # H + 1 -> (3 K + F) Z + 2
        self.padding = max(self._gate_weight.padding, self._head_weight.padding)
        """Rows come in multiples of this; see the module's note on row independence."""
        if memory.hidden_size % _VECTOR or memory.latent_size % _VECTOR:
            self.padding = PADDING if memory.hidden_size % 2 == 0 else 2 * PADDING
        self._lanes = torch.arange(self.noise_size, dtype=torch.int32, device=self.device)

    def gates(self, rows: Tensor, space: Workspace) -> Tensor:
        """The gates before their sigmoid, the candidate's times -2, (B, 4 H), of the precision's type.

        Args:
            rows: [z | h | 1 | a], float32 of shape (B, row_size).
            space: for B rows.
        """
        return self._gate_weight(rows if space.low_rows is None else space.low_rows.copy_(rows))

    def heads(self, hidden: Tensor, space: Workspace) -> Tensor:
        """The mixture, the loadings, the progress and the termination as the heads say them, (B, (3 K + F) Z + 2).

        Args:
            hidden: [h | 1], float32 of shape (B, hidden_size + 1).
            space: for B rows.
        """
        return self._head_weight(hidden if space.low_rows is None else space.low_hidden.copy_(hidden))

    def advance(self, rows: Tensor, c: Tensor, next_h: Tensor, next_c: Tensor, space: Workspace) -> None:
        """One step of the LSTM.

        Args:
            rows: [z | h | 1 | a], float32 of shape (B, row_size).
            c: the cell, (B, hidden_size).
            next_h: (B, hidden_size); written.
            next_c: as ``c``; written.
            space: for B rows.
        """
        gates = self.gates(rows, space)
        if space.low_rows is None:
            i, f, g, o = gates.sigmoid_().chunk(4, dim=1)
        else:
            space.gates.copy_(gates).sigmoid_()
            i, f, g, o = space.gate_parts
        torch.addcmul(i, i, g, value=-2.0, out=next_c).addcmul_(f, c)  # i (1 - 2 g) + f c
        torch.mul(next_c, -2.0, out=space.squashed).sigmoid_()
        torch.addcmul(o, o, space.squashed, value=-2.0, out=next_h)

    def predict(self, hidden: Tensor, space: Workspace) -> Tensor:
        """The heads; what :meth:`sample` needs of them stays in ``space``.

        Args:
            hidden: [h | 1], float32 of shape (B, hidden_size + 1).
            space: for B rows.

        Returns:
            What they say row by row, for :meth:`prediction`, (B, (3 K + F) Z + 2).
        """
        product = self.heads(hidden, space)
        count, width = product.shape
        parts = 3 * self.mixtures + self.factors
        space.said_by_row.copy_(product.as_strided((count, parts, self.latent_size), (width, self.latent_size, 1)))
        space.ends_by_row.copy_(product.as_strided((count, 2), (width, 1), width - 2))
        return product

    def noise(self, keys: Tensor, elapsed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A step's noise: uniform (B, Z) and normal (B, Z + F) for the mixture, logistic (B,) for the end.

        An episode ends when the logit of its probability is above the last.

        Args:
            keys: int32 of shape (B, 2).
            elapsed: steps taken in this episode, int64 of shape (B,).
        """
        counters = (elapsed * self.noise_size).to(torch.int32)[:, None] + self._lanes
        uniform = uniforms(keys, counters)
        z = self.latent_size
        last = uniform[:, -1]
        return uniform[:, :z], normals(uniform[:, z:-1]), (last / (1.0 - last)).log_()

    def sample(self, space: Workspace, coldness: Tensor, warmth: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        """Draw z from the mixture at a temperature, as :func:`dreamgym.memory.mixture.sample_mixture`.

        Args:
            space: as :meth:`predict` left it.
            coldness: 1 / temperature, (B, 1); see :meth:`tempers`.
            warmth: its square root, (B, 1).
            uniform: (B, Z).
            normal: (B, Z + F); see :func:`dreamgym.memory.mixture.common_noise`.

        Returns:
            (B, Z), in ``space``.
        """
        torch.softmax(space.logits.mul_(coldness), dim=0, out=space.weights)
        parts = space.cumulative_parts
        for before, here in itertools.pairwise(parts):
            here.add_(before)
        torch.le(space.cumulative, uniform, out=space.beyond)  # 1 or 0
        picked = space.picked.copy_(space.components[0])
        for component, beyond in zip(space.components[1:], space.beyond_parts, strict=True):
            picked.lerp_(component, beyond)  # exact at 0 and 1; where() takes five times as long
        sigma = space.log_sigma.clamp_(LOG_SIGMA_MIN, LOG_SIGMA_MAX).exp_().mul_(warmth)
        noise = space.noise.copy_(normal[:, : self.latent_size])
        for factor, loadings in enumerate(space.loadings, start=self.latent_size):
            noise.addcmul_(normal[:, factor, None], loadings)
        drawn: Tensor = space.mean.addcmul_(sigma, noise)
        return drawn

    @staticmethod
    def tempers(temperature: Tensor) -> tuple[Tensor, Tensor]:
        """1 / temperature, kept small enough to multiply a logit by, and its square root, both of its shape."""
        return temperature.reciprocal().clamp_max_(_COLDEST), temperature.sqrt()

    def prediction(self, products: list[Tensor]) -> Prediction:
        """The heads by name, copies.

        Args:
            products: what :meth:`predict` returned for each tile.
        """
        product, z = torch.cat(products).float(), self.latent_size
        mixture, loadings, ends = product.split([3 * self.mixtures * z, self.factors * z, 2], dim=1)
        mixture = mixture.unflatten(1, (3, self.mixtures, z))
        return Prediction(mixture, softplus(ends[:, 0]), ends[:, 1].clone(), loadings.unflatten(1, (self.factors, z)))


def gate_weight(memory: MDNRNN) -> Tensor:
    """From a row of the state to the gates before their sigmoid, (4 H, Z + H + 1 + A)."""
    z_weight, a_weight = memory.input_weight.split([memory.latent_size, memory.action_size], dim=1)
    weight = torch.cat([z_weight, memory.recurrent_weight, memory.bias[:, None], a_weight], dim=1).float()
    _, _, candidate, _ = weight.chunk(4)
    candidate *= -2.0
    return weight


def head_weight(memory: MDNRNN) -> Tensor:
    """From [h | 1] to the mixture, the loadings, the progress and the termination, ((3 K + F) Z + 2, H + 1)."""
    wanted = (memory.mixture_head, memory.factor_head, memory.progress_head, memory.termination_head)
    heads = [head for head in wanted if head is not None]
    weight = torch.cat([head.weight for head in heads])
    bias = torch.cat([head.bias for head in heads])
    return torch.cat([weight, bias[:, None]], dim=1).float()


def softplus(value: Tensor) -> Tensor:
    """log(1 + e^x) from functions that treat every element alike (see the module's note)."""
    return value.abs().neg_().exp_().log1p_().add_(value.clamp_min(0.0))
