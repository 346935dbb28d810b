"""Encoding recorded episodes into latents, once, so that M can train on many of them from memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym.config import write_json
from dreamgym.episodes import episode_paths, read_arrays, read_episode, write_arrays
from dreamgym.errors import EpisodeFileError, OutputFolderError
from dreamgym.real.world import MIRRORED_ACTION, MIRRORED_MOTION
from dreamgym.training import autocast, load_weights
from dreamgym.vision.train import to_images
from dreamgym.vision.vae import VAE

__all__ = ["LatentEpisode", "encode_episodes", "read_latents"]


_NAMES = (
    "mean",
    "log_variance",
    "mirrored_mean",
    "mirrored_log_variance",
    "actions",
    "progress",
    "left_world",
    "lap_units",
)


@dataclass(frozen=True)
class LatentEpisode:
    """An episode as V sees it; T actions, T + 1 latents."""

    path: Path
    mean: NDArray[np.float16]
    """(T + 1, Z)."""
    log_variance: NDArray[np.float16]
    """(T + 1, Z)."""
    actions: NDArray[np.float32]
    """(T, A)."""
    progress: NDArray[np.float32]
    """New units of progress in each step, (T,)."""
    left_world: bool
    """Whether the last step ended the episode other than by finishing the lap."""
    lap_units: int
    motion: NDArray[np.float32] | None = None
    """How the car moved, (T + 1, 4), see :func:`dreamgym.real.world.motion`; None where not recorded."""
    missed: NDArray[np.float32] | None = None
    """Tiles left behind untouched in each step, (T,); NaN where not known, None where not recorded."""
    mirrored: bool = False
    """Whether this is the drive as a mirror shows it."""

    def __len__(self) -> int:
        return len(self.actions)


@torch.no_grad()
def _encode(model: VAE, frames: NDArray[np.uint8], device: torch.device) -> tuple[NDArray[Any], NDArray[Any]]:
    means, log_variances = [], []
    for start in range(0, len(frames), 256):
        images = to_images(frames[start : start + 256], device)
        with autocast(device):
            mean, log_variance = model.encode(images)
        means.append(mean.float().cpu().numpy())
        log_variances.append(log_variance.float().cpu().numpy())
    return np.concatenate(means).astype(np.float16), np.concatenate(log_variances).astype(np.float16)


def encode_episodes(episodes: Path, vision: Path, out: Path, *, device: torch.device | None = None) -> Path:
    """Encode every shard of a folder that is not encoded yet, as it was driven and as a mirror shows it.

    Tracks are driven counterclockwise: sharp bends to the right are rare in reality. In both together they are as
    common as those to the left.

    Args:
        episodes: folder of recorded episodes.
        vision: V's weights.
        out: folder for the latents; remembers which weights made them.
        device: where V runs; the CPU when None.

    Raises:
        OutputFolderError: if the folder holds latents of another V.
    """
    device = device or torch.device("cpu")
    out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(vision.read_bytes()).hexdigest()
    stamp = out / "vision.json"
    if stamp.exists() and digest not in stamp.read_text(encoding="utf-8"):
        raise OutputFolderError(f"{out} holds latents made by another V; choose another folder, or delete it")
    write_json(stamp, {"sha256": digest, "vision": str(vision)})
    model: VAE = VAE().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    load_weights(model, vision)
    missing = [path for path in episode_paths(episodes) if not (out / path.name).exists()]
    for path in tqdm(missing, desc="encode", unit="episode", mininterval=2):
        episode = read_episode(path)
        mean, log_variance = _encode(model, episode.frames, device)
        mirrored_mean, mirrored_log_variance = _encode(model, episode.frames[:, :, ::-1].copy(), device)
        arrays = {
            "mean": mean,
            "log_variance": log_variance,
            "mirrored_mean": mirrored_mean,
            "mirrored_log_variance": mirrored_log_variance,
            "actions": episode.actions,
            "progress": episode.progress,
            "left_world": np.array(episode.terminated and not episode.lap_finished),
            "lap_units": np.array(episode.lap_units),
        }
        optional = {"motion": episode.motion, "missed": episode.missed}
        arrays |= {name: value for name, value in optional.items() if value is not None}
        write_arrays(out / path.name, arrays)
    return out


def read_latents(*folders: Path) -> list[LatentEpisode]:
    """Every encoded episode of the folders, in order: each as it was driven, then mirrored.

    Raises:
        EpisodeFileError: a folder is missing, or a file is damaged.
    """
    for folder in folders:
        if not folder.is_dir():
            raise EpisodeFileError(f"{folder}: expected a folder of encoded episodes, there is none")
    found = []
    for path in episode_paths(*folders):
        arrays = read_arrays(path)
        absent = set(_NAMES) - set(arrays)
        if absent:
            raise EpisodeFileError(f"{path}: expected an encoded episode, {sorted(absent)} missing; encode it again")
        driven = LatentEpisode(
            path=path,
            mean=arrays["mean"],
            log_variance=arrays["log_variance"],
            actions=arrays["actions"],
            progress=arrays["progress"],
            left_world=bool(arrays["left_world"]),
            lap_units=int(arrays["lap_units"]),
            motion=arrays.get("motion"),
            missed=arrays.get("missed"),
        )
        mirrored = replace(
            driven,
            mean=arrays["mirrored_mean"],
            log_variance=arrays["mirrored_log_variance"],
            actions=driven.actions * np.array(MIRRORED_ACTION, np.float32),
            motion=None if driven.motion is None else driven.motion * np.array(MIRRORED_MOTION, np.float32),
            mirrored=True,
        )
        found += [driven, mirrored]
    return found
