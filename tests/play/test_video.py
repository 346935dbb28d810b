"""Recordings: what is in them, and that a file is whole or not there."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pygame
import pytest

from dreamgym.config import PlayConfig
from dreamgym.errors import ConfigError, InstallationError, OutputFolderError, WorkerError
from dreamgym.play import run
from dreamgym.play.command import terminable
from dreamgym.play.loop import complete
from dreamgym.play.recordings import Recordings
from dreamgym.play.screen import Status, draw
from dreamgym.play.session import Session
from dreamgym.play.video import Video, fitted
from tests.support.processes import running, runs, wait_until
from tests.support.surfaces import pixels

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")


def frames_in(path: Path) -> tuple[int, float]:
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    return frames, seconds


@pytest.mark.parametrize(("suffix", "frames"), [(".mp4", 20), (".gif", 5)])
def test_recording_without_a_window_has_all_frames(toy_bundle: Path, tmp_path: Path, suffix: str, frames: int) -> None:
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
def test_key_presses_that_would_do_nothing_are_refused(toy_bundle: Path, tmp_path: Path, press: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        run(PlayConfig(world_model=toy_bundle, record=tmp_path / "drive.mp4", frames=500, press=(press,)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("press", ["5", "x:space", "²:space", "5:w", "5:"])
def test_key_presses_that_cannot_be_read_are_refused(toy_bundle: Path, tmp_path: Path, press: str) -> None:
    with pytest.raises(ConfigError, match="FRAME:KEY"):
        run(PlayConfig(world_model=toy_bundle, record=tmp_path / "drive.mp4", press=(press,)))
    assert list(tmp_path.iterdir()) == []


def test_recordings_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.mp4 or \.gif"):
        PlayConfig(record=tmp_path / "drive.avi")


def test_videos_by_key_take_windows_of_any_size(tmp_path: Path) -> None:
    recordings = Recordings(PlayConfig(out=tmp_path), 50)
    surface = pygame.Surface((320, 180))
    assert recordings.recording is None
    recordings.toggle_video(surface, ".mp4")
    for size in ((320, 180), (640, 360), (320, 180)):
        recordings.show(pygame.Surface(size))
    assert recordings.recording == pytest.approx(3 / 50)
    recordings.toggle_video(surface, ".mp4")
    recordings.toggle_video(surface, ".gif")
    for _ in range(4):
        recordings.show(surface)
    recordings.close()  # ends what is being recorded
    assert sorted(path.name for path in tmp_path.iterdir()) == ["video-001.gif", "video-001.mp4"]
    assert frames_in(tmp_path / "video-001.mp4")[0] == 3
    news = [recordings.news(), recordings.news(), recordings.news()]
    assert sum("Saved" in (line or "") for line in news) == 2


def test_window_of_another_shape_keeps_it_in_the_video() -> None:
    tall = pygame.Surface((100, 200))
    tall.fill("white")
    made = fitted(tall, (200, 100))
    assert made.get_size() == (200, 100)
    row = [made.get_at((x, 50))[0] for x in range(200)]
    assert row == 75 * [0] + 50 * [255] + 75 * [0]


def test_video_is_completed_when_the_window_closes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings = Recordings(PlayConfig(out=tmp_path), 50)
    assert not recordings.busy
    recordings.toggle_video(pygame.Surface((64, 64)), ".mp4")
    recordings.show(pygame.Surface((64, 64)))
    assert recordings.busy
    complete(recordings)
    assert not recordings.busy
    assert capsys.readouterr().out == f"completing what was recorded ...\nSaved {tmp_path / 'video-001.mp4'}\n"
    assert frames_in(tmp_path / "video-001.mp4")[0] == 1


def test_missing_ffmpeg_is_reported_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_found() -> str:
        raise RuntimeError("no ffmpeg for this machine")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none_found)
    with pytest.raises(InstallationError, match=r"no ffmpeg for this machine.*dreamgym\[train\]"):
        Video(tmp_path / "kept" / "a.mp4", (64, 64), 50)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert "dreamgym[train]" in Recordings(PlayConfig(out=tmp_path / "kept"), 50).toggle_video(
        pygame.Surface((64, 64)), ".gif"
    )
    assert not (tmp_path / "kept").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
def test_closed_terminal_ends_it_unless_nohup_was_asked_for() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        with pytest.raises(SystemExit), terminable():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with terminable():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_signal_whose_exception_was_dropped_is_obeyed_at_the_next_step(
    number: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dropping:
        def __del__(self) -> None:
            signal.raise_signal(number)

    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    before = signal.getsignal(number)
    with terminable() as obey_signals:
        obey_signals()
        Dropping()
        assert len(dropped) == 1
        with pytest.raises(error):
            obey_signals()
    assert signal.getsignal(number) == before
    dropped.clear()


def test_video_is_whole_or_not_there(tmp_path: Path) -> None:
    video = Video(tmp_path / "a.mp4", (64, 64), 50)
    video.add(pygame.Surface((64, 64)))
    assert not (tmp_path / "a.mp4").exists()
    video.discard()
    assert list(tmp_path.iterdir()) == []
    video = Video(tmp_path / "c.gif", (64, 64), 50)
    with pytest.raises(WorkerError, match=r"c\.gif"):
        video.finish()  # without a single frame
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_ffmpeg_opens_meanwhile_is_removed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove, tries = shutil.rmtree, []

    def late(folder: Path, **options: bool) -> None:
        tries.append(folder)
        if len(tries) > 2:  # before, there is another file whenever the folder itself should go
            remove(folder, **options)

    video = Video(tmp_path / "a.mp4", (64, 64), 50)
    monkeypatch.setattr(shutil, "rmtree", late)
    video.discard()
    assert len(tries) == 3 and list(tmp_path.iterdir()) == []


def add(video: Video, surface: pygame.Surface, times: int) -> None:
    for _ in range(times):
        video.add(surface)


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in tasks.read_text().split()]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for child processes in /proc")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio's pipe to the dead ffmpeg
def test_death_of_ffmpeg_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    before = set(children(os.getpid()))
    video = Video(tmp_path / "b.mp4", (640, 360), 50)
    (ffmpeg,) = set(children(os.getpid())) - before
    os.kill(ffmpeg, signal.SIGKILL)
    surface = pygame.Surface((640, 360))

    with pytest.raises(WorkerError, match=r"b\.mp4"):
        add(video, surface, 10)  # the pipe takes some
    assert list(tmp_path.iterdir()) == []
    del video
    gc.collect()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_gif_of_a_frame_is_one(tmp_path: Path, frames: int) -> None:
    video = Video(tmp_path / "a.gif", (64, 36), 50)
    for _ in range(frames):
        add(video, pygame.Surface((64, 36)), 1)
    assert frames_in(video.finish())[0] == 1


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.gif").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputFolderError, match=r"got the folder .*a\.gif"):
        Video(tmp_path / "a.gif", (64, 36), 50)
    with pytest.raises(OutputFolderError, match="below a file"):
        Video(tmp_path / "file" / "a.gif", (64, 36), 50)


def test_a_place_that_cannot_be_written_to_is_said_before_ffmpeg_does(capfd: pytest.CaptureFixture[str]) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("looks for a place that takes no files in /proc")
    with pytest.raises(OSError, match=r"/proc/a\.mp4"):
        Video(Path("/proc/a.mp4"), (64, 36), 50)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for child processes in /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_recording_leaves_nothing(toy_bundle: Path, tmp_path: Path, number: int, code: int) -> None:
    command = [sys.executable, "-m", "dreamgym.cli", "play", "--world-model", str(toy_bundle), "--record"]
    arguments = [str(tmp_path / "out" / "drive.mp4"), "--frames", "100000", "--size", "320", "180"]
    with running([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert wait_until(lambda: bool(children(process.pid) and list(tmp_path.glob("out/.*"))))
        (ffmpeg,) = children(process.pid)
        process.send_signal(number)
        assert process.wait(300) == code
        assert wait_until(lambda: not runs(ffmpeg))
    assert list((tmp_path / "out").iterdir()) == []


def test_recording_without_a_window_shows_what_is_played(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, bool]] = []

    def noting(surface: pygame.Surface, session: Session, status: Status) -> None:
        draw(surface, session, status)
        assert surface.get_size() == (320, 180) and pixels(surface).std() > 20
        seen.append((session.player.name, session.real.steps, session.asleep))

    monkeypatch.setattr("dreamgym.play.recordings.draw", noting)
    press, size = ("5:space", "12:space"), (320, 180)
    run(PlayConfig(world_model=toy_bundle, record=tmp_path / "a.mp4", frames=20, press=press, size=size, seed=3))
    steps = [*range(1, 6), *7 * [5], *range(6, 14)]  # reality waits while the dream goes on from it
    assert seen == [("controller", count, 5 <= frame < 12) for frame, count in enumerate(steps)]


def test_a_gif_ends_before_it_fills_the_memory_and_an_mp4_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgym.play.video._LONGEST_GIF", 0.2)
    surface = pygame.Surface((64, 36))
    for suffix, ends in ((".gif", True), (".mp4", False)):
        recordings = Recordings(PlayConfig(out=tmp_path), 50)
        recordings.toggle_video(surface, suffix)
        for _ in range(10):
            assert recordings.recording is not None
            recordings.show(surface)
        assert (recordings.recording is None) == ends
        recordings.close()
        assert ("long enough" in str(recordings.news())) == ends


def test_a_gif_goes_on_for_ever_and_is_not_too_wide(tmp_path: Path) -> None:
    video = Video(tmp_path / "a.gif", (1280, 720), 50)
    add(video, pygame.Surface((1280, 720)), 8)
    content = video.finish().read_bytes()
    assert (int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")) == (960, 540)
    assert b"NETSCAPE2.0\x03\x01\x00\x00\x00" in content  # repeated 0 times is for ever


def test_what_becomes_of_a_video_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(video: Video, *_: object) -> None:
        video.discard()
        raise WorkerError("ffmpeg failed")

    surface = pygame.Surface((64, 36))
    (tmp_path / "file").touch()
    beneath = Recordings(PlayConfig(out=tmp_path / "file"), 50)
    assert "Could not begin a video" in beneath.toggle_video(surface, ".mp4")
    assert "Could not save the image" in beneath.image(surface)
    assert beneath.recording is None
    for method in ("add", "finish"):
        recordings = Recordings(PlayConfig(out=tmp_path), 50)
        with monkeypatch.context() as patch:
            patch.setattr(Video, method, fail)
            recordings.toggle_video(surface, ".mp4")
            for _ in range(2):
                recordings.show(surface)
            assert (recordings.recording is None) == (method == "add")
            recordings.close()
        assert [recordings.news(), recordings.news()] == ["ffmpeg failed", None]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
