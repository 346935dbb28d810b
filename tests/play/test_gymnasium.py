"""Gymnasium's own player on both environments, as the manual says to call it."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.utils.play import play


@pytest.mark.parametrize("name", ["DreamCarRacing-v0", "LatentCarRacing-v0"])
def test_gymnasium_s_player(toy_bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gym.make(f"dreamgym:{name}", render_mode="rgb_array", world_model=toy_bundle)
    actions: list[list[float]] = []
    script = {2: (pygame.KEYDOWN, pygame.K_LEFT), 4: (pygame.KEYDOWN, pygame.K_UP), 6: (pygame.KEYUP, pygame.K_LEFT)}

    def callback(*step: object) -> None:
        actions.append(np.asarray(step[2]).tolist())
        if len(actions) in script:
            kind, key = script[len(actions)]
            pygame.event.post(pygame.event.Event(kind, key=key))
        if len(actions) == 8:
            pygame.event.post(pygame.event.Event(pygame.QUIT))

    play(env, callback=callback, noop=np.zeros(3, np.float32), fps=1000, seed=1)
    assert actions == 2 * [[0, 0, 0]] + 2 * [[-1, 0, 0]] + 2 * [[-1, 1, 0]] + 2 * [[0, 1, 0]]
    env.close()
