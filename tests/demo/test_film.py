"""The demo's film."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pygame
import pytest
import torch
from numpy.typing import NDArray

from dreamgym.controller.linear import LinearController
from dreamgym.demo.film import LAST_SECONDS, Film, film
from dreamgym.demo.scene import Panel, Scene
from dreamgym.dream.rendering import decode_frames
from dreamgym.errors import DivergedError
from dreamgym.evaluate import RealSettings, play_episode
from dreamgym.play.panels import signed
from dreamgym.play.playable import PlayableDream, PlayableReality
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.surfaces import pixels

RACING = find("CarRacing")
SCENE = Scene(RACING.aspect)
SIZE = SCENE.size


@pytest.fixture
def controller(toy_world_model: WorldModel) -> LinearController:
    assert toy_world_model.controller is not None
    return toy_world_model.controller


class Counting:
    """In the place of a video: what was added."""

    def __init__(self) -> None:
        self.frames: list[pygame.Surface] = []

    def add(self, surface: pygame.Surface) -> None:
        self.frames.append(surface)


def decoded(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Every picture of a video, (frames, height, width, 3)."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24"]
    data = subprocess.run([*command, "-"], capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3)


def test_film_shows_the_real_episode_beside_a_dream_of_its_first_moment(
    steady_world_model: WorldModel, controller: LinearController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgym.demo.film.GIF_SECONDS", 0.1)
    video, gif = Counting(), Counting()
    shot = Film(controller, steady_world_model, RACING, 15_090, 8, SCENE, video, gif)  # type: ignore[arg-type]
    real = PlayableReality(steady_world_model, RACING, 8)
    dream = PlayableDream(steady_world_model, max_steps=8)
    real.reset(15_090)
    dream.follow(real, 15_090)
    while shot.real.ended is None:
        np.testing.assert_array_equal(shot.real.features, real.features)
        np.testing.assert_array_equal(shot.dream.features, dream.features)
        for each in (real, dream):
            each.step(controller(each.features[None])[0])
        shot.step()
    shot.end()
    score = play_episode(controller, 15_090, steady_world_model, RACING, RealSettings(max_episode_steps=8))
    assert shot.real.total == pytest.approx(score.score)
    assert shot.dream.total == pytest.approx(dream.total) != shot.real.total
    last = round(LAST_SECONDS * 50)
    assert (len(video.frames), len(gif.frames)) == (8 + last, 5)
    first, running, ended = (pixels(video.frames[index]) for index in (0, 7, 8))
    assert not np.array_equal(first[52:332, 16:416], running[52:332, 16:416])
    assert ended[52:332, 16:416].mean() < 0.7 * running[52:332, 16:416].mean()  # "Time is up" on a veil
    np.testing.assert_array_equal(pixels(video.frames[-1]), ended)
    shot.real.close()
    real.close()


def test_film_is_written(toy_world_model: WorldModel, controller: LinearController, tmp_path: Path) -> None:
    film(controller, toy_world_model, RACING, 15_090, tmp_path, max_steps=6)
    assert {path.name for path in tmp_path.iterdir()} == {"demo.mp4", "demo.gif"}
    for name, size in (("demo.mp4", SIZE), ("demo.gif", (SIZE[0] // 2, SIZE[1] // 2))):
        frames = decoded(tmp_path / name, size)
        seconds = len(frames) / (50 if name.endswith("mp4") else 12.5)
        assert seconds == pytest.approx(6 / 50 + LAST_SECONDS, abs=0.1)
        assert frames[0].std() > 20


def test_film_that_fails_leaves_nothing(
    toy_world_model: WorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controller: LinearController
) -> None:
    monkeypatch.setattr(Film, "end", lambda *_: (_ for _ in ()).throw(DivergedError("broken")))
    (tmp_path / "demo.mp4").write_text("an earlier one")
    with pytest.raises(DivergedError, match="broken"):
        film(controller, toy_world_model, RACING, 15_090, tmp_path, max_steps=3)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.mp4"]
    assert (tmp_path / "demo.mp4").read_text() == "an earlier one"


class Noting(Scene):
    """What the panels said and showed."""

    def __init__(self) -> None:
        super().__init__(RACING.aspect)
        self.seen: list[list[Panel]] = []

    def draw(self, panels: list[Panel]) -> pygame.Surface:
        self.seen.append([replace(panel) for panel in panels])
        return super().draw(panels)


def test_each_panel_is_of_what_its_title_says(steady_world_model: WorldModel, controller: LinearController) -> None:
    scene, video = Noting(), Counting()
    shot = Film(controller, steady_world_model, RACING, 15_090, 30, scene, video, video)  # type: ignore[arg-type]
    for _ in range(26):
        shot.step()
    real, dream = PlayableReality(steady_world_model, RACING), PlayableDream(steady_world_model)
    real.reset(15_090)
    dream.follow(real, 15_090)
    for _ in range(25):
        for each in (real, dream):
            each.step(controller(each.features[None])[0])
    seen, dreamt = decode_frames(steady_world_model.vision, torch.from_numpy(np.stack([real.z, dream.z]))).numpy()
    steering, gas, brake = steady_world_model.actions.executed(controller(real.features[None])[0])
    reality, reconstruction, dreaming = scene.seen[25]
    assert [panel.title for panel in scene.seen[25]] == ["reality", "reconstruction", "a dream"]
    for panel, picture in ((reality, real.view), (reconstruction, seen), (dreaming, dreamt)):
        np.testing.assert_array_equal(panel.picture, picture)
    assert reality.below == f"0.5 s   return {signed(real.total)}"
    assert reconstruction.below == f"steering {steering:.2f}   gas {gas:.2f}   brake {brake:.2f}"
    assert dreaming.below == f"return {signed(dream.total)}, as M pays"
    assert signed(real.total) != signed(dream.total)
    shot.real.close()
    real.close()
