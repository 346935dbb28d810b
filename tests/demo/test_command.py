"""The demo: its pictures, its film, and the whole of it in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pygame
import pytest
from numpy.typing import NDArray

from dreamgym.config import DemoConfig
from dreamgym.controller.linear import LinearController
from dreamgym.demo import command, run
from dreamgym.demo.film import LAST_SECONDS, Film, film
from dreamgym.demo.scene import Panel, Scene
from dreamgym.errors import ConfigError, DivergedError, InstallationError, OutputFolderError
from dreamgym.evaluate import RealSettings, play_episode
from dreamgym.play.playable import PlayableDream, PlayableReality
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find

RACING = find("CarRacing")
SCENE = Scene(RACING.aspect)
SIZE = SCENE.size


@pytest.fixture
def frame() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


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


def pixels(surface: pygame.Surface) -> NDArray[np.uint8]:
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)


def test_panels_stand_side_by_side() -> None:
    panels = [Panel("one", "first"), Panel("two", ""), Panel("three", "")]
    for panel, colour in zip(panels, ((200, 0, 0), (0, 200, 0), (0, 0, 200)), strict=True):
        panel.picture = np.full((64, 64, 3), colour, np.uint8)
    panels[1].picture = np.full((350, 600, 3), (0, 200, 0), np.uint8)  # one to be made smaller
    image = pixels(SCENE.draw(panels))
    assert image.shape == (SIZE[1], SIZE[0], 3)
    assert SIZE[0] % 2 == SIZE[1] % 2 == 0  # H.264 takes no others
    middle = image[SIZE[1] // 2]
    for channel in range(3):
        assert (middle[:, channel] == 200).sum() == 400
    assert (middle[:16] == image[0, 0]).all()
    plain = pixels(SCENE.draw([Panel("", ""), *panels[1:]]))
    assert not np.array_equal(plain[:52, :416], image[:52, :416])  # the words are there
    np.testing.assert_array_equal(plain[:, 430:], image[:, 430:])


def test_picture_is_the_right_way_up() -> None:
    panel = Panel("", "")
    panel.picture = np.zeros((64, 64, 3), np.uint8)
    panel.picture[:32, 32:] = 255  # above, to the right
    image = pixels(SCENE.draw([panel]))
    assert (image[60:180, 230:410] > 200).all()
    assert (image[210:320, 20:200] < 50).all()
    assert (image[60:180, 20:200] < 50).all()


def test_ending_is_written_over_the_picture(frame: NDArray[np.uint8]) -> None:
    panel = Panel("", "")
    panel.picture = frame
    before = pixels(SCENE.draw([panel]))
    panel.ended = "lap finished"
    after = pixels(SCENE.draw([panel]))
    assert not np.array_equal(before[52:332, 16:416], after[52:332, 16:416])
    np.testing.assert_array_equal(before[:, 420:], after[:, 420:])


def test_pictures_of_another_shape_keep_it() -> None:
    scene = Scene(2.5)
    panel = Panel("", "", picture=np.full((64, 64, 3), 200, np.uint8))
    image = pixels(scene.draw([panel]))
    assert image.shape == (52 + 160 + 44, SIZE[0], 3)
    assert (image[52:212, 16:416] == 200).all()


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


def test_demo_evolves_plays_and_films(toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    config = DemoConfig(out=out, world_model=toy_bundle, seconds=1.0, episodes=1, workers=1)
    run(config, max_episode_steps=5)
    printed = capsys.readouterr().out
    report = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    own = report["reality"]["the world model's own"]
    fresh = report["dream"]["evolved just now"]
    assert (own["episodes"], fresh["episodes"]) == (1, command.DREAMS)
    log = out / "evolve" / "generations.jsonl"  # on a busy machine the time is over before the first generation
    assert report["generations"] == (len(log.read_text().splitlines()) if log.exists() else 0)
    assert f" {own['mean']:.0f}\n" in printed and own["std"] is None  # of one episode
    assert f"{fresh['mean']:.0f} ± {fresh['std']:.0f}" in printed
    assert f"{report['dream_steps_per_second']:,.0f}" in printed
    assert str(out / "demo.mp4") in printed
    assert LinearController.load(out / "evolve" / "controller.safetensors").parameters.shape == (63,)
    assert (out / "demo.mp4").stat().st_size > 1000
    assert (out / "demo.gif").read_bytes().startswith(b"GIF8")


def test_fresh_controller_is_filmed_where_there_is_no_other(toy_bundle: Path, tmp_path: Path) -> None:
    world = WorldModel.load(toy_bundle)
    world.controller = None
    world.save(tmp_path / "bare")
    out = tmp_path / "demo"
    run(
        DemoConfig(out=out, world_model=tmp_path / "bare", seconds=1.0, episodes=1, workers=1),
        max_episode_steps=3,
    )
    report = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    assert list(report["reality"]) == ["evolved just now"]


def test_bad_settings_and_missing_parts_are_refused_first(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for wrong in ({"episodes": 0}, {"episodes": 11}, {"seconds": 0.0}):
        with pytest.raises(ConfigError, match="expected"):
            run(DemoConfig(out=out, world_model=toy_bundle, **wrong))  # type: ignore[arg-type]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputFolderError):
        run(DemoConfig(out=tmp_path / "full", world_model=toy_bundle))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InstallationError, match="imageio's ffmpeg"):
        run(DemoConfig(out=out, world_model=toy_bundle))
    assert not out.exists()
