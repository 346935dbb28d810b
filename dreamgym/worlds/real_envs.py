"""A world's real environment for one episode after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym

from dreamgym.worlds.base import World

__all__ = ["RealEnvs"]


class RealEnvs:
    """Gives each episode a new environment, or the same one where the world allows that.

    An episode must be a function of its seed alone, which few environments promise after others were played in them.

    Args:
        world: the description.
        exact_drawing: see :attr:`World.make_env`.
        keep: whether to keep it where the world allows that; :meth:`close` is then the caller's to call.
    """

    def __init__(self, world: World, *, exact_drawing: bool = True, keep: bool = True) -> None:
        self.world = world
        self._keep = keep and world.reusable
        self._exact_drawing = exact_drawing
        self._kept: gym.Env[Any, Any] | None = None

    @contextmanager
    def episode(self, length: int) -> Iterator[gym.Env[Any, Any]]:
        """The environment for an episode of at most ``length`` steps, to be reset."""
        if not self._keep:
            env = self._make(length)
            try:
                yield env
            finally:
                env.close()
            return
        if self._kept is None:
            self._kept = self._make(None)
        try:
            yield gym.wrappers.TimeLimit(self._kept, length)
        except BaseException:
            self.close()
            raise

    def _make(self, length: int | None) -> gym.Env[Any, Any]:
        return self.world.make_env(
            max_episode_steps=length, exact_drawing=self._exact_drawing, continuous=self.world.actions.box
        )

    def close(self) -> None:
        """Close the environment that is kept, if any; the next episode makes another."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None
