"""sb3-contrib's RecurrentPPO in the dream: an LSTM of its own over z alone, or over z and h.

    python docs/examples/sb3_recurrent_ppo.py --obs-type latent

With ``obs_type="latent"`` the policy gets no hidden state of M's and has to remember by itself.
Needs: pip install ".[sb3]"
"""

from __future__ import annotations

import argparse

from sb3_contrib import RecurrentPPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from dreamgym.wrappers import SB3VecEnv

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2_000_000)
parser.add_argument("--num-envs", type=int, default=64)
parser.add_argument("--obs-type", choices=("features", "latent"), default="features")
parser.add_argument("--world-model", default=None, help="a bundle's folder; the shipped one when not given")
parser.add_argument("--episodes", type=int, default=4, help="real tracks to drive; 0 for none")
args = parser.parse_args()

arguments = {"rescale_actions": True, "obs_type": args.obs_type, "world_model": args.world_model}
n_steps = max(2, min(128, args.steps // args.num_envs))
model = RecurrentPPO(
    "MlpLstmPolicy",
    VecMonitor(SB3VecEnv("dreamgym:DreamCarRacing-v0", args.num_envs, **arguments)),
    n_steps=n_steps,
    batch_size=min(1024, n_steps * args.num_envs),
    n_epochs=4,
    policy_kwargs={"lstm_hidden_size": 64, "log_std_init": -1.0},
    seed=0,
    device="cpu",
    verbose=1,
)
model.learn(args.steps)
model.save("sb3_recurrent_ppo.zip")

if args.episodes:
    real = VecMonitor(SB3VecEnv("dreamgym:LatentCarRacing-v0", 1, exact_drawing=True, **arguments))
    mean, std = evaluate_policy(model, real, n_eval_episodes=args.episodes)
    print(f"real tracks: {mean:.1f} ± {std:.1f}")
