"""What is written beside the pictures."""

from __future__ import annotations

import pytest

from dreamgym.play.panels import signed, why_ended
from dreamgym.play.playable import Ending, Playable
from dreamgym.world_model import WorldModel


@pytest.mark.parametrize(("value", "words"), [(905.26, "905.3"), (-0.1, "−0.1"), (-0.04, "0.0"), (0.0, "0.0")])
def test_numbers_have_a_proper_minus_and_zero_has_none(value: float, words: str) -> None:
    assert signed(value) == words


@pytest.mark.parametrize(
    ("ended", "dreamt", "words"),
    [
        ("complete", False, "Lap finished"),
        ("complete", True, "Lap finished, as M counts"),
        ("failed", False, "Left the playfield"),
        ("failed", True, "M ended it: left the playfield"),
        ("time", True, "Time is up"),
        ("lost", True, "The numbers are no longer finite"),
    ],
)
def test_endings_are_told_in_words(toy_world_model: WorldModel, ended: Ending, dreamt: bool, words: str) -> None:
    played = Playable(toy_world_model, None)
    played.ended, played.dreamt = ended, dreamt
    assert why_ended(played, "left the playfield") == words
