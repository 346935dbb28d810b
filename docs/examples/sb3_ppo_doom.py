"""Stable-Baselines3's PPO learns to dodge fireballs in the dream of Doom Take Cover alone.

    python docs/examples/sb3_ppo_doom.py --out runs/sb3-ppo-doom     # train; writes model.zip
    dreamgym evaluate runs/sb3-ppo-doom/model.zip --trust-pickle --world doom-take-cover     # the real score

The last policy is kept: nothing is chosen in the real game.
Needs: pip install ".[sb3]", and ".[train,doom]" to play the real game
"""

from __future__ import annotations

import os

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # torch's idle threads must not spin where the dream's threads work

import argparse
from pathlib import Path

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from dreamgym.wrappers import SB3VecEnv

DREAM = "dreamgym:DreamDoomTakeCover-v0"
DISCOUNT = 0.995  # a fireball flies for 48 steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/sb3-ppo-doom"))
    parser.add_argument("--steps", type=int, default=12_000_000, help="dream steps to learn from")
    parser.add_argument("--num-envs", type=int, default=512)
    parser.add_argument("--n-steps", type=int, default=128, help="of each environment between updates")
    parser.add_argument("--temperature", type=float, nargs=2, default=(1.0, 1.3), help="drawn for each episode")
    parser.add_argument("--layers", type=int, nargs="*", default=[64, 64], help="hidden, of the policy; none: linear")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world-model", type=Path, help="a bundle's folder; the shipped one when not given")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    dreams = SB3VecEnv(
        DREAM,
        args.num_envs,
        world_model=args.world_model,
        temperature=tuple(args.temperature),
        precision="auto",
    )
    n_steps = max(2, min(args.n_steps, args.steps // args.num_envs))
    model = PPO(
        "MlpPolicy",
        # Every step pays 1, so that discounted returns are of the order of 200: they are scaled for the value network.
        VecNormalize(VecMonitor(dreams), norm_obs=False, gamma=DISCOUNT),
        n_steps=n_steps,
        batch_size=min(8192, n_steps * args.num_envs),
        n_epochs=3,
        learning_rate=lambda left: 5e-4 * max(left, 0.02),
        gamma=DISCOUNT,
        gae_lambda=0.95,
        ent_coef=0.003,
        policy_kwargs={"net_arch": {"pi": args.layers, "vf": [64, 64]}, "activation_fn": torch.nn.Tanh},
        seed=args.seed,
        device="cpu",
        verbose=1,
    )
    model.learn(args.steps, log_interval=5)
    model.save(args.out / "model.zip", exclude=["learning_rate", "lr_schedule", "ep_info_buffer", "_last_obs"])
    print(f"the policy: {args.out / 'model.zip'}")


if __name__ == "__main__":
    main()
