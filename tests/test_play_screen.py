"""The picture at every size, and the window it is shown in or cannot be."""

from __future__ import annotations

import sys

import numpy as np
import pygame
import pytest

from dreamgym.errors import ConfigError
from dreamgym.play.drivers import drivers
from dreamgym.play.screen import Status, draw
from dreamgym.play.session import Session
from dreamgym.play.theme import Painter, font
from dreamgym.play.window import Window
from dreamgym.world_model import WorldModel


@pytest.mark.parametrize("size", [(1280, 720), (2560, 1440), (1000, 900), (1600, 700), (641, 359)])
def test_pictures_keep_their_shape_at_every_size(size: tuple[int, int]) -> None:
    painter = Painter(pygame.Surface(size))
    box = painter.pixels((24.0, 100.0, 500.0, 350.0))
    assert box.width / box.height == pytest.approx(10 / 7, abs=0.02)
    whole = painter.pixels((0.0, 0.0, 1280.0, 720.0))
    assert pygame.Rect((0, 0), size).inflate(2, 2).contains(whole)
    assert whole.width in (size[0], round(size[1] * 16 / 9)) or whole.height == size[1]
    margins = (size[0] - whole.width, size[1] - whole.height)
    assert min(margins) <= 1
    assert abs(2 * whole.x - margins[0]) <= 1


def test_text_outlives_pygame() -> None:
    before = font(20, True).size("dream")
    pygame.quit()
    pygame.font.init()
    assert font(20, True).size("dream") == before


@pytest.mark.parametrize("view", ["reality", "dream", "both"])
def test_drawing_changes_nothing(toy_world_model: WorldModel, view: str) -> None:
    session = Session(toy_world_model, drivers(toy_world_model), driver=1, view=view, seed=1)  # type: ignore[arg-type]
    surface = pygame.Surface((320, 180))
    ahead = np.array([0.0, 0.3, 0.0], np.float32)
    for flags in ((False, False), (True, False), (False, True)):
        session.inside, session.help = flags
        session.tick(ahead)
        before = (session.real.total, session.dream.total, session.leader.features.tolist(), len(session.readings))
        draw(surface, session, Status(50.0, 1.5))
        session.leader.ended = "lap"
        draw(surface, session, Status())
        session.leader.ended = None
        after = (session.real.total, session.dream.total, session.leader.features.tolist(), len(session.readings))
        assert after == before
    session.close()


def test_without_a_display_the_error_names_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setenv("DISPLAY", ":404")
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(ConfigError, match=r"no display.*--record"):
        Window(None)

    def fail() -> None:
        raise pygame.error("No available video device")

    monkeypatch.setattr(pygame.display, "init", fail)
    with pytest.raises(ConfigError, match=r"No available video device.*--record"):
        Window(None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a display needs no variable")
def test_a_display_that_nothing_names_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pygame.display, "init", lambda: pytest.fail("asked"))
    with pytest.raises(ConfigError, match=r"no display.*WAYLAND_DISPLAY.*--record"):
        Window(None)
