"""M: the mixture-density recurrent network, P(z_{t+1} | a_t, z_t, h_t) (World Models, section 2.2 and appendix A.2)."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LATENT_LIMIT", "MDNRNN", "Prediction", "RewardHead", "State"]

LATENT_LIMIT: Final = 10.0
"""Latents are clipped to this on both sides, in the dream and in reality, so that observation bounds hold for ever."""

_FUSED_WIDTH: Final = 16
"""The inputs are padded with zeros to a multiple of this: oneDNN takes up to twice as long for other widths."""

RewardHead = Literal["none", "count", "value"]
"""M's reward head: none; the expected number of units, a softplus; or the expected reward."""


class State(NamedTuple):
    """The LSTM's state: ``h`` is what the controller sees, ``c`` the cell. Both (B, hidden_size)."""

    h: Tensor
    c: Tensor


class Prediction(NamedTuple):
    """M's prediction of the step from t to t+1.

    Leading dimensions (...) as in the hidden state that it was made from.
    """

    mixture: Tensor
    """Parameters of the mixture over z_{t+1}, (..., 3, K, Z); see :mod:`dreamgym.memory.mixture`."""
    reward: Tensor
    """What the reward head says of the step, (...): expected units (for CarRacing: new tiles touched), never negative;
    the expected reward; or zeros where M has no such head. See :class:`dreamgym.worlds.base.RewardRule`."""
    termination_logit: Tensor
    """Logit of the probability that the step ends the episode by itself, (...)."""
    loadings: Tensor
    """How far each of F common factors moves each latent, in sigmas of its mixture, (..., F, Z); see
    :func:`dreamgym.memory.mixture.common_noise`."""


class MDNRNN(nn.Module):
    """An LSTM on [z_t, a_t] with a mixture-density head.

    Further heads are for rewards, ends, an event and common factors.

    422,368 parameters at the paper's sizes, 257 more in each of the three small heads, and 8,224 more for each common
    factor, which the paper has none of: it draws every latent alone. The LSTM has one bias vector, as in
    the paper, where ``torch.nn.LSTM`` has two. Gates are in torch's order: input, forget, cell, output.

    Order of one step: the controller sees [z_t, h_t]; M then consumes (z_t, the action really executed), which
    gives h_{t+1}, and predicts z_{t+1} from it. h is zero at reset.

    Args:
        latent_size: Z, 32 in the paper.
        action_size: A, 3 for CarRacing.
        hidden_size: H, 256 in the paper.
        mixtures: K, 5 in the paper.
        factors: F, 0 in the paper.
        reward: the kind of the reward head.
        event: whether there is a head for an event that the simulator labels; see :meth:`event_logit`.
    """

    def __init__(
        self,
        latent_size: int = 32,
        action_size: int = 3,
        hidden_size: int = 256,
        mixtures: int = 5,
        factors: int = 4,
        *,
        reward: RewardHead = "count",
        event: bool = True,
    ) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.action_size = action_size
        self.hidden_size = hidden_size
        self.mixtures = mixtures
        self.factors = factors
        self.reward_kind: RewardHead = reward
        self.input_weight = nn.Parameter(torch.empty(4 * hidden_size, latent_size + action_size))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.mixture_head = nn.Linear(hidden_size, 3 * mixtures * latent_size)
        self.reward_head = nn.Linear(hidden_size, 1) if reward != "none" else None
        self.termination_head = nn.Linear(hidden_size, 1)
        self.event_head = nn.Linear(hidden_size, 1) if event else None
        self.factor_head = nn.Linear(hidden_size, factors * latent_size) if factors else None
        bound = hidden_size**-0.5
        nn.init.uniform_(self.input_weight, -bound, bound)
        nn.init.uniform_(self.recurrent_weight, -bound, bound)
        with torch.no_grad():
            self.bias[hidden_size : 2 * hidden_size] = 1.0  # an open forget gate: memory from the first step
            self.termination_head.bias.fill_(-5.0)  # most steps end nothing
            if self.event_head is not None:
                self.event_head.bias.fill_(-5.0)  # and have no event

    def initial_state(self, batch_size: int) -> State:
        """The state at reset: zeros, (batch_size, hidden_size)."""
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return State(zeros, zeros.clone())

    def step(self, z: Tensor, action: Tensor, state: State) -> State:
        """Advance the LSTM by one step.

        Args:
            z: (B, latent_size).
            action: the executed action, (B, action_size).
            state: as it was when the controller saw z.
        """
        inputs = torch.cat([z, action], dim=1)
        gates = F.linear(inputs, self.input_weight, self.bias) + F.linear(state.h, self.recurrent_weight)
        return _lstm_pointwise(gates, state.c)

    def predict(self, h: Tensor) -> Prediction:
        """The heads, from the hidden state after the step, (..., hidden_size)."""
        mixture = self.mixture_head(h).unflatten(-1, (3, self.mixtures, self.latent_size))
        return Prediction(mixture, self.reward(h), self.termination_head(h).squeeze(-1), self.loadings(h))

    def reward(self, h: Tensor) -> Tensor:
        """What the reward head says, (...), from the hidden state after the step, (..., hidden_size)."""
        if self.reward_head is None:
            return h.new_zeros(h.shape[:-1])
        value: Tensor = self.reward_head(h).squeeze(-1)
        return F.softplus(value) if self.reward_kind == "count" else value

    def event_logit(self, h: Tensor) -> Tensor:
        """Logit of the probability that the world's labelled event happened.

        In the step, (...); -inf without the head.

        For CarRacing: a tile that no wheel touched. The dream goes on as if nothing had happened, but the real lap will
        not end.

        Args:
            h: the hidden state after the step, (..., hidden_size).
        """
        if self.event_head is None:
            return h.new_full(h.shape[:-1], -torch.inf)
        logit: Tensor = self.event_head(h).squeeze(-1)
        return logit

    def loadings(self, h: Tensor) -> Tensor:
        """Loadings of the common factors, (..., F, Z).

        From the hidden state after the step, (..., hidden_size).
        """
        if self.factor_head is None:
            return h.new_zeros(*h.shape[:-1], 0, self.latent_size)
        loadings: Tensor = self.factor_head(h).unflatten(-1, (self.factors, self.latent_size))
        return loadings

    def forward(self, z: Tensor, action: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over sequences, teacher-forced.

        Args:
            z: (B, T, latent_size).
            action: (B, T, action_size).
            state: before the first step; zeros when None.

        Returns:
            Hidden states after each step (B, T, hidden_size), and the last state.
        """
        if state is None:
            state = self.initial_state(len(z))
        inputs = torch.cat([z, action], dim=2)
        return self._fused(inputs, state) if inputs.device.type == "cpu" else self._unrolled(inputs, state)

    def _fused(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """torch's own LSTM: half to a third of the time that the steps one by one take on a CPU."""
        padding = (0, -inputs.shape[2] % _FUSED_WIDTH)
        weights = [F.pad(self.input_weight, padding), self.recurrent_weight, self.bias, torch.zeros_like(self.bias)]
        before = [state.h.unsqueeze(0), state.c.unsqueeze(0)]
        hidden, h, c = torch.lstm(
            F.pad(inputs, padding), before, weights, True, 1, 0.0, self.training, False, True
        )  # with biases, one layer, no dropout, one direction, batch first
        return hidden, State(h.squeeze(0), c.squeeze(0))

    def _unrolled(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        hidden = []
        for gates in F.linear(inputs, self.input_weight, self.bias).unbind(1):
            state = _lstm_pointwise(gates + F.linear(state.h, self.recurrent_weight), state.c)
            hidden.append(state.h)
        return torch.stack(hidden, dim=1), state


def _lstm_pointwise(gates: Tensor, c: Tensor) -> State:
    i, f, g, o = gates.chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return State(torch.sigmoid(o) * torch.tanh(c), c)
