"""What a temperature may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.errors import DreamGymError, TemperatureError
from dreamgym.world_model import WorldModel
from tests.support.toy_envs import DreamFactory, make_dreams, unwrapped


def test_a_temperature_that_is_yet_to_be_drawn_is_nan(toy_world_model: WorldModel, make_dream: DreamFactory) -> None:
    env = unwrapped(make_dream(temperature=(2, 3)))
    envs = make_dreams(toy_world_model, num_envs=2, temperature=(2, 3))
    assert np.isnan(env.temperature)
    assert np.isnan(envs.temperature).all()
    env.reset(seed=1)
    envs.reset(seed=1)
    assert 2 <= env.temperature <= 3
    assert ((envs.temperature >= 2) & (envs.temperature <= 3)).all()
    assert unwrapped(make_dream(temperature=2)).temperature == 2


@pytest.mark.parametrize("value", [torch.tensor(1.5), np.array(1.5), np.float32(1.5), torch.tensor(1.5).double()])
def test_numbers_of_any_kind_are_temperatures_everywhere(make_dream: DreamFactory, value: Any) -> None:
    env = unwrapped(make_dream(temperature=value))
    assert env.temperature == 1.5
    env = unwrapped(make_dream())
    _, info = env.reset(seed=1, options={"temperature": value})
    assert info["temperature"] == 1.5
    env.temperature = value
    assert env.temperature == 1.5


@pytest.mark.parametrize("value", [torch.tensor([2.0, 3.0]), np.array([2.0, 3.0]), [2.0, 3.0], (2, 3)])
def test_pairs_of_any_kind_are_ranges_everywhere(make_dream: DreamFactory, value: Any) -> None:
    for env, options in ((make_dream(temperature=value), None), (make_dream(), {"temperature": value})):
        _, info = env.reset(seed=1, options=options)
        assert 2 <= info["temperature"] <= 3


@pytest.mark.parametrize("value", [torch.tensor([1.0, 2.0, 3.0]), torch.tensor(0.0), np.array([[1.0]]), "1", (3, 2)])
def test_bad_temperatures_are_refused_everywhere(make_dream: DreamFactory, value: Any) -> None:
    with pytest.raises(TemperatureError):
        make_dream(temperature=value)
    env = unwrapped(make_dream())
    with pytest.raises(TemperatureError):
        env.reset(options={"temperature": value})
    with pytest.raises(DreamGymError):
        env.temperature = value
