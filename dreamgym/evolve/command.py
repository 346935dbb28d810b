"""``dreamgym evolve``: a controller from the dream, chosen by its real validation episodes where there are such."""

from __future__ import annotations

from dreamgym.config import EvolveConfig
from dreamgym.controller.cma_es import evolve
from dreamgym.controller.linear import LinearController
from dreamgym.data.seeds import VALIDATION_SEEDS
from dreamgym.evaluate.real import validation_returns
from dreamgym.evolve.dream_rollouts import DreamTrials
from dreamgym.training import choose_device
from dreamgym.world_model import locate

__all__ = ["run"]


def run(config: EvolveConfig) -> None:
    """The command ``dreamgym evolve``."""
    seeds = VALIDATION_SEEDS[: config.validation_episodes]
    folder = locate(config.world_model, config.world)

    def validate(controller: LinearController) -> list[float]:
        return validation_returns(
            controller, seeds, workers=config.workers, engine=config.engine, world_model=folder, world=config.world
        )

    with DreamTrials(config, choose_device("auto")) as trials:
        evolve(config, trials, inputs=trials.inputs, subspace=trials.subspace, validate=validate)
    print(f"controller: {config.out / 'controller.safetensors'}")
