"""Stable-Baselines3's PPO learns to drive in the dream alone, then drives real tracks.

    python docs/examples/sb3_ppo.py --out runs/sb3-ppo          # train, then drive the 16 validation tracks
    python docs/examples/sb3_ppo.py --load runs/sb3-ppo/model.zip --test --episodes 50      # drive test tracks only

Needs: pip install "dreamgym[sb3]"
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import RescaleAction
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor, VecNormalize

from dreamgym.seeds import TEST_SEEDS, VALIDATION_SEEDS
from dreamgym.wrappers import SB3VecEnv


class SmoothDriving(VecEnvWrapper):
    """Takes ``weight`` times the mean absolute change of the action off every reward.

    A wheel that shakes from stop to stop costs nothing in the dream and a lap in reality.
    """

    def __init__(self, venv: VecEnv, weight: float) -> None:
        super().__init__(venv)
        self._weight = weight
        self._previous: NDArray[np.float32] | None = None
        self._actions = np.zeros((venv.num_envs, 3), np.float32)

    def reset(self) -> Any:
        self._previous = None
        return self.venv.reset()

    def step_async(self, actions: NDArray[np.float32]) -> None:
        self._actions = np.clip(actions, -1.0, 1.0)
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        if self._previous is not None:
            rewards = rewards - self._weight * np.abs(self._actions - self._previous).mean(axis=1)
        self._previous = np.where(dones[:, None], 0.0, self._actions)
        return observations, rewards, dones, infos


def train(args: argparse.Namespace) -> PPO:
    """PPO over a batch of dreams, one matrix product for all of them."""
    dreams = SB3VecEnv(
        "dreamgym:DreamCarRacing-v0",
        args.num_envs,
        rescale_actions=True,
        world_model=args.world_model,
        temperature=tuple(args.temperature),
    )
    venv = VecMonitor(dreams)  # inside the shaping: it reports the environment's own returns
    venv = VecNormalize(SmoothDriving(venv, args.smoothness), norm_obs=False, gamma=args.gamma)
    n_steps = max(2, min(128, args.steps // args.num_envs))
    model = PPO(
        "MlpPolicy",
        venv,
        n_steps=n_steps,
        batch_size=min(2048, n_steps * args.num_envs),
        n_epochs=4,
        learning_rate=lambda left: 3e-4 * left,
        gamma=args.gamma,
        policy_kwargs={"net_arch": [128, 128], "activation_fn": torch.nn.Tanh, "log_std_init": -1.0},
        seed=args.seed,
        device="cpu",
        verbose=1,
    )
    with torch.no_grad():  # at first half gas and no brake, as -1 is none
        model.policy.action_net.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    return model.learn(args.steps)


def drive(model: PPO, seeds: range, world_model: Path | None) -> list[float]:
    """The return on each real track, without exploration."""
    env = gym.make("dreamgym:LatentCarRacing-v0", world_model=world_model, exact_drawing=True)
    env = RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    returns = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
        print(f"track {seed}: {total:.1f}", flush=True)
    env.close()
    return returns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000_000, help="dream steps to learn from")
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--temperature", type=float, nargs=2, default=(0.8, 1.5), help="drawn for each episode")
    parser.add_argument("--gamma", type=float, default=0.995)
    parser.add_argument("--smoothness", type=float, default=0.3, help="penalty on changes of the action")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world-model", type=Path, help="a bundle's folder; the shipped one when not given")
    parser.add_argument("--out", type=Path, default=Path("runs/sb3-ppo"))
    parser.add_argument("--load", type=Path, help="drive with this model instead of training one")
    parser.add_argument("--episodes", type=int, default=16, help="real tracks to drive; 0 for none")
    parser.add_argument("--test", action="store_true", help="the test tracks, for results; else the validation tracks")
    args = parser.parse_args()
    tracks = (TEST_SEEDS if args.test else VALIDATION_SEEDS)[: args.episodes]
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if args.load is None:
        model = train(args)
        model.save(args.out / "model.zip")
        print(f"learned from {model.num_timesteps} steps in {time.monotonic() - started:.0f} s")
    else:
        model = PPO.load(args.load, device="cpu")  # unpickles: load only what you made or trust
    if tracks:
        returns = drive(model, tracks, args.world_model)
        print(f"tracks {tracks[0]}..{tracks[-1]}: {np.mean(returns):.1f} ± {np.std(returns):.1f}")
        report = {"seeds": list(tracks), "returns": returns, "mean": np.mean(returns), "std": np.std(returns)}
        (args.out / f"{'test' if args.test else 'validation'}.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
