"""A world of your own: catch falling balls with a paddle. The page docs/own_world.md explains it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.worlds.base import ActionSet, Key, ModelSizes, Preprocess, Recording, RewardRule, World


class Catch(gym.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """A ball falls; a paddle that catches it earns 1, and the episode ends when it is missed."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    paddle = ball_x = ball_y = 0.0

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.paddle = 32.0
        self._drop()
        return self.render(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self.paddle = float(np.clip(self.paddle + 3.0 * float(action[0]), 8.0, 56.0))
        self.ball_y += 2.0
        landed = self.ball_y >= 46.0
        missed = landed and abs(self.ball_x - self.paddle) > 14.0
        if landed and not missed:
            self._drop()
        return self.render(), float(landed and not missed), missed, False, {}

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[58:64, int(self.paddle) - 8 : int(self.paddle) + 8] = 255
        frame[int(self.ball_y) : int(self.ball_y) + 12, int(self.ball_x) - 6 : int(self.ball_x) + 6] = (255, 200, 80)
        return frame

    def _drop(self) -> None:
        self.ball_x, self.ball_y = float(self.np_random.uniform(8.0, 56.0)), 0.0


def make_env(
    render_mode: str | None = None,
    max_episode_steps: int | None = 500,
    exact_drawing: bool = True,
    continuous: bool | None = None,
) -> gym.Env[Any, Any]:
    """The real environment; a world with one way to draw and one kind of action ignores the last two."""
    env = Catch(render_mode)
    return env if max_episode_steps is None else gym.wrappers.TimeLimit(env, max_episode_steps)


class Follower:
    """A player that goes to the ball, and lapses with a probability of ``lapses`` for a while."""

    def __init__(self, lapses: float = 0.005) -> None:
        self.lapses = lapses

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        self.game, self.rng, self.held, self.until = env.unwrapped, rng, 0.0, 0

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.until == 0 and self.rng.random() < self.lapses:
            self.held, self.until = float(self.rng.uniform(-1.0, 1.0)), 20
        self.until = max(self.until - 1, 0)
        towards = float(np.clip((self.game.ball_x - self.game.paddle) / 3.0, -1.0, 1.0))
        return np.array([self.held if self.until else towards], np.float32)


WORLD = World(
    name="Catch",
    env_id="Catch-v0",
    make_env=make_env,
    preprocess=Preprocess((64, 64, 3), lambda frames: frames),  # the frames are 64 x 64 already
    actions=ActionSet(
        low=(-1.0,),
        high=(1.0,),
        names=("move",),
        squash=("tanh",),
        keys=(Key("left", ("left", "a"), 0, -1.0), Key("right", ("right", "d"), 0, 1.0)),
    ),
    rewards=RewardRule(constant=0.0, scale=1.0, head="value"),  # M learns the reward itself
    fps=20,
    max_episode_steps=500,
    sizes=ModelSizes(latents=16, hidden_units=128, sequence_length=64),
    players={
        "follower": Follower,
        "clumsy": lambda: Follower(lapses=0.05),
        "wanderer": lambda: Follower(lapses=1.0),  # misses soon, so that M learns what ends an episode
    },
    recordings={
        "scripted": Recording(mix={"follower": 0.2, "clumsy": 0.2, "wanderer": 0.6}, frames=60_000, lengths=(200, 500))
    },
    own_recording=Recording(mix={"controller": 0.5, "disturbed_controller": 0.5}, frames=20_000, lengths=(500,)),
    probes={"left": ((1, (-1.0,)),), "still": ((1, (0.0,)),)},
)
