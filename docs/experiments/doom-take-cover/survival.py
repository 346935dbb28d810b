"""How long Take Cover's players who see nothing live in the dream, and how long in the real game.

``python docs/experiments/doom-take-cover/survival.py --out runs/survival.json``

The agreement that an M should have before a controller is evolved in its dream: within 15 % for each player.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamgym.data.seeds import FIDELITY_SEEDS
from dreamgym.evaluate import evaluate_dream
from dreamgym.evaluate.real import evaluate_player
from dreamgym.files import make_folder, write_json
from dreamgym.world_model import locate
from dreamgym.worlds.base import Player
from dreamgym.worlds.registry import find

WORLD = find("doom-take-cover")
PLAYERS = ("still", "left", "right", "uniform", "held", "held_long", "in_turn", "blind")


class Blind:
    """One of the world's players for each dream; the picture that it is given says nothing.

    Args:
        name: the player's.
        seeds: of its choices, one a dream.
    """

    def __init__(self, name: str, seeds: Sequence[int]) -> None:
        self._players: list[Player] = [WORLD.players[name]() for _ in seeds]
        for player, seed in zip(self._players, seeds, strict=True):
            player.reset(None, np.random.default_rng([seed, 1]))

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        nothing = np.zeros((64, 64, 3), np.uint8)
        return np.stack([player.act(nothing) for player in self._players])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world-model", type=Path, help="a bundle; the shipped one when not given")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--dreams", type=int, default=256)
    parser.add_argument("--episodes", type=int, default=100, help="real ones; 0 for none")
    parser.add_argument("--first-seed", type=int, default=FIDELITY_SEEDS[0], help="of the real ones")
    parser.add_argument("--players", nargs="+", default=PLAYERS, choices=PLAYERS)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    make_folder(options.out.parent)
    bundle, report = locate(options.world_model, "doom-take-cover"), {}
    for name in options.players:
        seeds = range(options.dreams)
        dreams = evaluate_dream(Blind(name, seeds), seeds, world_model=bundle, temperature=options.temperature)
        lengths = {"dream": [each.length for each in dreams]}
        if options.episodes:
            reals = range(options.first_seed, options.first_seed + options.episodes)
            real = evaluate_player(name, reals, WORLD, workers=options.workers)
            lengths["real"] = [each.length for each in real]
        report[name] = lengths
        row = [f"{np.mean(each):.0f} ± {np.std(each, ddof=1) / np.sqrt(len(each)):.0f}" for each in lengths.values()]
        ratio = [f"{np.mean(lengths['dream']) / np.mean(lengths['real']):.2f}"] if options.episodes else []
        print(" | ".join([name, *row, *ratio]), flush=True)
        write_json(options.out, report)


if __name__ == "__main__":
    main()
