"""Tianshou's PPO in the dream, through its high-level interface and its own vectorisation.

    python docs/examples/tianshou_ppo.py --steps 200000

Tianshou maps its actions to the environment's range. Its vector environments hold single ones, so this is slower than
the native batch. Needs: pip install tianshou joblib scipy rliable
"""

from __future__ import annotations

import argparse

import torch
from tianshou.highlevel.config import OnPolicyTrainingConfig
from tianshou.highlevel.env import EnvFactoryRegistered, VectorEnvType
from tianshou.highlevel.experiment import ExperimentConfig, PPOExperimentBuilder
from tianshou.highlevel.params.algorithm_params import PPOParams


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--num-envs", type=int, default=8)
    parser.add_argument("--world-model", default=None, help="a bundle's folder; the shipped one when not given")
    args = parser.parse_args()
    collected = min(2048, args.steps)
    dreams = EnvFactoryRegistered(
        task="dreamgym:DreamCarRacing-v0", venv_type=VectorEnvType.DUMMY, world_model=args.world_model
    )
    experiment = (
        PPOExperimentBuilder(
            dreams,
            ExperimentConfig(device="cpu", watch=False, persistence_enabled=False, log_file_enabled=False),
            OnPolicyTrainingConfig(
                max_epochs=max(1, args.steps // (8 * collected)),
                epoch_num_steps=min(8 * collected, args.steps),
                num_training_envs=args.num_envs,
                num_test_envs=1,
                test_step_num_episodes=1,
                collection_step_num_env_steps=collected,
                buffer_size=collected,
                batch_size=min(256, collected),
                update_step_num_repetitions=4,
            ),
        )
        .with_ppo_params(PPOParams(gamma=0.995, lr=3e-4))
        .with_actor_factory_default((64, 64), torch.nn.Tanh, continuous_unbounded=True)
        .with_critic_factory_default((64, 64), torch.nn.Tanh)
        .build()
    )
    experiment.run()


if __name__ == "__main__":
    main()
