"""MinAtar's SpaceInvaders (``pip install minatar``), drawn from its 10 x 10 x 6 channels."""

from typing import Any

import gymnasium as gym
import numpy as np
from minatar.gym import register_envs
from numpy.typing import NDArray

from dreamgym.worlds.base import ModelSizes, World

# Of a cell's channels the last that is set decides: cannon, alien, moving left, moving right, own bullet, enemy bullet.
COLOURS = np.array(
    [(0, 0, 0), (0, 255, 0), (255, 0, 0), (255, 0, 128), (255, 128, 0), (255, 255, 255), (0, 128, 255)], np.uint8
)


class Drawn(gym.ObservationWrapper[Any, Any, Any]):
    """Channels as a picture: MinAtar's own drawing needs seaborn and gives numbers from 0 to 1."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(gym.make("MinAtar/SpaceInvaders-v1", render_mode=render_mode, disable_env_checker=True))
        self.observation_space = gym.spaces.Box(0, 255, (10, 10, 3), np.uint8)

    def observation(self, observation: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Colours, uint8 (10, 10, 3), of the channels."""
        return COLOURS[(observation * np.arange(1, 7)).max(axis=2)]


if "MinAtar/SpaceInvaders-v1" not in gym.registry:
    register_envs()
SPACE_INVADERS = World.from_env(
    Drawn, name="SpaceInvaders", max_episode_steps=500, sizes=ModelSizes(latents=32, hidden_units=128)
)
