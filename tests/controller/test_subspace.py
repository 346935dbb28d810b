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
