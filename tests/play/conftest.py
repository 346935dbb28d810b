"""Sessions of a world of another kind than CarRacing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dreamgym.play.players import players
from dreamgym.play.session import Session
from dreamgym.world_model import WorldModel
from tests.support import corridor as toy
from tests.support.corridor import CORRIDOR


@pytest.fixture
def corridor_model() -> WorldModel:
    """A world model of the corridor, which is not registered."""
    return toy.corridor_model()


@pytest.fixture
def corridor(corridor_model: WorldModel) -> Iterator[Session]:
    """A session of the corridor, side by side."""
    session = Session(corridor_model, players(corridor_model), CORRIDOR, view="both", seed=1)
    yield session
    session.close()
