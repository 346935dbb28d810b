"""Pictures of what M dreams, beside what happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dreamgym.memory.imagine import dream_step
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.sequences import SequenceBatch
from dreamgym.training import save_png
from dreamgym.vision.vae import VAE

__all__ = ["dream_open_loop", "save_dream_strip"]


@torch.no_grad()
def dream_open_loop(
    model: MDNRNN, batch: SequenceBatch, burn_in: int, *, temperature: float = 1.0, seed: int = 0
) -> torch.Tensor:
    """Follow the first ``burn_in`` real latents, then dream on with the real actions.

    Returns:
        Latents, (B, T, Z): real ones up to ``burn_in``, dreamed ones from there.
    """
    generator = torch.Generator().manual_seed(seed)
    state = model.initial_state(len(batch.z))
    z = batch.z[:, 0]
    seen = []
    for step in range(batch.z.shape[1]):
        if step <= burn_in:
            z = batch.z[:, step]
        seen.append(z)
        z, state, _ = dream_step(model, z, batch.action[:, step], state, temperature, generator)
    return torch.stack(seen, dim=1)


def save_dream_strip(
    path: Path, model: MDNRNN, vision: VAE, batch: SequenceBatch, *, burn_in: int = 16, every: int = 8
) -> None:
    """Write pairs of rows: V's view of reality, and the dream below it.

    The dream leaves reality after ``burn_in`` frames.
    """
    dreamed = dream_open_loop(model, batch, burn_in)
    rows = []
    with torch.no_grad():
        for index in range(len(batch.z)):
            for latents in (batch.z[index, ::every], dreamed[index, ::every]):
                images = (vision.decode(latents) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
                rows.append(np.concatenate(list(images), axis=1))
    save_png(path, np.concatenate(rows))
