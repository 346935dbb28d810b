"""A world of one's own that is as unlike CarRacing as it can be: small frames, three discrete actions, a reward that M
learns, no mirror, no laps, no labels.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.worlds.base import ActionSet, ModelSizes, Preprocess, Recording, RewardRule, ScoreRule, World

MOVES = (-1, 0, 1)


class Corridor(gym.Env[NDArray[np.uint8], int]):
    """A column of light walks along nine places; the further right, the more it pays. Off the left end it fails."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gym.spaces.Box(0, 255, (8, 9, 3), np.uint8)
    action_space = gym.spaces.Discrete(len(MOVES))

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(2, 7))
        return self.render(), {}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.place = min(self.place + MOVES[action], 8)
        return self.render(), self.place / 8, self.place < 0, False, {}

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        frame = np.zeros((8, 9, 3), np.uint8)
        frame[:, max(self.place, 0)] = (255, 200, 100)
        return frame


class Wanderer:
    """Moves at random, left as often as right."""

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        self.rng = rng

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert frame.shape == (64, 64, 3)
        return np.array([self.rng.choice(MOVES)], np.float32)


def make_env(
    render_mode: str | None = None,
    max_episode_steps: int | None = 20,
    exact_drawing: bool = True,
    continuous: bool | None = None,
) -> gym.Env[Any, Any]:
    env = Corridor(render_mode)
    return env if max_episode_steps is None else gym.wrappers.TimeLimit(env, max_episode_steps)


TOY = World(
    name="Corridor",
    env_id="Corridor",
    make_env=make_env,
    preprocess=Preprocess((8, 9, 3), lambda frames: np.repeat(np.repeat(frames, 8, -3), 8, -2)[..., :64, :]),
    actions=ActionSet(
        (-1.0,), (1.0,), ("move",), ("tanh",), ((-1.0,), (0.0,), (1.0,)), rule="thresholds", threshold=0.3, box=False
    ),
    rewards=RewardRule(head="value"),
    fps=10,
    max_episode_steps=20,
    sizes=ModelSizes(latents=3, hidden_units=6, mixtures=2, factors=0, sequence_length=8),
    players={"wanderer": Wanderer},
    recordings={"wandering": Recording(mix={"wanderer": 1.0}, frames=700, lengths=(50,))},
    own_recording=Recording(mix={"controller": 0.5, "disturbed_controller": 0.5}, frames=100, lengths=(50,)),
    probes={"left": ((1, (-1.0,)),)},
    score=ScoreRule(solved=15.0),
    recipe={
        "vision": {"steps": 4, "batch_size": 8, "checkpoint_every": 4},
        "memory": {"steps": 4, "batch_size": 8, "remember_every": 0, "checkpoint_every": 4},
        "memory_round_steps": 2,
        "evolve": {
            "generations": 2,
            "population": 4,
            "rollouts": 2,
            "subspace": 2,
            "validate_every": 2,
            "validation_episodes": 2,
        },
    },
)
