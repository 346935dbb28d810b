"""The demo: its pictures, its film, and the whole of it in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pygame
import pytest
import torch
from numpy.typing import NDArray

from dreamgym.config import DemoConfig
from dreamgym.control.linear import LinearController
from dreamgym.demo import command, run
from dreamgym.demo.film import GIF_FRAMES, LAST_FRAMES, Dream, Film, film
from dreamgym.demo.scene import GIF_SIZE, SIZE, Panel, Scene, view
from dreamgym.dream.core import DreamCore
from dreamgym.dream.rendering import decode_frames
from dreamgym.errors import ConfigError, DivergedError, InstallationError, OutputFolderError
from dreamgym.evaluate.real import RealStep
from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.world_model import WorldModel


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
    image = pixels(Scene().draw(panels))
    assert image.shape == (SIZE[1], SIZE[0], 3)
    assert SIZE[0] % 2 == SIZE[1] % 2 == 0  # H.264 takes no others
    middle = image[SIZE[1] // 2]
    for channel in range(3):
        assert (middle[:, channel] == 200).sum() == 400
    assert (middle[:16] == image[0, 0]).all()
    plain = pixels(Scene().draw([Panel("", ""), *panels[1:]]))
    assert not np.array_equal(plain[:52, :416], image[:52, :416])  # the words are there
    np.testing.assert_array_equal(plain[:, 430:], image[:, 430:])


def test_a_picture_is_the_right_way_up() -> None:
    panel = Panel("", "")
    panel.picture = np.zeros((64, 64, 3), np.uint8)
    panel.picture[:32, 32:] = 255  # above, to the right
    image = pixels(Scene().draw([panel]))
    assert (image[60:180, 230:410] > 200).all()
    assert (image[210:320, 20:200] < 50).all()
    assert (image[60:180, 20:200] < 50).all()


def test_an_ending_is_written_over_the_picture(frame: NDArray[np.uint8]) -> None:
    panel = Panel("", "")
    panel.picture = frame
    before = pixels(Scene().draw([panel]))
    panel.ended = "lap finished"
    after = pixels(Scene().draw([panel]))
    assert not np.array_equal(before[52:332, 16:416], after[52:332, 16:416])
    np.testing.assert_array_equal(before[:, 420:], after[:, 420:])


def test_the_dashboard_is_cut_off() -> None:
    assert view(np.zeros((96, 96, 3), np.uint8)).shape == (84, 96, 3)
    assert view(np.zeros((400, 600, 3), np.uint8)).shape == (350, 600, 3)


def test_a_dream_from_a_real_frame_goes_as_the_core_does(
    toy_world_model: WorldModel, controller: LinearController, frame: NDArray[np.uint8]
) -> None:
    dream, core = Dream(controller, toy_world_model, frame, seed=4), DreamCore(toy_world_model, 1)
    core.reset(seeds=torch.tensor([4]), observation=torch.from_numpy(frame))
    total = 0.0
    for _ in range(20):
        np.testing.assert_array_equal(dream.picture(), decode_frames(toy_world_model.vision, core.z)[0])
        assert dream.total == pytest.approx(total)
        dream.step()
        if dream.ended:
            break
        total += float(core.step(torch.from_numpy(controller(core.features.numpy()))).reward)
    assert total != 0.0


def test_a_dream_that_is_over_stays_as_it_is(
    make_world_model: Any, controller: LinearController, frame: NDArray[np.uint8]
) -> None:
    dream = Dream(controller, make_world_model(lap_units=1.0), frame, seed=0)
    while not dream.ended:
        dream.step()
    assert dream.ended in ("lap finished", "left the playfield")
    before, picture = dream.total, dream.picture()
    dream.step()
    assert dream.total == before
    np.testing.assert_array_equal(dream.picture(), picture)


def test_every_step_is_a_frame_and_the_gif_is_shorter(
    toy_world_model: WorldModel, controller: LinearController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgym.demo.film.GIF_FRAMES", 5)
    video, gif = Counting(), Counting()
    shot = Film(controller, toy_world_model, 0, video, gif)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for index in range(8):
        raw = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        picture = np.full((400, 600, 3), 20 * index, np.uint8)
        features = rng.normal(size=20).astype(np.float32)
        shot.step(RealStep(raw, features, np.array([0.1, 0.2, 0.3], np.float32), 1.0, picture))
    shot.end(EpisodeScore(0, 8.0, 8, True, False, 1.0, 280.0, (), 8.0))
    assert len(video.frames) == 8 + LAST_FRAMES
    assert [gif_frame.get_size() for gif_frame in gif.frames] == [GIF_SIZE] * 5
    assert [int(pixels(drawn)[50, 50, 0]) for drawn in gif.frames] == [20 * index for index in range(5)]
    assert [int(pixels(drawn)[100, 100, 0]) for drawn in video.frames[:8]] == [20 * index for index in range(8)]
    assert not np.array_equal(pixels(video.frames[-1]), pixels(video.frames[7]))  # the lap's end is announced


def test_a_film_is_written(toy_world_model: WorldModel, controller: LinearController, tmp_path: Path) -> None:
    score = film(controller, toy_world_model, 15_090, tmp_path, max_episode_steps=6)
    assert score.length == 6
    assert {path.name for path in tmp_path.iterdir()} == {"demo.mp4", "demo.gif"}
    for name, size in (("demo.mp4", SIZE), ("demo.gif", GIF_SIZE)):
        frames = decoded(tmp_path / name, size)
        seconds = len(frames) / (50 if name.endswith("mp4") else 12.5)
        assert seconds == pytest.approx((6 + LAST_FRAMES) / 50, abs=0.1)
        assert frames[0].std() > 20
    assert GIF_FRAMES > 81


def test_a_film_that_fails_leaves_nothing(
    toy_world_model: WorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controller: LinearController
) -> None:
    monkeypatch.setattr(Film, "end", lambda *_: (_ for _ in ()).throw(DivergedError("broken")))
    (tmp_path / "demo.mp4").write_text("an earlier one")
    with pytest.raises(DivergedError, match="broken"):
        film(controller, toy_world_model, 15_090, tmp_path, max_episode_steps=3)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.mp4"]
    assert (tmp_path / "demo.mp4").read_text() == "an earlier one"


def test_the_whole_in_small(toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    config = DemoConfig(out=out, world_model=toy_bundle, seconds=1.0, tracks=1, workers=1)
    run(config, max_episode_steps=5)
    printed = capsys.readouterr().out
    report = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    own = report["reality"]["the world model's own"]
    fresh = report["dream"]["evolved just now"]
    assert (own["episodes"], fresh["episodes"]) == (1, command.DREAMS)
    log = out / "evolve" / "generations.jsonl"  # on a busy machine the time is over before the first generation
    assert report["generations"] == (len(log.read_text().splitlines()) if log.exists() else 0)
    assert f"{own['mean']:.0f} ± {own['std']:.0f}" in printed
    assert f"{fresh['mean']:.0f} ± {fresh['std']:.0f}" in printed
    assert f"{report['dream_steps_per_second']:,.0f}" in printed
    assert str(out / "demo.mp4") in printed
    assert LinearController.load(out / "evolve" / "controller.safetensors").parameters.shape == (63,)
    assert (out / "demo.mp4").stat().st_size > 1000
    assert (out / "demo.gif").read_bytes().startswith(b"GIF8")


def test_without_a_controller_the_fresh_one_is_filmed(toy_bundle: Path, tmp_path: Path) -> None:
    world = WorldModel.load(toy_bundle)
    world.controller = None
    world.save(tmp_path / "bare")
    out = tmp_path / "demo"
    run(
        DemoConfig(out=out, world_model=tmp_path / "bare", seconds=1.0, tracks=1, workers=1),
        max_episode_steps=3,
    )
    report = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    assert list(report["reality"]) == ["evolved just now"]


def test_what_cannot_be_done_is_refused_first(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for wrong in ({"tracks": 0}, {"tracks": 11}, {"seconds": 0.0}):
        with pytest.raises(ConfigError, match="expected"):
            run(DemoConfig(out=out, world_model=toy_bundle, **wrong))  # type: ignore[arg-type]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputFolderError):
        run(DemoConfig(out=tmp_path / "full", world_model=toy_bundle))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InstallationError, match="imageio-ffmpeg"):
        run(DemoConfig(out=out, world_model=toy_bundle))
    assert not out.exists()
