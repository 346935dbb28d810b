"""Stable-Baselines3's SAC in the dream, then a few real tracks.

    python docs/examples/sb3_sac.py --steps 2000000

SAC maps its own [-1, 1] to the action space, so the environment's actions stay as they are.
Needs: pip install ".[sb3]"
"""

from __future__ import annotations

import argparse

import gymnasium as gym
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor

from dreamgym.wrappers import SB3VecEnv

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1_000_000)
parser.add_argument("--num-envs", type=int, default=64)
parser.add_argument("--buffer", type=int, default=300_000, help="transitions kept, 2.3 KB each")
parser.add_argument("--world-model", default=None, help="a bundle's folder; the shipped one when not given")
parser.add_argument("--episodes", type=int, default=4, help="real tracks to drive; 0 for none")
args = parser.parse_args()

dreams = SB3VecEnv("dreamgym:DreamCarRacing-v0", args.num_envs, world_model=args.world_model)
model = SAC(
    "MlpPolicy",
    VecMonitor(dreams),
    buffer_size=args.buffer,
    learning_starts=min(10_000, args.steps // 2),
    gradient_steps=8,  # after every step of all environments
    seed=0,
    device="cpu",
    verbose=1,
)
model.learn(args.steps)
model.save("sb3_sac.zip")

if args.episodes:
    real = Monitor(gym.make("dreamgym:LatentCarRacing-v0", world_model=args.world_model, exact_drawing=True))
    mean, std = evaluate_policy(model, real, n_eval_episodes=args.episodes)
    print(f"real tracks: {mean:.1f} ± {std:.1f}")
