"""A linear controller: its parameters, its file, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dreamgym.controller.linear import LinearController
from dreamgym.errors import BundleError, BundleNotFoundError, ConfigError
from dreamgym.worlds.base import Squash
from dreamgym.worlds.registry import find


def test_squashing_is_the_papers():
    raw = np.array([[0.5, 0.5, 0.5], [-2.0, -50.0, -1.0]], np.float32)
    expected = [[np.tanh(0.5), (np.tanh(0.5) + 1) / 2, np.tanh(0.5)], [np.tanh(-2.0), 0.0, 0.0]]
    np.testing.assert_allclose(find().actions.from_outputs(raw), expected, atol=1e-6)
    np.testing.assert_allclose(find().actions.from_outputs(torch.from_numpy(raw)), expected, atol=1e-6)


def test_controller_round_trips_and_has_867_parameters(tmp_path: Path):
    parameters = np.random.default_rng(0).standard_normal(867).astype(np.float32)
    controller = LinearController.from_parameters(parameters)
    assert controller.weights.shape == (3, 288)
    controller.save(tmp_path / "c.safetensors")
    assert np.array_equal(LinearController.load(tmp_path / "c.safetensors").parameters, parameters)


def test_a_row_of_a_batch_is_the_single_one_to_the_bit():
    controller = LinearController.from_parameters(np.random.default_rng(0).standard_normal(867))
    observations = np.random.default_rng(1).standard_normal((5, 288)).astype(np.float32)
    actions = controller(observations)
    assert actions.shape == (5, 3) and actions.dtype == np.float32
    for row in range(5):
        assert np.array_equal(controller(observations[row]), actions[row])


def test_a_bad_controller_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(BundleNotFoundError):
        LinearController.load(tmp_path / "nothing")
    path = tmp_path / "c.safetensors"
    LinearController.from_parameters(np.zeros(867)).save(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BundleError):
        LinearController.load(path)
    with pytest.raises(ConfigError, match="finite"):
        LinearController.from_parameters(np.full(867, np.nan))


def test_a_controller_of_any_sizes_says_in_its_file_how_it_acts(tmp_path: Path):
    squash: tuple[Squash, ...] = ("unit", "tanh")
    controller = LinearController.from_parameters(np.random.default_rng(0).standard_normal(12), squash)
    assert controller.weights.shape == (2, 5)
    controller.save(tmp_path / "c.safetensors")
    loaded = LinearController.load(tmp_path / "c.safetensors")
    assert loaded.squash == squash
    seen = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    assert np.array_equal(loaded(seen), controller(seen))
    assert (controller(seen * 100)[:, 0] >= 0).all()
    assert np.array_equal(controller.with_parameters(-controller.parameters).weights, -controller.weights)


def test_a_file_that_does_not_say_how_it_acts_is_the_default_worlds(tmp_path: Path):
    for count, path in ((3, tmp_path / "three.safetensors"), (1, tmp_path / "one.safetensors")):
        save_file({"weights": np.ones((count, 4), np.float32), "bias": np.ones(count, np.float32)}, path)
    assert LinearController.load(tmp_path / "three.safetensors").squash == find().actions.squash
    with pytest.raises(BundleError, match=r"one\.safetensors: controller: expected weights of shape \(3, "):
        LinearController.load(tmp_path / "one.safetensors")


@pytest.mark.parametrize(("numbers", "squash"), [(8, ("tanh",) * 3), (3, ("tanh",) * 3), (4, ()), (4, ("sigmoid",))])
def test_parameters_that_do_not_fit_are_refused(numbers: int, squash: Any):
    with pytest.raises(ConfigError, match="controller: expected"):
        LinearController.from_parameters(np.zeros(numbers), squash)
