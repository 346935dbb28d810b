"""EvoTorch's GymNE evolves a linear policy in the dream, one environment a solution.

    python docs/examples/evotorch_gymne.py --generations 50 --num-actors 2

Needs: pip install evotorch
"""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
from evotorch.algorithms import PGPE
from evotorch.logging import StdOutLogger
from evotorch.neuroevolution import GymNE
from gymnasium.wrappers import RescaleAction


def make_dream(**kwargs: Any) -> gym.Env:
    """Actions in [-1, 1], mapped to the environment's."""
    return RescaleAction(gym.make("dreamgym:DreamCarRacing-v0", **kwargs), np.float32(-1.0), np.float32(1.0))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--generations", type=int, default=50)
    parser.add_argument("--population", type=int, default=32)
    parser.add_argument("--episode-length", type=int, default=1000)
    parser.add_argument("--num-actors", type=int, default=0, help="Ray processes; 0 for none")
    parser.add_argument("--world-model", default=None, help="a bundle's folder; the shipped one when not given")
    args = parser.parse_args()
    problem = GymNE(
        make_dream,
        "Linear(obs_length, act_length) >> Tanh()",
        env_config={"world_model": args.world_model},
        episode_length=args.episode_length,
        num_actors=args.num_actors,
    )
    searcher = PGPE(
        problem,
        popsize=args.population,
        center_learning_rate=0.05,
        stdev_learning_rate=0.1,
        stdev_init=0.1,
        ranking_method="centered",
    )
    StdOutLogger(searcher)
    searcher.run(args.generations)


if __name__ == "__main__":
    main()
