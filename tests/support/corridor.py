"""A world of another kind than CarRacing: discrete actions, no progress, wide pictures; and a world model of it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.vision.vae import VAE
from dreamgym.world_model import StartBank, WorldModel
from dreamgym.worlds.base import ActionSet, Key, Preprocess, RewardRule, ScoreRule, World, to_card

__all__ = ["CORRIDOR", "Corridor", "corridor_model"]


class Corridor(gym.Env[NDArray[np.uint8], Any]):
    """A bright column that moves to the left or the right; the episode ends at the wall."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(0, 255, (32, 64, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(3)
        self.taken: list[int] = []
        self.closed = False

    def _frame(self) -> NDArray[np.uint8]:
        frame = np.full((32, 64, 3), 40, np.uint8)
        frame[:, self.column] = 255
        return frame

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.column = int(self.np_random.integers(24, 40))
        return self._frame(), {}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        self.column = min(max(self.column + (0, -1, 1)[action], 0), 63)
        return self._frame(), 1.0, self.column in (0, 63), False, {}

    def close(self) -> None:
        self.closed = True


class Walker:
    """A player that walks to the right."""

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        pass

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ones(1, np.float32)


def make_corridor(max_episode_steps: int | None = None, continuous: bool | None = None, **_: Any) -> gym.Env[Any, Any]:
    assert not continuous
    return Corridor() if max_episode_steps is None else gym.wrappers.TimeLimit(Corridor(), max_episode_steps)


def widened(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return frames.repeat(2, axis=-3)


CORRIDOR = World(
    name="Corridor",
    env_id="Corridor-v0",
    make_env=make_corridor,
    preprocess=Preprocess((32, 64, 3), widened),
    actions=ActionSet(
        low=(-1.0,),
        high=(1.0,),
        names=("walk",),
        squash=("tanh",),
        discrete=((0.0,), (-1.0,), (1.0,)),
        discrete_names=("stand", "left", "right"),
        box=False,
        keys=(Key("walk left", ("left",), 0, -1.0, on=10.0), Key("walk right", ("right",), 0, 1.0, on=10.0)),
    ),
    rewards=RewardRule(constant=1.0, scale=0.0, head="none"),
    fps=20,
    max_episode_steps=100,
    players={"walker": Walker},
    score=ScoreRule(solved=20.0, failed="hit the wall"),
    aspect=2.0,
    picture=lambda env, frame: frame,
)


def corridor_model() -> WorldModel:
    """A world model of the corridor, which is not registered: 8 latents, 12 hidden units, one number of action."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        memory = MDNRNN(8, 1, 12, 3, 4, reward="none", event=False)
        with torch.no_grad():
            memory.termination_head.bias.fill_(-40.0)
        vision = VAE(8).eval().requires_grad_(False)
    zeros = torch.zeros(2, 12)
    started = torch.ones(2, dtype=torch.bool)
    starts = StartBank(torch.zeros(2, 8), zeros, zeros.clone(), torch.zeros(2), started, ~started)
    card = {
        "world": "Corridor",
        "actions": to_card(CORRIDOR.actions),
        "rewards": to_card(CORRIDOR.rewards),
        "fps": 20,
        "max_episode_steps": 100,
        "aspect": 2.0,
        "preprocess_version": 1,
    }
    return WorldModel(vision, memory.eval().requires_grad_(False), starts, None, card)
