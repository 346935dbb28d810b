"""Rows of frames of a run of ``dreamgym train all``: reality, V's reconstruction, and a dream of the same actions.

``python pictures.py RUN OUT.png``: of the first held-out episode of round 0; the dream leaves reality at frame 16.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from dreamgym.data.episodes import episode_paths, read_episode
from dreamgym.dream.rendering import decode_frames
from dreamgym.fidelity.held_out import encode
from dreamgym.memory.imagine import dream_step
from dreamgym.training import save_png
from dreamgym.world_model import WorldModel

BURN_IN, SHOWN = 16, tuple(range(12, 52, 4))


def main(run: Path, out: Path) -> None:
    """Write the picture."""
    model = WorldModel.load(run / "world")
    episodes = [read_episode(path) for path in episode_paths(run / "evolve-0" / "held-out")]
    (seen,) = encode(model, [max(episodes, key=len)], 0)
    memory, state, dreamed = model.memory, model.memory.initial_state(1), []
    generator, z = torch.Generator().manual_seed(0), seen.z[:1]
    for step in range(SHOWN[-1] + 1):
        z = seen.z[step : step + 1] if step <= BURN_IN else z
        dreamed.append(z)
        z, state, _ = dream_step(memory, z, seen.actions[step : step + 1], state, 1.0, generator)
    rows = [
        seen.episode.frames[list(SHOWN)],
        decode_frames(model.vision, seen.z[list(SHOWN)]).numpy(),
        decode_frames(model.vision, torch.cat(dreamed)[list(SHOWN)]).numpy(),
    ]
    save_png(out, np.concatenate([np.concatenate(list(row), axis=1) for row in rows]), scale=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
