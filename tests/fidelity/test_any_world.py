"""The report of a world that is no race: an episode's length is its score, and there is no reward head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from dreamgym.config import FidelityConfig
from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.fidelity import command, measure, probe_policies
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.world_model import StartBank, WorldModel
from dreamgym.worlds.base import ActionSet, FidelityCases, Preprocess, RewardRule, ScoreRule, World, to_card
from tests.support.episodes_by_hand import score

STEPS = 40


class Corridor(gym.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """A wall comes nearer, quicker for who moves to the right; each step pays 1."""

    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self._wall = 60.0 - 4.0 * self.np_random.random()
        return self._frame(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self._wall -= 2.0 + float(action[0])
        return self._frame(), 1.0, self._wall < 2.0, False, {}

    def _frame(self) -> NDArray[np.uint8]:
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[:, int(self._wall) :] = 255
        return frame


class Still:
    """A player that waits for the wall."""

    def reset(self, env: Any, rng: np.random.Generator) -> None:
        pass

    def act(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.zeros(1, np.float32)


def make_corridor(max_episode_steps: int = STEPS, **_: Any) -> gym.Env[Any, Any]:
    return gym.wrappers.TimeLimit(Corridor(), max_episode_steps)


CORRIDOR = World(
    name="Corridor",
    env_id="Corridor-v0",
    make_env=make_corridor,
    preprocess=Preprocess((64, 64, 3), lambda frames: frames),
    actions=ActionSet((-1.0,), (1.0,), ("move",), ("tanh",)),
    rewards=RewardRule(constant=1.0, scale=0.0, head="none"),
    fps=10,
    max_episode_steps=STEPS,
    players={"still": Still},
    probes={"left": ((1, (-1.0,)),), "right": ((1, (1.0,)),)},
    fidelity=FidelityCases(players=("still",)),
    score=ScoreRule(failed="hit the wall"),
)


@pytest.fixture
def bundle(toy_world_model: WorldModel, tmp_path: Path) -> Path:
    memory = MDNRNN(8, 1, 12, 3, 4, reward="none", event=False).eval().requires_grad_(False)
    memory.termination_head.bias.fill_(-3.0)
    states = toy_world_model.starts
    starts = StartBank(states.z, states.h, states.c, states.progress * 0, states.at_start, states.hard)
    card = {
        "world": CORRIDOR.name,
        "actions": to_card(CORRIDOR.actions),
        "rewards": to_card(CORRIDOR.rewards),
        "fps": CORRIDOR.fps,
        "max_episode_steps": STEPS,
        "preprocess_version": 1,
        "temperature": 1.0,
    }
    WorldModel(toy_world_model.vision, memory, starts, None, card).save(tmp_path / "corridor")
    return tmp_path / "corridor"


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real episodes of policies are made by hand; those of players are recorded."""

    def real(policies: Any, seeds: Sequence[int], *_: Any, **options: Any) -> dict[str, list[EpisodeScore]]:
        def lived(seed: int, steps: int) -> EpisodeScore:
            return replace(score(float(steps), seed), length=steps, failed=True)

        return {name: [lived(seed, 20 + 10 * (name == "left")) for seed in seeds] for name in policies}

    monkeypatch.setattr(command, "real_returns", real)
    monkeypatch.setattr(command, "held_out_players", lambda folder, world: {"still": world.players["still"]})


def test_a_world_of_survival_is_measured_without_progress(bundle: Path, played: None, tmp_path: Path) -> None:
    config = FidelityConfig(
        out=tmp_path / "out", world_model=bundle, episodes=2, dream_episodes=3, bad_episodes=4, bad_dream_episodes=5,
        temperatures=(), workers=1,
    )  # fmt: skip
    policies: dict[str, Callable[..., Any]] = dict(probe_policies(CORRIDOR))
    policies = {"controller": policies["left"], **policies}
    report = measure(config, WorldModel.load(bundle), CORRIDOR, policies, horizon=5)
    assert "speed" not in report
    assert report["calibration"]["progress"] is None
    assert report["calibration"]["termination"]["actual_terminations"] == 1  # the one recorded episode ends at the wall
    assert [entry["policy"] for entry in report["bad_policies"]] == ["left", "right"]
    curves = {each["policy"]: each["real"] for each in report["survival"]["policies"]}
    assert report["survival"]["steps"][-1] == STEPS
    assert curves["left"][25] == 1.0 and curves["right"][25] == 0.0
    assert "Reward is predictable" not in {finding["about"] for finding in report["verdict"]["findings"]}
    page = (config.out / "report.md").read_text(encoding="utf-8")
    assert "## Survival" in page and "## Nothing faster" not in page and "Reward:" not in page
    for name in ("survival.png", "calibration.png", "worst_frames.png"):
        assert (config.out / name).read_bytes().startswith(b"\x89PNG")
