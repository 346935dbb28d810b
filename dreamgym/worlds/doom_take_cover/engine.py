"""ViZDoom's engine: the process that runs the game, what it leaves behind, and a watchdog that removes it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import InstallationError, WorkerError
from dreamgym.worlds.doom_take_cover.preprocess import RAW_SHAPE

__all__ = ["Engine", "Thing"]

_SETTINGS: Final[dict[str, Any]] = {
    "screen_resolution": "RES_320X240",
    "render_hud": False,
    "render_weapon": False,
    "render_crosshair": False,
    "render_decals": False,
    "render_particles": False,
    "render_screen_flashes": True,  # the health is hidden: a red flash is all that tells of a hit
    "episode_start_time": 14,
    "doom_skill": 4,
    "objects_info_enabled": True,
}

# The engine writes into its working directory, so it starts in a folder of its own. It leaves Ctrl-C to its player.
_LAUNCHER: Final = """#!/bin/sh
cd "${{0%/*}}" || exit 1
trap "" INT
for argument; do
    [ "$last" = +viz_instance_id ] && id=$argument
    last=$argument
done
echo "$$ $id" > started || exit 1
exec {engine} "$@"
"""

# `read` returns at a line, which close() writes, or at the pipe's end, when the player's process is gone, whatever
# ended it. An engine may be starting at that moment: it has 5 seconds to say so, and none starts later, since its
# launcher then finds a folder in the place of its file, or nothing. ViZDoom makes its queues before it starts the
# launcher: of a player that was killed between the two the id is not known, but that nobody uses these queues is.
_WATCHDOG: Final = """
trap "" INT TERM HUP
if read _; then tries=5; else tries=0; fi
cd "$0" || exit 0
until read pid id < started; do
    [ "$tries" -ge 5 ] && mkdir started && break
    [ "$tries" -ge 60 ] && break
    sleep 1
    tries=$((tries + 1))
done
if [ -z "$id" ]; then
    for queue in /dev/shm/ViZDoomMQ*; do
        [ "$queue" -nt launcher ] && ! grep -qsF -- "$queue" /proc/[0-9]*/maps && rm -f "$queue"
    done
fi
rm -f launcher
if [ -n "$id" ]; then
    { cat "/proc/$pid/cmdline" || ps -p "$pid" -o args=; } | grep -aqF -- "$id" && kill -9 "$pid"
    rm -f /dev/shm/ViZDoom*"$id" /tmp/boost_interprocess/*/ViZDoom*"$id"
fi
cd /
rm -rf "$0" || { sleep 1; rm -rf "$0"; }
"""


class Thing(NamedTuple):
    """A fireball, as the game has it."""

    x: float
    """Along the player's wall, in map units, growing to the player's left."""
    distance: float
    """From the player's wall, in map units."""
    speed_x: float
    """Units a tic."""
    speed: float
    """Units a tic, towards the player."""


class Engine:
    """One game of Take Cover.

    Its process and files go with this process, however that ends (tested on Linux).

    Raises:
        InstallationError: without ViZDoom, or with one that has other settings.
    """

    def __init__(self) -> None:
        try:
            import vizdoom
            import vizdoom.gymnasium_wrapper
        except ImportError as error:
            raise InstallationError(
                f'the real Doom Take Cover needs ViZDoom ({error}); run: pip install "dreamgym[doom]"'
            ) from error
        self._failures = (
            vizdoom.ViZDoomErrorException,
            vizdoom.ViZDoomUnexpectedExitException,
            vizdoom.ViZDoomIsNotRunningException,
        )
        made: gym.Env[Any, Any] = gym.make("VizdoomTakeCover-v1", disable_env_checker=True, **_SETTINGS)
        self._env = cast(Any, made.unwrapped)
        self._game = self._env.game
        self._owner = os.getpid()
        self.closed = False
        """Also where the engine died."""
        self._folder = Path(tempfile.mkdtemp(prefix="dreamgym-doom-"))
        self._watchdog: subprocess.Popen[bytes] | None = None
        try:
            self._require_settings()
            if os.name == "posix":
                self._watch(Path(vizdoom.__file__).with_name("vizdoom"))
        except BaseException:
            self.close()
            raise

    def _watch(self, engine: Path) -> None:
        """Have the engine started by a launcher, and start the watchdog before it."""
        launcher = self._folder / "launcher"
        launcher.write_text(_LAUNCHER.format(engine=shlex.quote(str(engine))))
        launcher.chmod(0o700)
        if not os.access(launcher, os.X_OK):
            raise InstallationError(
                f"no program may run in the temporary folder {self._folder}; set TMPDIR to one where programs may run"
            )
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        _watched.add(self)
        self._game.set_vizdoom_path(str(launcher))

    def _require_settings(self) -> None:
        """ViZDoom ignores options that it does not know: have it say so, and read back what can be read."""
        game = self._game
        wanted = {"known": True, "skill": 4, "start": 14, "timeout": 0, "living_reward": 1.0, "screen": RAW_SHAPE}
        found = {
            "known": game.set_config(_SETTINGS),
            "skill": game.get_doom_skill(),
            "start": game.get_episode_start_time(),
            "timeout": game.get_episode_timeout(),
            "living_reward": game.get_living_reward(),
            "screen": (game.get_screen_height(), game.get_screen_width(), 3),
        }
        if found != wanted:
            raise InstallationError(
                f"this ViZDoom plays another Take Cover: expected {wanted}, got {found}; "
                'run: pip install "vizdoom>=1.3,<2"'
            )

    def reset(self, seed: int) -> NDArray[np.uint8]:
        """Begin an episode; the first frame.

        Raises:
            WorkerError: the engine died.
        """
        with self._alive(), self._place():
            observation, _ = self._env.reset(seed=seed)
        frame: NDArray[np.uint8] = observation["screen"]
        return frame

    def step(self, index: int) -> tuple[NDArray[np.uint8] | None, float, bool]:
        """The screen (None at death), the reward and whether the player died.

        Raises:
            WorkerError: the engine died.
        """
        with self._alive():
            observation, reward, dead, _, _ = self._env.step(index)
        return None if dead else observation["screen"], float(reward), bool(dead)

    def _state(self) -> Any:
        with self._alive():
            return self._game.get_state()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            self.close()
            raise WorkerError(f"the process of Doom died ({error}); reset() starts another one") from error

    def _place(self) -> contextlib.AbstractContextManager[None]:
        """Where Windows, which has no launcher, starts the engine."""
        chdir = os.name != "posix" and not self._game.is_running()
        return contextlib.chdir(self._folder) if chdir else contextlib.nullcontext()

    @property
    def health(self) -> float:
        """100 at the start, 0 at death.

        Raises:
            WorkerError: the engine died.
        """
        state = self._state()
        return 0.0 if state is None else float(state.game_variables[0])

    @property
    def position(self) -> float:
        """Along the player's wall, in map units, growing to the player's left; NaN after death.

        Raises:
            WorkerError: the engine died.
        """
        state = self._state()
        return float("nan") if state is None else float(_player(state).position_y)

    def fireballs(self) -> list[Thing]:
        """Those in the air, the nearest first; none after death.

        Raises:
            WorkerError: the engine died.
        """
        state = self._state()
        if state is None:
            return []
        wall = _player(state).position_x
        found = [
            Thing(
                float(ball.position_y), float(ball.position_x - wall), float(ball.velocity_y), -float(ball.velocity_x)
            )
            for ball in state.objects
            if ball.name == "DoomImpBall"
        ]
        return sorted(found, key=lambda thing: thing.distance)

    def close(self) -> None:
        """End the game and remove its files; may be called again.

        A forked copy of this process ends nothing.
        """
        if os.getpid() != self._owner:
            return
        self.closed = True
        self._env.close()
        if self._watchdog is not None:
            self._watchdog.communicate(b"\n")
            self._watchdog = None
        shutil.rmtree(self._folder, ignore_errors=True)


def _player(state: Any) -> Any:
    return next(thing for thing in state.objects if thing.name == "DoomPlayer")


_watched: weakref.WeakSet[Engine] = weakref.WeakSet()


def _let_go() -> None:
    """A forked child's copy of the pipe would have the watchdog wait for the child as well."""
    for engine in list(_watched):
        if engine._watchdog is not None and engine._watchdog.stdin is not None:
            engine._watchdog.stdin.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
