"""Evolving C with CMA-ES."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cma
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym.config import EvolveConfig
from dreamgym.controller.fitness import RolloutScores, Trials
from dreamgym.controller.linear import LinearController
from dreamgym.controller.subspace import Subspace
from dreamgym.errors import FitnessError
from dreamgym.files import append_line, claim_folder, file_sha256, read_log, write_json

__all__ = ["Evolution", "evolve"]


class Evolution:
    """CMA-ES over a controller's parameters, replayable from the fitnesses it was told.

    pycma seeds NumPy's global generator and saves its state by pickle only. Here it draws from a generator of its own,
    and is resumed by telling it again every stored generation's fitness: the same draws give the same state.
    """

    def __init__(
        self, initial: LinearController, sigma: float, population: int, seed: int, subspace: Subspace | None = None
    ) -> None:
        rng = np.random.default_rng([seed, 7])
        options = {
            "popsize": population,
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,  # leave NumPy's global generator alone
            # Of CarRacing's 867 parameters, learning a full covariance takes far more generations than there are.
            "CMA_diagonal": subspace is None,
            "verbose": -9,
            "maxiter": np.inf,
            "tolfun": 0,
            "tolfunhist": 0,
            "tolstagnation": np.inf,
            "tolflatfitness": np.inf,
        }
        flat = initial.parameters
        point = flat.astype(np.float64) if subspace is None else subspace.reduce(flat)
        self._strategy = cma.CMAEvolutionStrategy(point, sigma, options)
        self._initial = initial
        self._subspace = subspace
        self._points: list[NDArray[np.float64]] = []

    def _parameters(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points if self._subspace is None else self._subspace.expand(points)

    @property
    def mean(self) -> LinearController:
        """The distribution's mean: the controller to keep, since the best of a generation is luck."""
        return self._initial.with_parameters(self._parameters(self._strategy.mean))

    @property
    def sigma(self) -> float:
        """The present step size."""
        return float(self._strategy.sigma)

    def ask(self) -> NDArray[np.float64]:
        """The next candidates, (population, parameters)."""
        self._points = self._strategy.ask()
        return self._parameters(np.stack(self._points))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        """Give the fitness of the candidates last asked for, (population,), the higher the better.

        A candidate whose fitness is NaN or infinite ranks last.

        Raises:
            FitnessError: no candidate has a finite fitness.
        """
        finite = np.isfinite(fitness)
        if not finite.any():
            raise FitnessError(
                "every candidate's fitness is NaN or infinite; the environment or the weights are broken"
            )
        ranked = np.where(finite, fitness, fitness[finite].min() - 1.0)
        self._strategy.tell(self._points, list(-ranked))


def evolve(
    config: EvolveConfig,
    trials: Trials,
    *,
    inputs: Mapping[str, str | None] | None = None,
    subspace: Subspace | None = None,
    validate: Callable[[LinearController], Sequence[float]] | None = None,
    deadline: float | None = None,
    on_generation: Callable[[int, LinearController, RolloutScores], None] | None = None,
) -> LinearController:
    """Evolve a controller, or go on from the output folder's log.

    Args:
        config: the settings.
        trials: tries candidates, all of a generation on the same seeds (common random numbers).
        inputs: SHA-256 by name of the files that the trials depend on, such as the world model's.
        subspace: to search in; all parameters when None.
        validate: plays real episodes with the distribution's mean, every ``config.validate_every`` generations; its
            returns.
        deadline: ``time.monotonic()`` after which no generation is begun.
        on_generation: called with the generation's number, the mean and its candidates' scores.

    Returns:
        The mean with the best validation score; the last mean where nothing was validated.

    Raises:
        ConfigError: the controller to go on from is of another form.
        FitnessError: no candidate of a generation has a finite fitness.
        OutputFolderError: the output folder holds something else.
    """
    read = {**(inputs or {}), "initial_sha256": file_sha256(config.initial)}
    with claim_folder(config.out, config, may_differ=("workers", "engine", "generations"), inputs=read):
        return _evolve(config, trials, subspace, validate, deadline, on_generation)


def _evolve(
    config: EvolveConfig,
    trials: Trials,
    subspace: Subspace | None,
    validate: Callable[[LinearController], Sequence[float]] | None,
    deadline: float | None,
    on_generation: Callable[[int, LinearController, RolloutScores], None] | None,
) -> LinearController:
    initial = trials.zeros if config.initial is None else LinearController.load(config.initial)
    initial.require_form_of(trials.zeros, config.initial)
    evolution = Evolution(initial, config.sigma, config.population, config.seed, subspace)
    log = _GenerationLog(config.out / "generations.jsonl", config.population)
    best, best_score = evolution.mean, -np.inf
    generations = max(config.generations, len(log))  # a finished result is not replaced by that of fewer
    total = generations if deadline is None else None  # with a deadline, how many there will be is not known
    for generation in tqdm(iter(range(generations)), total=total, desc="evolve", unit="gen", mininterval=2):
        if deadline is not None and time.monotonic() > deadline and generation >= len(log):
            break
        candidates = evolution.ask()
        entry = log.replay(generation)
        if entry is None:
            started = time.monotonic()
            scores = trials(candidates, generation)
            fitness = scores.fitness(config)
            entry = {"generation": generation, "fitness": fitness.tolist(), "sigma": evolution.sigma}
            whole = scores.returns[:, : config.rollouts]
            entry |= {"return_mean": float(whole.mean()), "seconds": time.monotonic() - started}
            evolution.tell(fitness)
            last = generation + 1 == generations
            if (
                validate is not None
                and config.validate_every
                and ((generation + 1) % config.validate_every == 0 or last)
            ):
                entry["validation"] = list(validate(evolution.mean))
            evolution.mean.save(config.out / "mean.safetensors")
            log.append(entry)  # last: a resumed run begins after it
            if on_generation is not None:
                on_generation(generation, evolution.mean, scores)
        else:
            evolution.tell(np.array(entry["fitness"]))
        if "validation" in entry and np.mean(entry["validation"]) > best_score:
            best, best_score = evolution.mean, float(np.mean(entry["validation"]))
            best.save(config.out / "controller.safetensors")
    if best_score == -np.inf:
        best = evolution.mean
        best.save(config.out / "controller.safetensors")
    validation_runs = [entry for entry in log.entries if "validation" in entry]
    write_json(
        config.out / "summary.json",
        {
            "generations": len(log),
            "validation_runs": len(validation_runs),
            "best_validation": None if not validation_runs else best_score,
        },
    )
    return best


def _checked(entry: dict[str, Any], generation: int, population: int) -> dict[str, Any]:
    """An entry of the log, if it is that of a generation and can be told again."""
    if entry["generation"] != generation:
        raise ValueError(f"generation {entry['generation']} where {generation} should be")
    validation = entry.get("validation", [0.0])
    if len(entry["fitness"]) != population or not validation:
        raise ValueError(f"generation {generation} has {len(entry['fitness'])} candidates, not {population}")
    if not all(isinstance(value, float | int) for value in [*entry["fitness"], *validation]):
        raise TypeError(f"generation {generation} has a fitness or validation that is no number")
    return entry


class _GenerationLog:
    """Every generation's fitness, a line each; what evolution is resumed from."""

    def __init__(self, path: Path, population: int) -> None:
        self._path = path
        self.entries = read_log(
            path, lambda entry, number: _checked(entry, number, population), "choose another folder to evolve anew"
        )

    def __len__(self) -> int:
        return len(self.entries)

    def replay(self, generation: int) -> dict[str, Any] | None:
        return self.entries[generation] if generation < len(self.entries) else None

    def append(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        append_line(self._path, json.dumps(entry))
