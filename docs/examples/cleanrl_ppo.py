"""PPO in one file, in the manner of CleanRL's ppo_continuous_action.py, on Gymnasium 1.x names.

    python docs/examples/cleanrl_ppo.py --total-timesteps 2000000

The environments reset in the step they end in (SAME_STEP), so no step is wasted and none has to be masked out; the
value of the state that a truncated episode ended in comes from ``infos["final_obs"]``. Needs nothing but dreamgym.
"""

from __future__ import annotations

import argparse
import time

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions.normal import Normal


def layer_init(layer: nn.Linear, std: float = 2**0.5) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, std)
    nn.init.constant_(layer.bias, 0.0)
    return layer


def mlp(inputs: int, outputs: int, std: float) -> nn.Sequential:
    hidden = layer_init(nn.Linear(inputs, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh()
    return nn.Sequential(*hidden, layer_init(nn.Linear(64, outputs), std))


class Agent(nn.Module):
    """Acts in [-1, 1] in every dimension; ``executed`` maps that to the environment's own range."""

    def __init__(self, observations: int, actions: int) -> None:
        super().__init__()
        self.critic = mlp(observations, 1, std=1.0)
        self.actor_mean = mlp(observations, actions, std=0.01)
        self.actor_logstd = nn.Parameter(torch.full((actions,), -1.0))

    def get_value(self, x: Tensor) -> Tensor:
        return self.critic(x).flatten()

    def get_action_and_value(self, x: Tensor, action: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        normal = Normal(self.actor_mean(x), self.actor_logstd.exp())
        action = normal.sample() if action is None else action
        return action, normal.log_prob(action).sum(1), self.get_value(x)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", default="dreamgym:DreamCarRacing-v0")
    parser.add_argument("--world-model", default=None, help="a bundle's folder; the shipped one when not given")
    parser.add_argument("--total-timesteps", type=int, default=2_000_000)
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--num-steps", type=int, default=128)
    parser.add_argument("--num-minibatches", type=int, default=8)
    parser.add_argument("--update-epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--gamma", type=float, default=0.995)
    parser.add_argument("--gae-lambda", type=float, default=0.95)
    parser.add_argument("--clip-coef", type=float, default=0.2)
    parser.add_argument("--vf-coef", type=float, default=0.5)
    parser.add_argument("--max-grad-norm", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def make_envs(args: argparse.Namespace) -> tuple[gym.vector.VectorEnv, gym.wrappers.vector.RecordEpisodeStatistics]:
    dreams = gym.make_vec(
        args.env_id,
        num_envs=args.num_envs,
        autoreset_mode=gym.vector.AutoresetMode.SAME_STEP,
        world_model=args.world_model,
    )
    statistics = gym.wrappers.vector.RecordEpisodeStatistics(dreams)
    return gym.wrappers.vector.NormalizeReward(statistics, gamma=args.gamma), statistics


def executed(space: gym.spaces.Box, action: Tensor) -> np.ndarray:
    """From the agent's range to the environment's, for all at once: Gymnasium's RescaleAction loops over them."""
    share = (action.numpy().clip(-1.0, 1.0) + 1.0) / 2.0
    return (space.low + share * (space.high - space.low)).clip(space.low, space.high)


def collect(args: argparse.Namespace, envs: gym.vector.VectorEnv, agent: Agent, obs: Tensor) -> tuple[Tensor, dict]:
    """One rollout; rewards of truncated steps are completed with the value of the state they ended in."""
    names = ("obs", "actions", "logprobs", "rewards", "dones", "values")
    rollout: dict[str, list[Tensor]] = {name: [] for name in names}
    for _ in range(args.num_steps):
        with torch.no_grad():
            action, logprob, value = agent.get_action_and_value(obs)
        next_obs, reward, terminations, truncations, infos = envs.step(executed(envs.single_action_space, action))
        rewards = torch.as_tensor(reward, dtype=torch.float32)
        late = np.flatnonzero(truncations & ~terminations)
        if len(late):
            final = torch.as_tensor(np.stack([infos["final_obs"][row] for row in late]))
            with torch.no_grad():
                rewards[late] += args.gamma * agent.get_value(final)
        dones = torch.as_tensor(terminations | truncations, dtype=torch.float32)
        for name, item in zip(names, (obs, action, logprob, rewards, dones, value), strict=True):
            rollout[name].append(item)
        obs = torch.as_tensor(next_obs)
    return obs, {name: torch.stack(items) for name, items in rollout.items()}


def advantages_of(args: argparse.Namespace, rollout: dict[str, Tensor], next_value: Tensor) -> Tensor:
    advantages = torch.zeros_like(rollout["rewards"])
    last = torch.zeros_like(next_value)
    for step in reversed(range(args.num_steps)):
        going_on = 1.0 - rollout["dones"][step]
        delta = rollout["rewards"][step] + args.gamma * next_value * going_on - rollout["values"][step]
        last = advantages[step] = delta + args.gamma * args.gae_lambda * going_on * last
        next_value = rollout["values"][step]
    return advantages


def update(args: argparse.Namespace, agent: Agent, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]) -> None:
    size = len(batch["obs"])
    for _ in range(args.update_epochs):
        for rows in torch.randperm(size).chunk(args.num_minibatches):
            _, logprob, value = agent.get_action_and_value(batch["obs"][rows], batch["actions"][rows])
            ratio = (logprob - batch["logprobs"][rows]).exp()
            advantages = batch["advantages"][rows]
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
            clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
            policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()
            value_loss = 0.5 * ((value - batch["returns"][rows]) ** 2).mean()
            optimizer.zero_grad()
            (policy_loss + args.vf_coef * value_loss).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
            optimizer.step()


def main() -> None:
    args = parse_args()
    torch.manual_seed(args.seed)
    envs, statistics = make_envs(args)
    agent = Agent(envs.single_observation_space.shape[0], envs.single_action_space.shape[0])
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    first_obs, _ = envs.reset(seed=args.seed)
    obs, started, batch_size = torch.as_tensor(first_obs), time.monotonic(), args.num_envs * args.num_steps
    for iteration in range(1, max(1, args.total_timesteps // batch_size) + 1):
        obs, rollout = collect(args, envs, agent, obs)
        with torch.no_grad():
            rollout["advantages"] = advantages_of(args, rollout, agent.get_value(obs))
        rollout["returns"] = rollout["advantages"] + rollout["values"]
        update(args, agent, optimizer, {name: item.flatten(0, 1) for name, item in rollout.items()})
        returns = [float(value) for value in statistics.return_queue]
        mean = f"{np.mean(returns):.1f}" if returns else "-"
        speed = iteration * batch_size / (time.monotonic() - started)
        print(f"global_step={iteration * batch_size} episodic_return={mean} SPS={speed:.0f}", flush=True)
    torch.save(agent.state_dict(), "cleanrl_ppo.pt")
    envs.close()


if __name__ == "__main__":
    main()
