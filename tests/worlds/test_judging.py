"""How a world is judged."""

from __future__ import annotations

import pytest

from dreamgym.errors import ConfigError
from dreamgym.worlds.base import FidelityCases


def test_skilled_players_are_among_those_that_are_held_out() -> None:
    with pytest.raises(ConfigError, match="skilled"):
        FidelityCases(players=("still",), skilled=("planner",))
