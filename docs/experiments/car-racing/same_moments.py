"""What the dream expected in the moments before a real track was lost.

``python docs/experiments/car-racing/same_moments.py --world-model runs/all-0/world --seeds 10000 10005``

A controller drives real tracks. Where it passes no tile for 60 steps, 64 dreams begin in what V and M had of moments
before its last tile, and the same controller goes on in each. Printed: the share of dreams that pass no tile for 60
steps either, and the reward of the steps that follow, dreamed and real.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.controller.linear import LinearController
from dreamgym.dream.core import DreamCore
from dreamgym.dream.latent_encoder import LatentState
from dreamgym.world_model import WorldModel

DREAMS: Final = 64
GAP: Final = 60
"""Steps without a tile that count as lost."""
AFTER: Final = 120
"""Steps compared beyond the last tile."""
BEFORE: Final = (100, 75, 50, 40, 30, 20, 10, 0)


def real_drive(
    env: gym.Env[NDArray[np.float32], NDArray[np.float32]], controller: LinearController, seed: int
) -> tuple[list[float], list[LatentState]]:
    """The rewards of an episode, and z, h and c before each step."""
    observation, _ = env.reset(seed=seed)
    rewards, states, ended = [], [], False
    while not ended:
        states.append(env.get_wrapper_attr("latent_state"))
        observation, reward, terminated, truncated, _ = env.step(controller(observation))
        rewards.append(float(reward))
        ended = terminated or truncated
    return rewards, states


def last_tile(rewards: Sequence[float]) -> int | None:
    """The step of the last tile before a gap, None without a gap."""
    last = -1
    for step, reward in enumerate(rewards):
        if reward > 0:
            last = step
        elif step - last >= GAP:
            return last
    return None


def dreamed(
    world_model: WorldModel, controller: LinearController, state: LatentState, steps: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which dreams have a gap, and what each pays, (DREAMS,) both."""
    core = DreamCore(world_model, DREAMS)
    core.reset(seeds=torch.arange(DREAMS))
    core.reset(state=(torch.from_numpy(state.h), torch.from_numpy(state.c)), progress=0.3)
    core.z.copy_(torch.from_numpy(state.z).expand(DREAMS, -1))
    paid, gap = np.zeros(DREAMS), np.zeros(DREAMS, np.int64)
    lost, alive = np.zeros(DREAMS, np.bool_), np.ones(DREAMS, np.bool_)
    for _ in range(steps):
        actions = controller(torch.cat([core.z, core.h], dim=1).numpy())
        result = core.step(torch.from_numpy(np.asarray(actions, np.float32)))
        reward = result.reward.numpy()
        paid += np.where(alive, reward, 0.0)
        gap = np.where(reward > 0.5, 0, gap + 1)
        lost |= alive & (gap >= GAP)
        alive &= ~result.terminated.numpy()
    return lost, paid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world-model", type=Path, help="a bundle; the shipped one when not given")
    parser.add_argument("--controller", type=Path, help="its file; the bundle's when not given")
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="of real tracks")
    options = parser.parse_args()
    world_model = WorldModel.load(options.world_model, world="CarRacing")
    controller = world_model.controller if options.controller is None else LinearController.load(options.controller)
    if controller is None:
        raise SystemExit("--controller: this bundle has none, name a file")
    env = gym.make("dreamgym:LatentCarRacing-v0", world_model=world_model)
    for seed in options.seeds:
        rewards, states = real_drive(env, controller, seed)
        lost = last_tile(rewards)
        print(f"track {seed}: return {sum(rewards):.0f}, {len(rewards)} steps, last tile before a gap: {lost}")
        for before in BEFORE if lost is not None else ():
            start = (lost or 0) - before
            if start > 0:
                steps = before + AFTER
                gaps, paid = dreamed(world_model, controller, states[start], steps)
                real = sum(rewards[start : start + steps])
                print(
                    f"  {before:3d} steps before: {gaps.mean():4.0%} of the dreams lose the track; "
                    f"reward of {steps} steps: dreamed {paid.mean():.0f} ± {paid.std(ddof=1):.0f}, real {real:.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
