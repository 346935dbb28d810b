"""M: sizes, order of a step, and shapes."""

from __future__ import annotations

import torch
from torch import nn

from dreamgym.memory.mdn_rnn import MDNRNN, State
from tests.support.modules import parameter_count


def test_parameter_counts_are_the_papers():
    memory = MDNRNN()
    assert memory.factor_head is not None
    added = (memory.reward_head, memory.termination_head, memory.event_head, memory.factor_head)
    assert parameter_count(memory) - sum(map(parameter_count, added)) == 422_368
    assert parameter_count(MDNRNN(factors=0)) == 422_368 + 3 * 257


def test_lstm_is_torchs_with_one_bias():
    model = MDNRNN(latent_size=4, hidden_size=6)
    reference = nn.LSTM(7, 6, batch_first=True)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(model.input_weight)
        reference.weight_hh_l0.copy_(model.recurrent_weight)
        reference.bias_ih_l0.copy_(model.bias)
        reference.bias_hh_l0.zero_()
    z, action = torch.randn(3, 5, 4), torch.randn(3, 5, 3)
    hidden, state = model(z, action)
    expected, (h, c) = reference(torch.cat([z, action], dim=2))
    torch.testing.assert_close(hidden, expected)
    torch.testing.assert_close(state.h, h[0])
    torch.testing.assert_close(state.c, c[0])


def test_stepping_equals_running_over_the_sequence():
    model = MDNRNN(latent_size=4, hidden_size=6)
    z, action = torch.randn(3, 5, 4), torch.randn(3, 5, 3)
    state = model.initial_state(3)
    for step in range(5):
        state = model.step(z[:, step], action[:, step], state)
    hidden, last = model(z, action)
    torch.testing.assert_close(state.h, hidden[:, -1])
    torch.testing.assert_close(state.c, last.c)


def test_the_fused_lstm_learns_as_the_unrolled_one():
    """Other devices than the CPU unroll it."""
    model = MDNRNN(latent_size=4, hidden_size=6)
    inputs, before = torch.randn(3, 5, 7), State(torch.randn(3, 6), torch.randn(3, 6))
    gradients = []
    for run in (model._fused, model._unrolled):
        hidden, last = run(inputs, before)
        (hidden.square().sum() + last.c.sum()).backward()
        gradients.append([model.input_weight.grad, model.recurrent_weight.grad, model.bias.grad])
        model.zero_grad()
    assert all(gradient is not None for gradient in gradients[0])
    torch.testing.assert_close(*gradients)


def test_prediction_shapes_and_signs():
    model = MDNRNN(latent_size=4, hidden_size=6, mixtures=2)
    prediction = model.predict(torch.randn(3, 5, 6))
    assert prediction.mixture.shape == (3, 5, 3, 2, 4)
    assert prediction.reward.shape == prediction.termination_logit.shape == (3, 5)
    assert (prediction.reward >= 0).all()
    assert prediction.loadings.shape == (3, 5, 4, 4)
    assert model.event_logit(torch.randn(3, 5, 6)).shape == (3, 5)
    alone = MDNRNN(latent_size=4, hidden_size=6, factors=0)
    assert alone.predict(torch.randn(3, 5, 6)).loadings.shape == (3, 5, 0, 4)
