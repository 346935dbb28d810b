"""Stable-Baselines3's PPO in a run's dream, or in reality seen through the same V and M.

``python ppo.py RUN WORLD --steps 1000000`` and ``python ppo.py RUN WORLD --real --steps 8000``: the settings are the
same, but for the numbers of environments, of steps and of a batch. Writes ``RUN/ppo-dream.zip`` or
``RUN/ppo-real.zip``, for ``dreamgym evaluate --trust-pickle``. One thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor, VecNormalize

from dreamgym.wrappers import SB3VecEnv


def environments(run: Path, world: str, real: bool) -> VecEnv:
    """64 dreams, or one real environment."""
    model = run / "world"
    if not real:
        return SB3VecEnv("dreamgym:Dream-v0", 64, world_model=model, fast=True)
    return DummyVecEnv([lambda: gym.make("dreamgym:Latent-v0", world_model=model, world=world)])


def main(run: Path, world: str, real: bool, steps: int, gamma: float) -> None:
    """Train, and save the last policy."""
    envs = VecNormalize(VecMonitor(environments(run, world, real)), norm_obs=False, gamma=gamma)
    n_steps = 1024 if real else 128
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=n_steps,
        batch_size=64 if real else 512,
        n_epochs=10,
        learning_rate=3e-4,
        gamma=gamma,
        gae_lambda=0.95,
        seed=0,
        device="cpu",
        verbose=1,
    )
    model.learn(steps, log_interval=10)
    model.save(run / f"ppo-{'real' if real else 'dream'}.zip")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("world")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--gamma", type=float, default=0.9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    main(given.run, given.world, given.real, given.steps, given.gamma)
