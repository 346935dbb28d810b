from __future__ import annotations

import numpy as np
import pytest

from dreamgym.controller.subspace import Subspace
from dreamgym.errors import ConfigError

FEATURES = np.random.default_rng(0).standard_normal((200, 6)) * [5.0, 3.0, 2.0, 0.1, 0.1, 0.1] + 1.0


def test_known_directions_are_searched_at_unit_scale() -> None:
    direction = np.array([[0.0, 0.0, 0.0, 1.0, 1.0, 0.0]])
    found = Subspace.of(FEATURES, 2, outputs=1).with_directions(FEATURES, direction)
    assert found.basis.shape == (3, 6)
    assert (FEATURES @ found.basis[0]).std() == pytest.approx(1.0)


def test_a_point_comes_back_from_its_parameters_though_directions_are_oblique() -> None:
    direction = np.array([[1.0, 0.5, 0.0, 1.0, 0.0, 0.0]])
    found = Subspace.of(FEATURES, 2, outputs=1).with_directions(FEATURES, direction)
    point = np.array([0.3, -1.0, 2.0, 0.7])
    np.testing.assert_allclose(found.reduce(found.expand(point)), point, atol=1e-9)


def test_directions_of_another_memory_model_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\(n, 6\)"):
        Subspace.of(FEATURES, 2, outputs=1).with_directions(FEATURES, np.ones((2, 5)))


def test_a_subspace_that_is_whole_loses_nothing():
    features = np.random.default_rng(0).standard_normal((50, 4)) * [5.0, 1.0, 0.5, 0.1] + 3.0
    parameters = np.random.default_rng(1).standard_normal(15)
    whole = Subspace.of(features, 4, 3)
    np.testing.assert_allclose(whole.expand(whole.reduce(parameters)), parameters, atol=1e-9)
    assert Subspace.of(features, 5, 3).basis.shape == (4, 4)
    with pytest.raises(ConfigError, match="component"):
        Subspace.of(features, 0, 3)


def test_a_subspace_keeps_what_varies():
    features = np.random.default_rng(0).standard_normal((500, 4)) * [5.0, 1e-3, 2.0, 1e-3]
    parameters = np.random.default_rng(1).standard_normal(15)
    half = Subspace.of(features, 2, 3)
    kept = half.expand(half.reduce(parameters))
    assert kept.shape == (15,)

    def raw(some: np.ndarray) -> np.ndarray:
        return features @ some[:-3].reshape(3, 4).T + some[-3:]

    np.testing.assert_allclose(raw(kept), raw(parameters), atol=0.02)
    assert half.expand(np.zeros((7, 9))).shape == (7, 15)
