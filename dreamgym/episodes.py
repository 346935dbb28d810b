"""Recorded episodes on disk: one npz shard an episode, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import EpisodeFileError

__all__ = [
    "EPISODE_FORMAT",
    "Episode",
    "episode_paths",
    "is_held_out",
    "read_arrays",
    "read_episode",
    "write_arrays",
    "write_episode",
]

EPISODE_FORMAT: Final = 1
_HELD_OUT_SHARE: Final = 0.05
_OPTIONAL: Final = ("motion", "missed")


@dataclass(frozen=True)
class Episode:
    """One drive in reality (or in a dream, for a person's recorded drive).

    ``frames`` has one entry more than ``actions``: frame t was seen before action t, the last after the last action.
    """

    frames: NDArray[np.uint8]
    """(T + 1, 64, 64, 3), preprocessed."""
    actions: NDArray[np.float32]
    """(T, 3), as executed."""
    rewards: NDArray[np.float32]
    """(T,), as the environment paid them."""
    terminated: bool
    truncated: bool
    lap_finished: bool
    lap_units: int
    """Units of progress in a whole lap: the track's number of tiles."""
    seed: int
    driver: str
    """The driver's name."""
    versions: Mapping[str, Any] = field(default_factory=dict)
    motion: NDArray[np.float32] | None = None
    """How the car moved at each frame, (T + 1, 4), see :func:`dreamgym.real.world.motion`; None where not recorded."""
    missed: NDArray[np.float32] | None = None
    """Tiles left behind untouched in each step, (T,), see :class:`dreamgym.real.missed.TileWatch`; NaN where not
    known, None where not recorded."""

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def progress(self) -> NDArray[np.float32]:
        """New tiles touched in each step, (T,): whole numbers, since a tile pays 1000 / lap_units."""
        return np.maximum(np.round((self.rewards + 0.1) * self.lap_units / 1000.0), 0.0).astype(np.float32)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, compresslevel: int = 1) -> None:
    """Write a compressed npz atomically: a reader finds the old file or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=compresslevel) as archive:
                for name, array in arrays.items():
                    buffer = io.BytesIO()
                    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
                    archive.writestr(f"{name}.npy", buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_arrays(path: Path, names: tuple[str, ...] | None = None) -> dict[str, NDArray[Any]]:
    """Read an npz without unpickling anything.

    Raises:
        EpisodeFileError: if the file is missing, damaged or lacks one of ``names``.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in (names or tuple(archive.files))}
    except Exception as error:
        raise EpisodeFileError(f"cannot read {path} ({error}); delete it to have it recorded again") from error


def write_episode(path: Path, episode: Episode) -> None:
    """Write one episode as a shard."""
    meta = {
        "format": EPISODE_FORMAT,
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "lap_finished": episode.lap_finished,
        "lap_units": episode.lap_units,
        "seed": episode.seed,
        "driver": episode.driver,
        "versions": dict(episode.versions),
    }
    arrays: dict[str, NDArray[Any]] = {
        "meta": np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
        "actions": episode.actions,
        "rewards": episode.rewards,
        "frames": episode.frames,
    }
    arrays |= {name: value for name in _OPTIONAL if (value := getattr(episode, name)) is not None}
    write_arrays(path, arrays)


def read_episode(path: Path) -> Episode:
    """Read one shard.

    Raises:
        EpisodeFileError: if it is missing, damaged, or of another format version.
    """
    arrays = read_arrays(path)
    absent = {"meta", "actions", "rewards", "frames"} - set(arrays)
    if absent:
        raise EpisodeFileError(f"{path}: expected an episode, {sorted(absent)} are missing; record it again")
    meta = json.loads(arrays["meta"].tobytes())
    if meta.pop("format") != EPISODE_FORMAT:
        raise EpisodeFileError(f"{path}: this version reads episode format {EPISODE_FORMAT}; record it again")
    frames, actions, rewards = arrays["frames"], arrays["actions"], arrays["rewards"]
    length = len(actions)
    if frames.shape != (length + 1, 64, 64, 3) or actions.shape != (length, 3) or rewards.shape != (length,):
        raise EpisodeFileError(
            f"{path}: expected frames (T+1, 64, 64, 3), actions (T, 3) and rewards (T,); "
            f"got {frames.shape}, {actions.shape} and {rewards.shape}"
        )
    optional: dict[str, Any] = {name: arrays.get(name) for name in _OPTIONAL}
    return Episode(frames=frames, actions=actions, rewards=rewards, **optional, **meta)


def episode_paths(*folders: Path) -> list[Path]:
    """Every shard in the folders, sorted by folder and name."""
    return [path for folder in folders for path in sorted(Path(folder).glob("episode-*.npz"))]


def is_held_out(path: Path) -> bool:
    """Whether a shard is kept from training: decided by a hash of its folder's and its own name, one in twenty."""
    digest = hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < _HELD_OUT_SHARE * 2**32


def iterate_episodes(paths: list[Path]) -> Iterator[Episode]:
    """Read one shard after the other."""
    for path in paths:
        yield read_episode(path)
