"""Recordings: what is in them, and that a file is whole or not there."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pygame
import pytest

from dreamgym.config import PlayConfig
from dreamgym.errors import ConfigError, InstallationError, WorkerError
from dreamgym.play import _terminable, run
from dreamgym.play.loop import _complete
from dreamgym.play.outputs import Outputs
from dreamgym.play.video import Video, _fitted

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")


def frames_in(path: Path) -> tuple[int, float]:
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    return frames, seconds


@pytest.mark.parametrize(("suffix", "frames"), [(".mp4", 20), (".gif", 5)])
def test_a_recording_without_a_window(toy_bundle: Path, tmp_path: Path, suffix: str, frames: int) -> None:
    out = tmp_path / f"drive{suffix}"
    config = PlayConfig(
        world_model=toy_bundle, record=out, frames=20, press=("5:space", "12:space"), size=(320, 181), seed=3
    )
    run(config)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    found, seconds = frames_in(out)
    assert found == frames
    assert seconds == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(("press", "why"), [("5:v", "window"), ("5:escape", "window"), ("500:space", "end at 500")])
def test_key_presses_that_would_do_nothing(toy_bundle: Path, tmp_path: Path, press: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        run(PlayConfig(world_model=toy_bundle, record=tmp_path / "drive.mp4", frames=500, press=(press,)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("press", ["5", "x:space", "5:w", "5:"])
def test_key_presses_that_cannot_be_read(toy_bundle: Path, tmp_path: Path, press: str) -> None:
    with pytest.raises(ConfigError, match="FRAME:KEY"):
        run(PlayConfig(world_model=toy_bundle, record=tmp_path / "drive.mp4", press=(press,)))
    assert list(tmp_path.iterdir()) == []


def test_recordings_have_a_known_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.mp4 or \.gif"):
        PlayConfig(record=tmp_path / "drive.avi")


def test_a_video_by_key_and_another_window_size(tmp_path: Path) -> None:
    outputs = Outputs(PlayConfig(out=tmp_path))
    surface = pygame.Surface((320, 180))
    assert outputs.recording is None
    outputs.toggle_video(surface, ".mp4")
    for size in ((320, 180), (640, 360), (320, 180)):
        outputs.show(pygame.Surface(size))
    assert outputs.recording == pytest.approx(3 / 50)
    outputs.toggle_video(surface, ".mp4")
    outputs.toggle_video(surface, ".gif")
    for _ in range(4):
        outputs.show(surface)
    outputs.close()  # ends what is being recorded
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive-001.gif", "drive-001.mp4"]
    assert frames_in(tmp_path / "drive-001.mp4")[0] == 3
    news = [outputs.news(), outputs.news(), outputs.news()]
    assert sum("Saved" in (line or "") for line in news) == 2


def test_a_window_of_another_shape_keeps_it_in_the_video() -> None:
    tall = pygame.Surface((100, 200))
    tall.fill("white")
    fitted = _fitted(tall, (200, 100))
    assert fitted.get_size() == (200, 100)
    row = [fitted.get_at((x, 50))[0] for x in range(200)]
    assert row == 75 * [0] + 50 * [255] + 75 * [0]


def test_what_is_recorded_when_the_window_closes_is_completed_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = Outputs(PlayConfig(out=tmp_path))
    assert not outputs.busy
    outputs.toggle_video(pygame.Surface((64, 64)), ".mp4")
    outputs.show(pygame.Surface((64, 64)))
    assert outputs.busy
    _complete(outputs)
    assert not outputs.busy
    assert capsys.readouterr().out == f"completing what was recorded ...\nSaved {tmp_path / 'drive-001.mp4'}\n"
    assert frames_in(tmp_path / "drive-001.mp4")[0] == 1


def test_without_ffmpeg_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_found() -> str:
        raise RuntimeError("no ffmpeg for this machine")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none_found)
    with pytest.raises(InstallationError, match=r"no ffmpeg for this machine.*dreamgym\[train\]"):
        Video(tmp_path / "kept" / "a.mp4", (64, 64))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert "dreamgym[train]" in Outputs(PlayConfig(out=tmp_path / "kept")).toggle_video(
        pygame.Surface((64, 64)), ".gif"
    )
    assert not (tmp_path / "kept").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
def test_a_terminal_that_closes_ends_it_tidily_unless_nohup_was_asked_for() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        with pytest.raises(SystemExit), _terminable():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with _terminable():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_video_is_whole_or_not_there(tmp_path: Path) -> None:
    video = Video(tmp_path / "a.mp4", (64, 64))
    video.add(pygame.Surface((64, 64)))
    assert not (tmp_path / "a.mp4").exists()
    video.discard()
    assert list(tmp_path.iterdir()) == []
    video = Video(tmp_path / "b.mp4", (64, 64))
    video.add(pygame.Surface((64, 64)))
    video._process.kill()
    video._process.wait()
    with pytest.raises(WorkerError, match=r"b\.mp4"):
        video.add(pygame.Surface((64, 64)))
    assert list(tmp_path.iterdir()) == []
    video = Video(tmp_path / "c.gif", (64, 64))
    with pytest.raises(WorkerError, match=r"c\.gif"):
        video.finish()  # without a single frame
    assert list(tmp_path.iterdir()) == []


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in tasks.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for child processes in /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_recording_leaves_nothing(toy_bundle: Path, tmp_path: Path, number: int, code: int) -> None:
    command = [sys.executable, "-m", "dreamgym.cli", "play", "--world-model", str(toy_bundle), "--record"]
    arguments = [str(tmp_path / "out" / "drive.mp4"), "--frames", "100000", "--size", "320", "180"]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/.*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (ffmpeg,) = children(process.pid)
    process.send_signal(number)
    assert process.wait(60) == code
    for _ in range(100):
        if not Path(f"/proc/{ffmpeg}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{ffmpeg}").exists()
    assert list((tmp_path / "out").iterdir()) == []
