"""What is written beside the pictures."""

from __future__ import annotations

import pytest

from dreamgym.play.panels import signed


@pytest.mark.parametrize(("value", "words"), [(905.26, "905.3"), (-0.1, "−0.1"), (-0.04, "0.0"), (0.0, "0.0")])
def test_numbers_have_a_proper_minus_and_zero_has_none(value: float, words: str) -> None:
    assert signed(value) == words
