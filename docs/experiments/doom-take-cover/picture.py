"""Rows of frames: the real game, V's reconstruction, and a dream from the first picture on that takes the same actions.

``python docs/experiments/doom-take-cover/picture.py EPISODE.npz OUT.png [--world-model BUNDLE] [--first STEP]``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.data.episodes import read_episode
from dreamgym.dream.rendering import decode_frames
from dreamgym.fidelity.held_out import encode
from dreamgym.memory.imagine import dream_step
from dreamgym.training import save_png
from dreamgym.world_model import WorldModel, locate

BURN_IN, EVERY, COLUMNS = 64, 12, 5
WIDTH, HEIGHT, GAP = 5, 2, 4
"""A pixel of the frame in pixels of the picture, at the game's proportions, and the white between frames."""


def row(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames (N, H, W, 3) beside each other, enlarged, with white between them."""
    large = frames.repeat(HEIGHT, axis=1).repeat(WIDTH, axis=2)
    apart = np.pad(large, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    return np.concatenate(list(apart), axis=1)[:, :-GAP]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episode", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--world-model", type=Path, help="a bundle; the shipped one when not given")
    parser.add_argument("--first", type=int, default=BURN_IN, help="step of the first picture; M reads those before it")
    options = parser.parse_args()
    model = WorldModel.load(locate(options.world_model, "doom-take-cover"))
    (seen,) = encode(model, [read_episode(options.episode)], 0)
    shown = list(range(options.first, options.first + EVERY * COLUMNS, EVERY))
    memory, state, dreamed = model.memory, model.memory.initial_state(1), []
    generator, z = torch.Generator().manual_seed(0), seen.z[:1]
    with torch.no_grad():
        for step in range(shown[-1] + 1):
            z = seen.z[step : step + 1] if step <= options.first else z
            dreamed.append(z)
            z, state, _ = dream_step(memory, z, seen.actions[step : step + 1], state, 1.0, generator)
        frames = [
            seen.episode.frames[shown],
            decode_frames(model.vision, seen.z[shown]).numpy(),
            decode_frames(model.vision, torch.cat(dreamed)[shown]).numpy(),
        ]
    save_png(options.out, np.concatenate([row(each) for each in frames])[:-GAP])


if __name__ == "__main__":
    main()
