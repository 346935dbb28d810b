"""RLlib's PPO over the native vector environment.

    python docs/examples/rllib_ppo.py --iterations 10
    python docs/examples/rllib_ppo.py --address 10.0.0.1:6379 --num-runners 64    # on a Ray cluster

RLlib pins a version of Gymnasium, so install it in an environment of its own: pip install . "ray[rllib]". Before
Ray 2.60 it steps single environments one by one: ``make_vec`` of its own environment has no vector entry point there.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import ray
from ray.rllib.algorithms.ppo import PPOConfig


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--num-envs", type=int, default=32, help="for each runner")
    parser.add_argument("--num-runners", type=int, default=0, help="Ray processes that collect; 0 for none")
    parser.add_argument("--train-batch-size", type=int, default=8192)
    parser.add_argument("--address", default="local", help="of a Ray cluster that this machine belongs to")
    parser.add_argument("--world-model", default=None, help="a bundle's folder, on each machine; else the shipped one")
    args = parser.parse_args()
    ray.init(address=args.address)
    native = tuple(map(int, ray.__version__.split(".")[:2])) >= (2, 60)
    config = (
        PPOConfig()
        .environment(
            "dreamgym:DreamCarRacing-v0",  # the prefix registers the id in every worker
            env_config={"world_model": args.world_model},
            normalize_actions=True,
        )
        .env_runners(
            num_env_runners=args.num_runners,
            num_envs_per_env_runner=args.num_envs,
            gym_env_vectorize_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT if native else gym.VectorizeMode.SYNC,
        )
        .training(
            train_batch_size_per_learner=args.train_batch_size,
            minibatch_size=min(1024, args.train_batch_size),
            num_epochs=4,
            gamma=0.995,
            lr=3e-4,
        )
        .learners(num_learners=0)
    )
    algorithm = config.build_algo()
    for _ in range(args.iterations):
        result = algorithm.train()
        runners = result["env_runners"]
        sampled, mean = runners["num_env_steps_sampled_lifetime"], runners.get("episode_return_mean")
        print(f"steps={sampled} episode_return_mean={mean}", flush=True)
    algorithm.stop()
    ray.shutdown()


if __name__ == "__main__":
    main()
