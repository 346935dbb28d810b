"""Stable-Baselines3's PPO from pictures: ``obs_type="rgb"``, what V decodes, in the dream as in reality.

    python docs/examples/sb3_cnn_ppo.py --steps 2000000

Needs: pip install ".[sb3]"
"""

from __future__ import annotations

import argparse

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecMonitor

from dreamgym.wrappers import SB3VecEnv

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1_000_000)
parser.add_argument("--num-envs", type=int, default=16)
parser.add_argument("--world-model", default=None, help="a bundle's folder; the shipped one when not given")
parser.add_argument("--episodes", type=int, default=4, help="real tracks to drive; 0 for none")
args = parser.parse_args()


def pictures(env_id: str, num_envs: int, **kwargs: object) -> VecEnv:
    """Four frames on top of each other show the car's speed."""
    venv = SB3VecEnv(env_id, num_envs, rescale_actions=True, obs_type="rgb", world_model=args.world_model, **kwargs)
    return VecFrameStack(VecMonitor(venv), n_stack=4)


n_steps = max(2, min(128, args.steps // args.num_envs))
model = PPO(
    "CnnPolicy",
    pictures("dreamgym:DreamCarRacing-v0", args.num_envs),
    n_steps=n_steps,
    batch_size=min(256, n_steps * args.num_envs),
    n_epochs=4,
    policy_kwargs={"log_std_init": -1.0},
    seed=0,
    device="cpu",
    verbose=1,
)
model.learn(args.steps)
model.save("sb3_cnn_ppo.zip")

if args.episodes:
    real = pictures("dreamgym:LatentCarRacing-v0", 1, exact_drawing=True)
    mean, std = evaluate_policy(model, real, n_eval_episodes=args.episodes)
    print(f"real tracks: {mean:.1f} ± {std:.1f}")
