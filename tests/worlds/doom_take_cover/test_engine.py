"""The process of the real Take Cover: its setting, and that nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dreamgym.errors import InstallationError, WorkerError
from dreamgym.worlds.doom_take_cover import engine as module
from dreamgym.worlds.doom_take_cover.engine import Engine
from dreamgym.worlds.doom_take_cover.env import DoomTakeCoverEnv
from tests.support.processes import wait_until

pytest.importorskip("vizdoom")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc and /dev/shm")

SEGMENTS = Path("/dev/shm")
PLAY = """
import os, sys, time
from dreamgym.worlds.doom_take_cover.env import DoomTakeCoverEnv
env = DoomTakeCoverEnv()
print("ready", flush=True)
env.reset(seed=1)
print("started", flush=True)
if sys.argv[1] == "exit":
    os._exit(3)
if sys.argv[1] == "forks" and os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, so that other games on this machine do not matter."""
    found = tmp_path / "a folder"
    found.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(found))
    monkeypatch.setenv("TMPDIR", str(found))
    return found


def engines(folder: Path) -> list[int]:
    """Processes that run below a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def segments_of(pids: list[int]) -> set[str]:
    """Files in shared memory that processes have mapped."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return {Path(line.split()[-1]).name for line in lines if "/dev/shm/ViZDoom" in line}


def abandoned() -> set[str]:
    """Files of games in shared memory that no process has mapped."""
    names = {path.name for path in SEGMENTS.glob("ViZDoom*")}
    mapped = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            text = maps.read_text()
        except OSError:
            continue
        mapped |= {name for name in names if name in text}
    return names - mapped


@pytest.fixture
def game(folder: Path) -> Iterator[DoomTakeCoverEnv]:
    env = DoomTakeCoverEnv()
    yield env
    env.close()


def test_close_leaves_nothing_behind(
    game: DoomTakeCoverEnv, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "user"
    place.mkdir()
    monkeypatch.chdir(place)
    game.reset(seed=1)
    running = engines(folder)
    segments = segments_of(running)
    assert len(running) == 1 and len(segments) == 3
    game.close()
    game.close()
    assert wait_until(lambda: not engines(folder))
    assert not segments & {path.name for path in SEGMENTS.iterdir()}
    assert not list(folder.iterdir()) and not list(place.iterdir())


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, "exit"])
def test_a_process_that_ends_leaves_nothing_behind(end: signal.Signals | str, folder: Path, tmp_path: Path) -> None:
    before = abandoned()
    with player(end, tmp_path) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"ready\n", b"started\n"]
        if isinstance(end, signal.Signals):
            assert engines(folder)
            process.send_signal(end)
        process.wait()
    assert wait_until(lambda: not engines(folder) and not list(folder.iterdir()) and not abandoned() - before)


def test_a_forked_child_does_not_keep_the_engine_of_a_process_that_was_killed(folder: Path, tmp_path: Path) -> None:
    with player("forks", tmp_path) as process:
        assert process.stdout is not None
        child = int([process.stdout.readline() for _ in range(3)][2])
        try:
            process.kill()
            assert wait_until(lambda: not engines(folder) and not list(folder.iterdir()))
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.2])
def test_a_process_killed_while_the_engine_starts_leaves_nothing_behind(
    delay: float, folder: Path, tmp_path: Path
) -> None:
    before = abandoned()
    with player("killed", tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.kill()
        process.wait()
    assert wait_until(lambda: not engines(folder) and not list(folder.iterdir()) and not abandoned() - before)


def test_a_process_killed_before_its_engine_has_a_name_leaves_no_queues(folder: Path, tmp_path: Path) -> None:
    """ViZDoom makes them, and then starts the launcher, which says what the game is called."""
    before = {path.name for path in SEGMENTS.glob("ViZDoomMQ*")}
    slow = f"from {module.__name__} import Engine\nimport {module.__name__} as module\n"
    slow += "module._LAUNCHER = '#!/bin/sh\\nexec sleep 30\\n'  # {{engine}}\nEngine().reset(1)"
    command = [sys.executable, "-c", slow]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as process:
        assert wait_until(lambda: {path.name for path in SEGMENTS.glob("ViZDoomMQ*")} - before)
        process.kill()
    assert wait_until(lambda: not list(folder.iterdir()))  # the watchdog has ended
    assert not abandoned() - before


def test_no_engine_starts_after_its_watchdog_has_gone(folder: Path) -> None:
    launcher = folder / "launcher"
    launcher.write_text(module._LAUNCHER.format(engine="/usr/bin/env touch"))
    command = ["/bin/sh", launcher, "ran"]
    assert subprocess.run(command, check=False).returncode == 0 and (folder / "ran").exists()
    (folder / "ran").unlink()
    (folder / "started").unlink()
    (folder / "started").mkdir()  # as the watchdog does in the end
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 1
    assert not (folder / "ran").exists()


def player(end: signal.Signals | str, place: Path) -> subprocess.Popen[bytes]:
    """A process that plays."""
    return subprocess.Popen(
        [sys.executable, "-c", PLAY, str(end)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


def test_a_forked_copy_ends_nothing(game: DoomTakeCoverEnv, folder: Path) -> None:
    game.reset(seed=1)
    assert game._engine is not None
    game._engine._owner = -1  # as it is in a process forked from this one
    game._engine.close()
    assert engines(folder)
    game._engine._owner = os.getpid()


def test_another_engine_starts_after_one_has_died(game: DoomTakeCoverEnv, folder: Path) -> None:
    first, _ = game.reset(seed=1)
    os.kill(engines(folder)[0], signal.SIGKILL)
    with pytest.raises(WorkerError, match="reset"):
        game.step(0)
    assert not list(folder.iterdir())
    again, _ = game.reset(seed=1)
    assert np.array_equal(first, again) and len(engines(folder)) == 1


@pytest.mark.parametrize("setting", [{"episode_timeout": 100}, {"render_weapn": False}])
def test_another_setting_is_refused(setting: dict[str, object], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in setting.items():
        monkeypatch.setitem(module._SETTINGS, name, value)
    with pytest.raises(InstallationError, match="another Take Cover"):
        Engine()
    assert not list(folder.iterdir())


def test_a_folder_where_no_program_may_run_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InstallationError, match="TMPDIR"):
        Engine()
    assert not list(folder.iterdir())
