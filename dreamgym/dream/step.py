"""One step of the dream for a batch of rows, in plain torch: the reference, and the default engine on CPU and GPU.

Symbols: B rows, Z latents, H hidden units, A numbers of an action, K components of each latent's mixture, F common
factors.

Layout. A row of the state is [z | h | 1 | a]. The controller's observation ([z, h]), the LSTM's input (the whole row)
and the heads' input ([h, 1]) are slices of it, and biases are a column of the weights. tanh(x) is computed as
1 - 2 sigmoid(-2x), with the -2 folded into the weights, so that one sigmoid serves all four gates.

Row independence. A row's numbers are the same to the bit whatever the batch is. Rows of a matrix product do not depend
on their number from 16 up, and with oneDNN on most processors never; :class:`~dreamgym.vision.packed_linear.Packed`
measures it, and rows are padded where it is not so. torch computes the last elements of a sigmoid by another formula
when they do not fill a vector register: sizes that are no multiple of one are padded too. The other functions used
(exp, log, log1p, erfinv) treat every element alike.
"""

from __future__ import annotations

import itertools
import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

from dreamgym.dream.noise import normals, uniforms
from dreamgym.dream.reward import pay, softplus
from dreamgym.dream.row_tiles import Batch, Buffer, Faults, StepResult, Tile
from dreamgym.errors import ConfigError, DivergedError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT, MDNRNN, Prediction
from dreamgym.memory.mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from dreamgym.training import choose_precision
from dreamgym.vision.packed_linear import PADDING, Packed
from dreamgym.worlds.base import RewardRule

__all__ = ["PRECISIONS", "MemoryStep", "StepNoise", "TorchTile"]

PRECISIONS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_PRECISIONS: Final = {**PRECISIONS, "float64": torch.float64}
_VECTOR: Final = 32  # elements that torch's vectorized loops take at once, at most
_LARGEST_INVERSE: Final = 1e30  # of a temperature: times a logit it stays finite
_ROWS_OF_NOISE: Final = 512  # drawn at once for a small batch: as quick as a few
_MOST_STEPS: Final = 64


class StepNoise(NamedTuple):
    """The random numbers of one step."""

    uniform: Tensor
    """Chooses each latent's component, in [0, 1), (B, 1, Z)."""
    normal: Tensor
    """Each latent's own noise, then the common factors; standard normal, (B, Z + F)."""
    end: Tensor
    """Logistic, (B,): an episode ends when the logit of its probability is above."""


class MemoryStep:
    """The memory model (M) as the dream steps it.

    Its weights in the row layout, and the parts of a step.

    The weights are copies: training the module later changes nothing here.

    Args:
        memory: the trained M.
        precision: "float32"; "bfloat16" to run the matrix products in it (all else stays float32); "auto" for whichever
            of the two the device multiplies faster; or "float64" for everything.
        device: where to run.
        reward_head: whether M's reward head is read.

    Raises:
        ConfigError: for another precision.
        DivergedError: when a weight is not finite, by name.
    """

    def __init__(
        self,
        memory: MDNRNN,
        precision: str = "float32",
        device: torch.device | str = "cpu",
        reward_head: bool = True,
    ) -> None:
        precision = choose_precision(precision, torch.device(device))
        if precision not in _PRECISIONS:
            raise ConfigError(f"precision must be one of {['auto', *_PRECISIONS]}, got {precision!r}")
        for name, value in memory.state_dict().items():
            if not torch.isfinite(value).all():
                raise DivergedError(f"M's {name} has values that are not finite; load or train the weights again")
        self.precision = precision
        self.dtype = _PRECISIONS[precision]
        """Of the matrix products."""
        self.state_dtype = torch.promote_types(self.dtype, torch.float32)
        """Of the state, and of all else that a step computes."""
        self.device = torch.device(device)
        self.latent_size = memory.latent_size
        self.action_size = memory.action_size
        self.hidden_size = memory.hidden_size
        self.mixtures = memory.mixtures
        self.factors = memory.factors
        self.reward_head = reward_head and memory.reward_head is not None
        self.reward_kind = memory.reward_kind if self.reward_head else "none"
        self.observation_size = memory.latent_size + memory.hidden_size
        self.row_size = self.observation_size + 1 + memory.action_size
        self.noise_size = 2 * memory.latent_size + memory.factors + 1
        """Uniform draws that a row needs in a step: two a latent, one a factor, and one for the end."""
        with torch.no_grad():
            self.gate_weight = gate_weight(memory).to(self.device, self.dtype)
            """(4 H, Z + H + 1 + A)."""
            self.head_weight = head_weight(memory, self.reward_head).to(self.device, self.dtype)
            """((3 K + F) Z + 1 or 2, H + 1)."""
        self.gates, self.heads = Packed(self.gate_weight), Packed(self.head_weight)
        self.padding = max(self.gates.padding, self.heads.padding)
        """Rows come in multiples of this; see the module's note on row independence."""
        if memory.hidden_size % _VECTOR or memory.latent_size % _VECTOR:
            self.padding = PADDING if memory.hidden_size % 2 == 0 else 2 * PADDING
        heads = len(self.head_weight) - (3 * self.mixtures + self.factors) * self.latent_size
        mixture = [self.mixtures * self.latent_size, 2 * self.mixtures * self.latent_size]
        self._widths = [*mixture, *[self.latent_size] * self.factors, heads]
        self._noise_widths = [self.latent_size, *[1] * self.factors]
        self._lanes = torch.arange(self.noise_size, dtype=torch.int32, device=self.device)

    def advance(self, before: Buffer, after: Buffer) -> None:
        """One step of the LSTM, from one buffer into h and c of the other."""
        gates = self.gates(before.rows.to(self.dtype)).to(self.state_dtype)
        i, f, g, o = gates.sigmoid_().chunk(4, dim=1)
        torch.addcmul(i, i, g, value=-2.0, out=after.c).addcmul_(f, before.c)  # i (1 - 2 g) + f c
        torch.addcmul(o, o, (after.c * -2.0).sigmoid_(), value=-2.0, out=after.h)  # o tanh(c)

    def predict(self, hidden: Tensor) -> Tensor:
        """Head outputs [mixture | loadings | reward, if there is one | termination].

        (3 K + F) Z + 2 numbers a row.

        Args:
            hidden: [h | 1] after the LSTM's step, (B, H + 1).

        Returns:
            Of the precision's type, (B, (3 K + F) Z + 2).
        """
        outputs: Tensor = self.heads(hidden.to(self.dtype))
        return outputs

    def noise(self, keys: Tensor, elapsed: Tensor) -> StepNoise:
        """A step's noise.

        Args:
            keys: int32 (B, 2); see :func:`dreamgym.dream.noise.row_keys`.
            elapsed: steps taken in this episode, int64 (B,).
        """
        counters = (elapsed * self.noise_size).to(torch.int32)[:, None] + self._lanes
        uniform = uniforms(keys, counters).to(self.state_dtype)
        last = uniform[:, -1]
        z = self.latent_size
        return StepNoise(uniform[:, None, :z], normals(uniform[:, z:-1]), (last / (1.0 - last)).log_())

    def sample(self, head_outputs: Tensor, inverse: Tensor, root: Tensor, noise: StepNoise) -> Tensor:
        """Draw z from the mixture at a temperature.

        Logits / tau, sigma * sqrt(tau) (paper, section 3.3).

        :func:`dreamgym.memory.mixture.sample_mixture` says the same in fewer and slower operations.

        Args:
            head_outputs: from :meth:`predict`, of the state's type.
            inverse: 1 / tau, (B, 1); see :func:`tempers`.
            root: the square root of tau, (B, 1).
            noise: the step's.

        Returns:
            (B, Z), not clipped.
        """
        z, k = self.latent_size, self.mixtures
        logits, components, *loadings, _ = head_outputs.split_with_sizes(self._widths, dim=1)
        weights = torch.softmax((logits * inverse).view(-1, k, z), dim=1)
        cumulative = weights[:, :-1]  # up to each component but the last
        for before, here in itertools.pairwise(cumulative.unbind(1)):
            here.add_(before)
        component = (cumulative <= noise.uniform).sum(dim=1, keepdim=True)  # (B, 1, Z)
        picked = components.view(-1, 2, k, z).gather(2, component.unsqueeze(1).expand(-1, 2, -1, -1))
        mean, log_sigma = picked.view(-1, 2, z).unbind(1)
        sigma = log_sigma.clamp_(LOG_SIGMA_MIN, LOG_SIGMA_MAX).exp_().mul_(root)
        own, *factors = noise.normal.split_with_sizes(self._noise_widths, dim=1)
        for factor, loading in zip(factors, loadings, strict=True):
            own = own.addcmul(factor, loading)
        drawn: Tensor = mean.addcmul_(sigma, own)
        return drawn

    def reward_output(self, head_outputs: Tensor) -> Tensor | None:
        """What the reward head says, before the softplus of a count, (B,); None without one."""
        return head_outputs[:, -2] if self.reward_head else None

    def prediction(self, head_outputs: Tensor) -> Prediction:
        """The head outputs by name, copies.

        Args:
            head_outputs: from :meth:`predict`.
        """
        outputs, z = head_outputs.to(self.state_dtype), self.latent_size
        mixture, loadings, _ = outputs.tensor_split([3 * self.mixtures * z, (3 * self.mixtures + self.factors) * z], 1)
        output = self.reward_output(outputs)
        reward = outputs.new_zeros(len(outputs)) if output is None else output.clone()
        reward = softplus(reward) if self.reward_kind == "count" else reward
        mixture, loadings = mixture.unflatten(1, (3, self.mixtures, z)), loadings.unflatten(1, (self.factors, z))
        return Prediction(mixture, reward, outputs[:, -1].clone(), loadings)


class TorchTile(Tile):
    """Rows of a batch that torch steps together, on one thread.

    Args:
        batch: the tile's part of the batch.
        memory_step: M.
        rewards: the world's rule.
    """

    most = 1024
    """Rows at most: fewer, and torch's fixed cost of a call weighs more; more, and caches overflow."""

    def __init__(self, batch: Batch, memory_step: MemoryStep, rewards: RewardRule) -> None:
        super().__init__(batch, memory_step, rewards)
        self._tempers: tuple[int, Tensor, Tensor] | None = None
        on_cpu = memory_step.device.type == "cpu"
        self._steps = min(_MOST_STEPS, max(1, _ROWS_OF_NOISE // len(batch.elapsed))) if on_cpu else 1
        self._noise: list[StepNoise] = []  # of the steps to come, the next one last

    def step(self, now: int) -> StepResult:
        """See :meth:`Tile.step`."""
        m, batch = self.memory_step, self.batch
        before, after = batch.buffers[now], batch.buffers[1 - now]
        m.advance(before, after)
        head_outputs = m.predict(after.hidden)
        outputs, noise = head_outputs.to(m.state_dtype), self._next_noise()
        drawn = m.sample(outputs, *self._present_tempers(), noise)
        torch.clamp(drawn, -LATENT_LIMIT, LATENT_LIMIT, out=after.z)
        end_logit = outputs[:, -1]
        failed = end_logit > noise.end
        paid = pay(self.rewards, m.reward_output(outputs), before.progress, failed)
        after.progress.copy_(paid.progress)
        faults = _faults(drawn, after.z, paid.progress + end_logit)
        return StepResult(paid.reward, failed | paid.complete, paid.complete, head_outputs, faults)

    def _present_tempers(self) -> tuple[Tensor, Tensor]:
        version = self.batch.temperature._version  # counts changes in place, the only ones
        if self._tempers is None or self._tempers[0] != version:
            temperature = self.batch.temperature[:, None].to(self.memory_step.state_dtype)
            self._tempers = (version, *tempers(temperature))
        return self._tempers[1:]

    def _next_noise(self) -> StepNoise:
        """This step's; with few rows that of many steps at once, which costs the same."""
        batch, steps = self.batch, self._steps
        if steps == 1:
            return self.memory_step.noise(batch.keys, batch.elapsed)
        if not self._noise:
            elapsed = batch.elapsed + torch.arange(steps - 1, -1, -1)[:, None]  # (steps, B)
            drawn = self.memory_step.noise(batch.keys.repeat(steps, 1), elapsed.flatten())
            parts = (each.unflatten(0, (steps, -1)).unbind() for each in drawn)
            self._noise = [StepNoise(*part) for part in zip(*parts, strict=True)]
        return self._noise[-1]

    def advance(self) -> None:
        """See :meth:`Tile.advance`."""
        if self._noise:
            self._noise.pop()

    def forget(self) -> None:
        """See :meth:`Tile.forget`."""
        self._noise = []


def _faults(drawn: Tensor, z: Tensor, others: Tensor) -> Faults | None:
    """What was clipped of the latents, and what is not finite of them and of ``others``, (B,)."""
    if torch.equal(drawn, z) and math.isfinite(others.sum().item()):  # not equal either where one is NaN
        return None
    return Faults((drawn != z).sum(dim=1), torch.isfinite(others + z.sum(dim=1)).logical_not_())


def tempers(temperature: Tensor) -> tuple[Tensor, Tensor]:
    """1 / temperature, and the temperature's square root.

    The former is small enough for its product with a logit to be finite.
    """
    return temperature.reciprocal().clamp_max_(_LARGEST_INVERSE), temperature.sqrt()


def gate_weight(memory: MDNRNN) -> Tensor:
    """Weights from a row of the state to the gates.

    Before their sigmoid; (4 H, Z + H + 1 + A).
    """
    z_weight, a_weight = memory.input_weight.split([memory.latent_size, memory.action_size], dim=1)
    weight = torch.cat([z_weight, memory.recurrent_weight, memory.bias[:, None], a_weight], dim=1).float()
    _, _, candidate, _ = weight.chunk(4)
    candidate *= -2.0
    return weight


def head_weight(memory: MDNRNN, reward_head: bool) -> Tensor:
    """Weights from [h | 1] to the head outputs.

    ((3 K + F) Z + 2, H + 1); one row less without the reward head.
    """
    reward = memory.reward_head if reward_head else None
    heads = [memory.mixture_head, memory.factor_head, reward, memory.termination_head]
    weight = torch.cat([head.weight for head in heads if head is not None])
    bias = torch.cat([head.bias for head in heads if head is not None])
    return torch.cat([weight, bias[:, None]], dim=1).float()
