"""The picture at every size, what it shows, and the window it is shown in or cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygame
import pytest
from numpy.typing import NDArray

from dreamgym.play.commands import Command, obey
from dreamgym.play.players import players
from dreamgym.play.screen import Status, draw
from dreamgym.play.session import Session
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.surfaces import pixels

GOLDEN = Path(__file__).parent / "golden"
"""Pictures of the screen as it should look, a quarter of its size; UPDATE_GOLDEN=1 pytest ... writes them anew."""
BLOCK = 4  # golden pixels, 16 of the screen
FARTHEST = 18.0  # levels, mean of a block: fonts are drawn a little otherwise elsewhere, and a missing word is above

PATTERN = np.zeros((64, 64, 3), np.uint8)
PATTERN[:32, 32:] = (220, 60, 60)  # above, to the right
PATTERN[40:, :20] = (60, 120, 220)


def farthest(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The largest mean difference of a block of two pictures, uint8 (height, width, 3)."""
    height, width, _ = one.shape
    signed = one.astype(float) - other.astype(float)
    blocks = signed[: height // BLOCK * BLOCK].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    return float(np.abs(blocks.mean(axis=(1, 3))).max())


def drawn(session: Session, status: Status) -> pygame.Surface:
    surface = pygame.Surface((1280, 720))
    draw(surface, session, status)
    return pygame.transform.smoothscale(surface, (320, 180))


def compare(name: str, session: Session, status: Status | None = None) -> None:
    """Fail unless the session looks as its golden picture does; V, untrained, gives way to a pattern."""
    session.real.picture = session.dream.picture = session.guess = PATTERN
    surface = drawn(session, status or Status(50.0))
    path = GOLDEN / f"{name}.png"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        pygame.image.save(surface, path)
    distance = farthest(pixels(surface), pixels(pygame.image.load(path)))
    assert distance < FARTHEST, f"{path} differs from what is drawn by {distance:.0f} levels in a block"


def asleep(session: Session) -> None:
    obey(session, Command.DREAM_FROM_HERE)
    session.tick(np.zeros(3, np.float32))


def paused(session: Session) -> None:
    obey(session, Command.PAUSE)
    session.say("")


def end(session: Session) -> None:
    session.leader.ended = "failed"


def complete(session: Session) -> None:
    session.leader.ended = "complete"


SCENES: dict[str, tuple[str, int, Callable[[Session], None] | None]] = {
    "both": ("both", 1, None),
    "reality": ("reality", 1, None),
    "dream": ("dream", 1, None),
    "both-inside": ("both", 1, lambda session: obey(session, Command.INSIDE) and None),
    "dream-inside": ("dream", 1, lambda session: obey(session, Command.INSIDE) and None),
    "dream-from-here": ("reality", 1, asleep),
    "paused": ("both", 1, paused),
    "ended-in-reality": ("reality", 1, complete),
    "ended-in-a-dream": ("dream", 1, end),
    "help": ("both", 1, lambda session: obey(session, Command.HELP) and None),
    "waiting": ("dream", 0, None),
}


@pytest.mark.parametrize("name", SCENES)
def test_screen_looks_as_its_golden_picture(steady_world_model: WorldModel, name: str) -> None:
    view, player, change = SCENES[name]
    found, world = players(steady_world_model), find("CarRacing")
    session = Session(steady_world_model, found, world, player=player, view=view, seed=4)  # type: ignore[arg-type]
    for _ in range(60):  # until CarRacing has come near
        session.tick(np.zeros(3, np.float32))
    if change is not None:
        change(session)
    compare(name, session)
    session.close()


def test_screen_of_another_world_looks_as_its_golden_picture(corridor: Session) -> None:
    for _ in range(10):
        corridor.tick(np.ones(1, np.float32))
    compare("another-world", corridor, Status(20.0, 61.0))


def test_golden_pictures_allow_a_shift_of_text_and_nothing_missing(corridor: Session) -> None:
    wanted = drawn(corridor, Status(50.0))
    surface = pygame.Surface((1280, 720))
    draw(surface, corridor, Status(50.0))
    shifted = pygame.Surface((1280, 720))
    shifted.blit(surface, (1, 0))
    assert farthest(pixels(pygame.transform.smoothscale(shifted, (320, 180))), pixels(wanted)) < FARTHEST
    blank = np.zeros((180, 320, 3), np.uint8)
    assert farthest(blank, pixels(wanted)) > 2 * FARTHEST
    surface.fill((17, 19, 23), (548, 252, 184, 16))  # the word "Temperature"
    assert farthest(pixels(pygame.transform.smoothscale(surface, (320, 180))), pixels(wanted)) > FARTHEST


@pytest.mark.parametrize("view", ["reality", "dream", "both"])
def test_drawing_changes_nothing(toy_world_model: WorldModel, view: str) -> None:
    found, world = players(toy_world_model), find("CarRacing")
    session = Session(toy_world_model, found, world, player=1, view=view, seed=1)  # type: ignore[arg-type]
    surface = pygame.Surface((320, 180))
    ahead = np.array([0.0, 0.3, 0.0], np.float32)
    for flags in ((False, False), (True, False), (False, True)):
        session.inside, session.help = flags
        session.tick(ahead)
        before = (session.real.total, session.dream.total, session.leader.features.tolist(), len(session.readings))
        draw(surface, session, Status(50.0, 1.5))
        session.leader.ended = "complete"
        draw(surface, session, Status())
        session.leader.ended = None
        after = (session.real.total, session.dream.total, session.leader.features.tolist(), len(session.readings))
        assert after == before
    session.close()
