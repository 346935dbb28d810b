"""A TorchRL collector over the native vector environment: batches of transitions, from the dream.

    python docs/examples/torchrl_collector.py --frames 100000

TorchRL takes a vector environment that resets in the same step, or one that leaves resets to it (DISABLED); with either
("next", "observation") is the true last observation of an episode.
Needs: pip install torchrl
"""

from __future__ import annotations

import argparse
import time

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import NormalParamExtractor, ProbabilisticActor, TanhNormal

parser = argparse.ArgumentParser()
parser.add_argument("--frames", type=int, default=100_000)
parser.add_argument("--num-envs", type=int, default=64)
parser.add_argument("--frames-per-batch", type=int, default=8192)
parser.add_argument("--autoreset", choices=("SAME_STEP", "DISABLED"), default="SAME_STEP")
parser.add_argument("--world-model", default=None, help="a bundle's folder; the shipped one when not given")
args = parser.parse_args()

torch.manual_seed(0)
dreams = gym.make_vec(
    "dreamgym:DreamCarRacing-v0",
    num_envs=args.num_envs,
    autoreset_mode=AutoresetMode[args.autoreset],
    world_model=args.world_model,
)
env = GymWrapper(dreams)
env.set_seed(0)

inputs, space = dreams.single_observation_space.shape[0], dreams.single_action_space
network = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 2 * space.shape[0]), NormalParamExtractor())
policy = ProbabilisticActor(
    TensorDictModule(network, in_keys=["observation"], out_keys=["loc", "scale"]),
    in_keys=["loc", "scale"],
    distribution_class=TanhNormal,
    distribution_kwargs={"low": torch.as_tensor(space.low), "high": torch.as_tensor(space.high)},
)

collector = Collector(env, policy, frames_per_batch=args.frames_per_batch, total_frames=args.frames)
started, frames = time.monotonic(), 0
for batch in collector:
    frames += batch.numel()
    reward, done = batch["next", "reward"].mean(), batch["next", "done"].sum()
    speed = frames / (time.monotonic() - started)
    print(f"frames={frames} shape={tuple(batch.shape)} reward={reward:.3f} episodes={done} frames/s={speed:.0f}")
collector.shutdown()
