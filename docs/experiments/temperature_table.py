"""The paper's temperature table for a bundle: a controller evolved at each temperature, scored in dream and reality.

``python docs/experiments/temperature_table.py --world doom-take-cover --out runs/temperature``

Every cell (a temperature and a seed) is a folder with its evolution and its ``scores.json``. What is there already is
not made again, so the same command goes on where it was cut off. In the end ``table.md`` and ``table.png`` are written.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from dreamgym.config import EvolveConfig, PipelineConfig
from dreamgym.controller.cma_es import evolve
from dreamgym.controller.linear import LinearController
from dreamgym.data.seeds import FIDELITY_SEEDS
from dreamgym.evaluate import evaluate_dream, evaluate_real
from dreamgym.evolve.dream_rollouts import DreamTrials
from dreamgym.files import atomic_write, write_json, write_text
from dreamgym.reporting import markdown_table
from dreamgym.world_model import locate
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import find

TEMPERATURES: Final = (0.1, 0.5, 1.0, 1.15, 1.3, 1.5)
PAPER: Final = {
    "DoomTakeCover": {
        0.1: (2086, 193),
        0.5: (2060, 196),
        1.0: (1145, 868),
        1.15: (918, 1092),
        1.3: (732, 753),
    }
}
"""Dream and real score of World Models (2018), table 2."""


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="doom-take-cover")
    parser.add_argument("--world-model", type=Path, help="a bundle; the shipped one of the world when not given")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--temperatures", type=float, nargs="+", default=TEMPERATURES)
    parser.add_argument("--seeds", type=int, default=3, help="evolutions at each temperature")
    parser.add_argument("--episodes", type=int, default=100, help="of each controller, real and dreamed; 100 at most")
    parser.add_argument("--generations", type=int, help="as the world recommends when not given")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def cell(options: argparse.Namespace, world: World, temperature: float, seed: int) -> dict[str, Any]:
    """Evolve and score one controller, unless that was done."""
    folder = options.out / f"tau-{temperature:g}" / f"seed-{seed}"
    found = folder / "scores.json"
    if found.exists():
        scores: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        return scores
    controller = _evolved(options, world, temperature, seed, folder / "evolve")
    dreams = evaluate_dream(
        controller, range(options.episodes), world_model=options.world_model, temperature=temperature
    )
    real = evaluate_real(
        controller,
        FIDELITY_SEEDS[: options.episodes],
        workers=options.workers,
        world_model=options.world_model,
        world=world,
    )
    scores = {"temperature": temperature, "seed": seed}
    scores |= {"dream": [each.score for each in dreams], "real": [each.score for each in real]}
    write_json(found, scores)
    return scores


def _evolved(options: argparse.Namespace, world: World, temperature: float, seed: int, out: Path) -> LinearController:
    settings = PipelineConfig.of(options.world, out=out).evolve
    chosen = {each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)}
    # Nothing is chosen by real episodes: the last mean is scored.
    chosen |= {"temperature": (temperature, temperature), "validate_every": 0}
    if options.generations:
        chosen["generations"] = options.generations
    config = EvolveConfig(
        **chosen,
        out=out,
        world_model=options.world_model,
        world=options.world,
        seed=seed,
        workers=options.workers,
    )
    with DreamTrials(config) as trials:
        return evolve(config, trials, subspace=trials.subspace, inputs=trials.inputs)


def table(world: World, cells: Sequence[dict[str, Any]]) -> str:
    """A Markdown table, a row a temperature: mean and standard deviation over all episodes of all seeds."""
    rows = []
    for temperature in sorted({each["temperature"] for each in cells}):
        row = [f"{temperature:g}"]
        for where in ("dream", "real"):
            scores = np.concatenate([each[where] for each in cells if each["temperature"] == temperature])
            row.append(f"{scores.mean():.0f} ± {scores.std(ddof=1):.0f}")
        paper = PAPER.get(world.name, {}).get(temperature)
        rows.append([*row, *(paper or ("", ""))])
    return markdown_table(("temperature", "dream", "reality", "paper: dream", "paper: reality"), rows) + "\n"


def plot(path: Path, world: World, cells: Sequence[dict[str, Any]]) -> None:
    """Means against temperature; a small mark for each seed, and the paper's dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    temperatures = sorted({each["temperature"] for each in cells})
    for where, colour in (("dream", "tab:blue"), ("real", "tab:orange")):
        means = [[np.mean(each[where]) for each in cells if each["temperature"] == tau] for tau in temperatures]
        axes.plot(temperatures, [np.mean(each) for each in means], "o-", color=colour, label=where)
        for tau, each in zip(temperatures, means, strict=True):
            axes.plot([tau] * len(each), each, ".", color=colour, alpha=0.4)
        paper = PAPER.get(world.name, {})
        if paper:
            column = [scores[where == "real"] for scores in paper.values()]
            axes.plot(list(paper), column, "x--", color=colour, alpha=0.5, label=f"{where}, World Models (2018)")
    axes.set_xlabel("temperature of the dream that the controller evolved in")
    axes.set_ylabel("mean score")
    axes.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def main() -> None:
    """Make every cell, then table and plot."""
    options = arguments()
    if options.episodes > len(FIDELITY_SEEDS):
        raise SystemExit(f"--episodes: expected {len(FIDELITY_SEEDS)} at most, got {options.episodes}")
    options.world_model = locate(options.world_model, options.world)
    world = find(options.world)
    cells = [
        cell(options, world, temperature, seed) for seed in range(options.seeds) for temperature in options.temperatures
    ]
    text = table(world, cells)
    write_text(options.out / "table.md", text)
    plot(options.out / "table.png", world, cells)
    print(text)


if __name__ == "__main__":
    main()
