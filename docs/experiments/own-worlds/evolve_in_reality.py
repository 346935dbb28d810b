"""The same agent, trained in reality: a linear controller on z and h, evolved in real episodes of a number of steps.

``python evolve_in_reality.py RUN WORLD STEPS``: V and M are those of a run of ``dreamgym train all``, and so are the
first step size and the directions searched. The last generation is played to its end. Writes
``RUN/reality/controller.safetensors``, which ``dreamgym evaluate`` scores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from dreamgym.controller.cma_es import Evolution
from dreamgym.controller.linear import LinearController
from dreamgym.controller.subspace import Subspace
from dreamgym.data.seeds import COLLECTION_SEEDS
from dreamgym.evaluate.real import play_episode
from dreamgym.threads import one_thread_for_long
from dreamgym.world_model import WorldModel
from dreamgym.worlds.real_envs import RealEnvs
from dreamgym.worlds.registry import find


def main(run: Path, name: str, budget: int, population: int, rollouts: int) -> None:
    """Evolve the controller, print a line for each generation, and save the last mean."""
    config, model, world = json.loads((run / "config.json").read_text()), WorldModel.load(run / "world"), find(name)
    memory, starts, squash = model.memory, model.starts, model.actions.squash
    zeros = LinearController.zeros(memory.latent_size + memory.hidden_size, squash)
    seen = np.concatenate([starts.z.numpy(), starts.h.numpy()], axis=1)[~starts.at_start.numpy()]
    components = config["evolve.subspace"]
    subspace = Subspace.of(seen, components, len(squash)) if components else None
    evolution = Evolution(zeros, config["evolve.sigma"], population, config["seed"], subspace)
    envs, seed, used = RealEnvs(world), COLLECTION_SEEDS.start, 0
    while used < budget:
        seeds = range(seed, seed + rollouts)  # the same for all candidates of a generation
        played = [
            [play_episode(zeros.with_parameters(candidate), each, model, world, envs=envs) for each in seeds]
            for candidate in evolution.ask()
        ]
        fitness = np.array([[episode.score for episode in episodes] for episodes in played]).mean(axis=1)
        used += sum(episode.length for episodes in played for episode in episodes)
        evolution.tell(fitness)
        seed += rollouts
        print(f"{used} steps: mean {fitness.mean():.2f}, best {fitness.max():.2f}", flush=True)
    (run / "reality").mkdir(exist_ok=True)
    evolution.mean.save(run / "reality" / "controller.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("world")
    parser.add_argument("steps", type=int)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--rollouts", type=int, default=1, help="real episodes for each candidate")
    given = parser.parse_args()
    with one_thread_for_long():
        main(given.run, given.world, given.steps, given.population, given.rollouts)
