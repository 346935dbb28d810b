"""Encoding recorded episodes into latents, once, so that M can train on many of them from memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym.config import EncodeConfig
from dreamgym.data.episodes import Episode, read_episode, recorded_paths
from dreamgym.data.latents import STAMP, LatentEpisode, is_encoded, write_latents
from dreamgym.errors import EpisodeFileError, OutputFolderError
from dreamgym.files import lock_folder, read_object, require_nothing_else, write_json
from dreamgym.tensor_files import read_content
from dreamgym.training import autocast, choose_device
from dreamgym.vision.train import to_images
from dreamgym.vision.vae import VAE, load_vision
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import find

__all__ = ["encode_episodes", "run"]


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


def encode_episodes(
    episodes: Path,
    vision: Path,
    out: Path,
    *,
    world: World | None = None,
    latents: int | None = None,
    device: torch.device | None = None,
) -> Path:
    """Encode every shard of a folder that is new or has changed.

    Its mirror image as well, where the world is symmetric.

    CarRacing's tracks run counterclockwise: sharp bends to the right are rare. With both images they are as common as
    those to the left.

    Args:
        episodes: folder of recorded episodes.
        vision: V's weights.
        out: folder for the latents; remembers what made them.
        world: the world that they are of; the default one when None.
        latents: V's latent size, the world's when None.
        device: where V runs; the CPU when None.

    Raises:
        BundleError: V's weights cannot be read.
        ConfigError: there is no folder of recorded episodes, or none in it.
        EpisodeFileError: a recorded episode is damaged, or of another world.
        OutputFolderError: the folder holds latents of another V or world, or something else.
    """
    world = world or find()
    if out.is_dir() and not (out / STAMP).exists():
        require_nothing_else(out, STAMP)  # recordings, say, whose names are those of latents
    with lock_folder(out):
        _encode_new(episodes, vision, out, world, latents or world.sizes.latents, device or torch.device("cpu"))
    return out


def _encode_new(episodes: Path, vision: Path, out: Path, world: World, latents: int, device: torch.device) -> None:
    digest = hashlib.sha256(read_content(vision)).hexdigest()
    recordings = {path: _sha256(path) for path in recorded_paths(episodes)}
    made_of = {
        "sha256": digest,
        "episodes": Path(os.path.relpath(episodes.resolve(), out.resolve())).as_posix(),  # a run may be moved
        "world": world.name,
        "preprocess_version": world.preprocess.version,
        "latent_size": latents,
        **{f"rewards_{name}": getattr(world.rewards, name) for name in ("head", "constant", "scale")},
        "mirrored": world.actions.mirror is not None,
    }
    _require_same(out, made_of)
    lines = "".join(f"{path.name} {recording.hex()}\n" for path, recording in recordings.items())
    came_from = {"vision": str(vision), "recordings_sha256": hashlib.sha256(lines.encode()).hexdigest()}
    model: VAE = load_vision(vision, latents).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    read_episode(next(iter(recordings)), world)  # a wrong V or world must not be what the folder is for ever after
    write_json(out / STAMP, made_of | came_from)
    for path, recording in tqdm(recordings.items(), desc="encode", unit="episode", mininterval=2):
        if not is_encoded(out / path.name, recording):
            encoded, mirrored = _encode_episode(model, read_episode(path, world), path, world, device)
            write_latents(out / path.name, encoded, mirrored, recording)


def _require_same(out: Path, made_of: Mapping[str, Any]) -> None:
    """Refuse a folder whose latents were made otherwise; what an older record does not say may be anything."""
    path = out / STAMP
    if not path.exists():
        return
    found = read_object(path)
    if found.get("sha256") != made_of["sha256"]:
        raise OutputFolderError(f"{out} holds latents made by another V; choose another folder")
    changed = [
        f"{name}: {found[name]!r} there, {value!r} now"
        for name, value in made_of.items()
        if found.get(name, value) != value
    ]
    if changed:
        raise OutputFolderError(f"{out} holds other latents ({'; '.join(changed)}); choose another folder")


def _sha256(path: Path) -> bytes:
    if not path.is_file():
        raise EpisodeFileError(f"{path}: expected a file with an episode, got a folder, a pipe or a device")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _encode_episode(
    model: VAE, episode: Episode, path: Path, world: World, device: torch.device
) -> tuple[LatentEpisode, tuple[NDArray[Any], NDArray[Any]] | None]:
    mean, log_variance = _encode(model, episode.frames, device)
    encoded = LatentEpisode(
        path=path,
        mean=mean,
        log_variance=log_variance,
        actions=episode.actions,
        progress=world.rewards.units(episode.rewards, episode.total_units),
        failed=episode.failed,
        total_units=episode.total_units,
        labels=episode.labels,
    )
    if world.actions.mirror is None:
        return encoded, None
    return encoded, _encode(model, episode.frames[:, :, ::-1].copy(), device)


def run(config: EncodeConfig) -> None:
    """The command ``dreamgym encode``."""
    device, world = choose_device(config.device), find(config.world)
    encode_episodes(config.episodes, config.vision, config.out, world=world, latents=config.latents, device=device)
    print(f"latents: {config.out}")
