"""The real Doom Take Cover as a plain Gymnasium environment, in the paper's setting."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from dreamgym.errors import ActionError, ConfigError, ResetNeededError
from dreamgym.worlds.doom_take_cover.engine import Engine, Thing
from dreamgym.worlds.doom_take_cover.preprocess import RAW_SHAPE

__all__ = ["DoomTakeCoverEnv"]

THRESHOLD: Final = 1.0 / 3.0
"""The paper's: a number above it moves right, one below its negative moves left."""
_MOVES: Final = (0, 1, -1)  # what ViZDoom's discrete actions do: nothing, right, left


class DoomTakeCoverEnv(gym.Env[NDArray[np.uint8], Any], EzPickle):
    """
    ## Description
    ViZDoom's ``VizdoomTakeCover-v1`` in the setting of World Models (Ha & Schmidhuber, 2018): no frame skip, skill 4.
    Imps at the other end of a room throw fireballs; the player moves left and right along a wall. The picture is
    320 x 240 without the status bar; the paper showed it and cut it off. The game does not depend on that.

    ## Action Space
    ``Discrete(3)``: nothing, right, left. With ``continuous=True`` the paper's one number,
    ``Box(-1, 1, (1,), float32)``: above 1/3 right, below -1/3 left.

    ## Observation Space
    ``Box(0, 255, (240, 320, 3), uint8)``. The frame of a death is the last one before it; ViZDoom gives a black one.

    ## Rewards
    1 in every step, the step of death included: the return is the number of steps.

    ## Episode End
    Terminated at death. The time limit of 2,100 steps, which truncates, is a wrapper's.

    ## Arguments
    * ``render_mode=None``: or ``"rgb_array"``.
    * ``continuous=False``: see Action Space.

    The game runs in a process of its own. It ends with this process, however that ends (tested on Linux).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 35}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, *, continuous: bool = False) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f'render_mode must be None or "rgb_array", got {render_mode!r}')
        EzPickle.__init__(self, render_mode, continuous=continuous)  # a copy begins anew
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0, 255, RAW_SHAPE, np.uint8)
        self.action_space = (
            gym.spaces.Box(-1.0, 1.0, (1,), np.float32) if continuous else gym.spaces.Discrete(len(_MOVES))
        )
        self._continuous = continuous
        self._engine: Engine | None = None
        self._frame: NDArray[np.uint8] | None = None
        self._over = True
        self.elapsed = 0
        """Steps of this episode so far."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode; the same seed gives the same game.

        Raises:
            ConfigError: there are no options.
            InstallationError: without ViZDoom.
            WorkerError: the game's process died; the next reset starts another one.
        """
        if options:
            raise ConfigError(f"options: expected none, got {options}")
        super().reset(seed=seed)
        self._over = True
        if self._engine is None or self._engine.closed:
            self._engine = Engine()
        game_seed = int(self.np_random.integers(2**31))
        self._frame = self._engine.reset(game_seed)
        self.elapsed, self._over = 0, False
        return self._frame.copy(), self._info()

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Advance by one tic.

        Raises:
            ActionError: an action outside the space; nothing has changed.
            ResetNeededError: before the first reset, or after the player died.
            WorkerError: the game's process died; reset starts another one.
        """
        if self._engine is None or self._frame is None or self._over:
            raise ResetNeededError("step() needs an episode that goes on; call reset() first")
        index = self._index(action)
        screen, reward, self._over = self._engine.step(index)
        if screen is not None:
            self._frame = screen
        self.elapsed += 1
        return self._frame.copy(), reward, self._over, False, self._info()

    def _index(self, action: Any) -> int:
        if not self._continuous:
            if not self.action_space.contains(action):
                raise ActionError(f"expected an action in 0..{len(_MOVES) - 1}, got {action!r}")
            return int(action)
        try:
            given = np.asarray(action, np.float64)
        except (TypeError, ValueError):
            given = np.empty(0)
        if given.shape != (1,) or not np.abs(given[0]) <= 1.0 + 1e-6:
            raise ActionError(f"expected one number within [-1, 1], shape (1,); got {action!r}")
        return 1 if given[0] > THRESHOLD else 2 if given[0] < -THRESHOLD else 0

    def render(self) -> NDArray[np.uint8] | None:
        """The present frame, uint8 (240, 320, 3), in the mode "rgb_array"; None without a mode."""
        if self._frame is None:
            raise ResetNeededError("there is nothing to render before the first reset; call reset()")
        return None if self.render_mode is None else self._frame.copy()

    @property
    def health(self) -> float:
        """The player's health, 100 at the start and 0 at death.

        For training and references alone.
        """
        return self._running().health

    def fireballs(self) -> list[Thing]:
        """The fireballs in the air, the nearest first; for training and references alone."""
        return self._running().fireballs()

    @property
    def position(self) -> float:
        """Where the player stands along the wall.

        In map units, growing to the left; NaN after death.
        """
        return self._running().position

    def _running(self) -> Engine:
        if self._engine is None:
            raise ResetNeededError("the game has not begun; call reset() first")
        return self._engine

    def _info(self) -> dict[str, Any]:
        return {"health": self._running().health}

    def close(self) -> None:
        """End the game; may be called again."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._over = True

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
