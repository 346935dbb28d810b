"""Descriptions in a bundle's card."""

from __future__ import annotations

from dreamgym.worlds.base import ActionSet, actions_from_card, to_card

NUMBERS = {"low": (-1.0,) * 3, "high": (1.0,) * 3, "names": ("a", "b", "c"), "squash": ("tanh",) * 3}


def test_cards_made_when_the_penalty_was_called_effort_are_read() -> None:
    actions = ActionSet(**NUMBERS, penalty=(1.0, 0.0, 0.0))  # type: ignore[arg-type]
    card = to_card(actions)
    card["effort"] = card.pop("penalty")
    assert actions_from_card(card) == actions
