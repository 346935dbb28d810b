"""The paper's CarRacing table in the dream: C sees z, z through a hidden layer of 40, or z and h (section 3.2).

``python docs/experiments/car-racing/controller_table.py --out runs/controllers``

Each row is a folder with its evolution and its ``scores.json``. What is there already is not made again, so the same
command goes on where it was cut off. All rows have the settings of ``train all``; a controller is chosen by validation
tracks among those of every 20 generations. In the end ``table.md`` is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor

from dreamgym.config import EvolveConfig, PipelineConfig
from dreamgym.controller.cma_es import evolve
from dreamgym.controller.subspace import Subspace
from dreamgym.data.seeds import TEST_SEEDS, VALIDATION_SEEDS
from dreamgym.evaluate import evaluate_dream, evaluate_real
from dreamgym.evaluate.real import validation_returns
from dreamgym.evolve.dream_rollouts import DreamTrials
from dreamgym.files import write_json, write_text
from dreamgym.reporting import markdown_table
from dreamgym.world_model import WorldModel, locate
from dreamgym.worlds.base import squash_outputs
from dreamgym.worlds.registry import find

WORLD: Final = "car-racing"
LATENTS, HIDDEN, ACTIONS = 32, 40, 3
SQUASH: Final = find(WORLD).actions.squash
PAPER: Final = {"z": "632 ± 251", "z, hidden layer of 40": "788 ± 141", "z and h": "906 ± 21"}
"""World Models (2018), table 1: controllers evolved in the real environment."""


class HiddenLayerController:
    """a = squash(W2 tanh(W1 z + b1) + b2), with what evolution and evaluation need of a controller."""

    def __init__(self, parameters: NDArray[np.floating]) -> None:
        self.parameters = np.asarray(parameters, np.float32)

    @classmethod
    def initial(cls, seed: int) -> HiddenLayerController:
        """A random first layer and a second one of zero, so that all candidates begin near the zero controller."""
        first = np.random.default_rng([seed, 40]).standard_normal((HIDDEN, LATENTS)) / np.sqrt(LATENTS)
        return cls(np.concatenate([first.ravel(), np.zeros(HIDDEN + ACTIONS * HIDDEN + ACTIONS)]))

    def with_parameters(self, parameters: NDArray[np.floating]) -> HiddenLayerController:
        """Another one of the same form."""
        return type(self)(parameters)

    def require_form_of(self, other: HiddenLayerController, source: object) -> None:
        """There is one form."""

    def save(self, path: Path) -> None:
        """Write the parameters as safetensors."""
        save_file({"parameters": self.parameters}, path)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Actions, (B, 3), for features, (B, 288)."""
        outputs = hidden_layer_outputs(torch.from_numpy(self.parameters)[None], ACTIONS)
        return squash_outputs(outputs(torch.from_numpy(observation)[None])[0].numpy(), SQUASH)


def hidden_layer_outputs(parameters: Tensor, size: int) -> Callable[[Tensor], Tensor]:
    """The candidates of :class:`HiddenLayerController` for a dream."""
    sizes = [HIDDEN * LATENTS, HIDDEN, size * HIDDEN, size]
    first, first_bias, second, second_bias = parameters.split(sizes, dim=1)
    first = first.unflatten(1, (HIDDEN, LATENTS)).transpose(1, 2)
    second = second.unflatten(1, (size, HIDDEN)).transpose(1, 2)

    def outputs(features: Tensor) -> Tensor:
        hidden = torch.baddbmm(first_bias[:, None], features[..., :LATENTS], first).tanh_()
        return torch.baddbmm(second_bias[:, None], hidden, second)

    return outputs


def of_latents(world_model: WorldModel) -> Subspace:
    """All 32 principal components of z, and nothing of h: a linear controller on z alone."""
    z = world_model.starts.z[~world_model.starts.at_start].numpy()
    found = Subspace.of(z, LATENTS, ACTIONS)
    h = np.zeros(world_model.memory.hidden_size)
    basis = np.pad(found.basis, ((0, 0), (0, len(h))))
    return Subspace(np.concatenate([found.centre, h]), basis, ACTIONS)


def row(options: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Evolve and score one controller, unless that was done."""
    folder = options.out / name.replace(" ", "-").replace(",", "") / f"seed-{seed}"
    found = folder / "scores.json"
    if found.exists():
        scores: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        return scores
    settings = PipelineConfig.of(WORLD, out=folder / "evolve").evolve
    chosen = {each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)}
    chosen |= {"fast": True, "generations": options.generations, "validate_every": 20, "validation_episodes": 16}
    where = {"out": folder / "evolve", "world_model": options.world_model, "world": WORLD}
    config = EvolveConfig(**chosen, **where, seed=seed, workers=options.workers)
    played = {"workers": options.workers, "world_model": options.world_model, "world": WORLD}

    def validate(controller: Any) -> list[float]:
        return validation_returns(controller, VALIDATION_SEEDS[: config.validation_episodes], **played)

    if name == "z, hidden layer of 40":
        config = dataclasses.replace(config, subspace=0)  # no subspace is known of such parameters
        with DreamTrials(config, outputs=hidden_layer_outputs) as trials:
            trials.zeros = HiddenLayerController.initial(seed)
            controller = evolve(config, trials, inputs=trials.inputs, validate=validate)
    else:
        with DreamTrials(config) as trials:
            subspace = of_latents(WorldModel.load(options.world_model)) if name == "z" else trials.subspace
            controller = evolve(config, trials, inputs=trials.inputs, subspace=subspace, validate=validate)
    dreams = evaluate_dream(controller, range(options.episodes), world_model=options.world_model)
    real = evaluate_real(controller, TEST_SEEDS[: options.episodes], **played)
    scores = {"controller": name, "seed": seed, "parameters": len(controller.parameters)}
    if name == "z":
        scores["parameters"] = ACTIONS * (LATENTS + 1)
    scores |= {"dream": [each.score for each in dreams], "real": [each.score for each in real]}
    write_json(found, scores)
    return scores


def main() -> None:
    """Make every row, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world-model", type=Path, help="a bundle of CarRacing; the shipped one when not given")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--controllers", nargs="+", choices=tuple(PAPER), default=tuple(PAPER))
    parser.add_argument("--seeds", type=int, default=1, help="evolutions of each")
    parser.add_argument("--generations", type=int, default=60)
    parser.add_argument("--episodes", type=int, default=100, help="test tracks and dreams of each controller")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.world_model = locate(options.world_model, WORLD)
    rows = []
    for seed in range(options.seeds):
        for name in options.controllers:
            scores = row(options, name, seed)
            dream, real = (np.array(scores[where]) for where in ("dream", "real"))
            lost = int((real < 700).sum())
            cells = (
                f"{dream.mean():.0f} ± {dream.std(ddof=1):.0f}",
                f"{real.mean():.1f} ± {real.std(ddof=1):.1f}",
                lost,
            )
            rows.append((name, seed, scores["parameters"], *cells, PAPER[name]))
    headers = ("controller sees", "seed", "parameters", "dream", "100 test tracks", "lost", "paper, trained in reality")
    text = markdown_table(headers, rows) + "\n"
    write_text(options.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    main()
