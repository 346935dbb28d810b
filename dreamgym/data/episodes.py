"""Recorded episodes on disk: one npz shard an episode, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ConfigError, EpisodeFileError
from dreamgym.files import file_sha256, write_bytes
from dreamgym.worlds.base import FRAME_SHAPE, World
from dreamgym.worlds.recording import LONGEST

__all__ = [
    "EPISODE_FORMAT",
    "Episode",
    "episode_paths",
    "episodes_sha256",
    "is_held_out",
    "pack_episode",
    "read_arrays",
    "read_episode",
    "recorded_paths",
    "require_actions",
    "require_labels",
    "write_arrays",
    "write_episode",
]

EPISODE_FORMAT: Final = 2
_HELD_OUT_SHARE: Final = 0.05
_LABEL: Final = "label_"
_FORMER_LABELS: Final = ("motion", "missed")
"""Names that format 1 has without the prefix."""
_ARRAYS: Final = ("meta", "actions", "rewards", "frames")
_ARRAYS_LIMIT: Final = 1 << 29
"""Bytes that the arrays of one file may have in memory, those of LONGEST steps. A small file can unpack to any size."""
_TOLERANCE: Final = 1e-4
"""How far outside the range an action may be by rounding."""
_META: Final[dict[str, tuple[type, ...]]] = {
    "terminated": (bool,),
    "truncated": (bool,),
    "complete": (bool,),
    "total_units": (int, float),
    "seed": (int,),
    "player": (str,),
    "versions": (dict,),
}
"""Types of the entries of an episode that are no arrays."""


@dataclass(frozen=True)
class Episode:
    """One recorded episode of a world.

    ``frames`` has one entry more than ``actions``: frame t was seen before action t, the last after the last action.
    """

    frames: NDArray[np.uint8]
    """(T + 1, 64, 64, 3), preprocessed."""
    actions: NDArray[np.float32]
    """(T, A), as executed."""
    rewards: NDArray[np.float32]
    """(T,), as the environment paid them."""
    terminated: bool
    truncated: bool
    complete: bool
    """Whether it ended with the progress that the world asks for, such as a finished lap."""
    total_units: float
    """Units in a progress of 1, such as a track's tiles."""
    seed: int
    player: str
    """The player's name."""
    versions: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """What the simulator said besides, see :class:`dreamgym.worlds.base.Labels`: (T + 1, n) or (T,); NaN where not
    known."""
    world: str = "CarRacing"
    """The world's name."""

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def failed(self) -> bool:
        """Whether the world ended it otherwise than by completing it."""
        return self.terminated and not self.complete


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, compresslevel: int = 1) -> None:
    """Write a compressed npz atomically.

    A reader finds the old file or the new one, never half of one.
    """
    write_bytes(path, _packed(arrays, compresslevel))


def _packed(arrays: Mapping[str, NDArray[Any]], compresslevel: int = 1) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # without the time of day: the same arrays are the same bytes
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, compresslevel)
    return content.getvalue()


def read_arrays(path: Path, names: tuple[str, ...] | None = None) -> dict[str, NDArray[Any]]:
    """Read an npz without unpickling anything.

    Raises:
        EpisodeFileError: if the file is missing, damaged, too large when unpacked, or lacks one of ``names``.
    """
    _array_names(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (names or tuple(archive.files))}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):  # NumPy hands out as bytes what does not begin as an array does
                    raise ValueError(f"no array as {name}")
            return arrays
    except Exception as error:
        raise EpisodeFileError(f"cannot read {path}: expected an npz file of arrays, got {error}") from error


def _array_names(path: Path) -> list[str]:
    """The arrays of an npz, by its directory: nothing is unpacked before their sizes are known."""
    if path.exists() and not path.is_file():  # opening a pipe would wait, reading a device may never end
        raise EpisodeFileError(f"cannot read {path}: expected an npz file, got a folder, a pipe or a device")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:
        raise EpisodeFileError(f"cannot read {path}: expected an npz file of arrays, got {error}") from error
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack a whole block, however little is asked for
    for member in members:
        if not member.filename.endswith(".npy") or member.compress_type not in methods:
            raise EpisodeFileError(
                f"cannot read {path}: expected an npz file of arrays, stored or deflated, got the member "
                f"{member.filename} by method {member.compress_type}"
            )
    total = sum(member.file_size for member in members)
    if total > _ARRAYS_LIMIT:
        raise EpisodeFileError(
            f"cannot read {path}: expected arrays of at most {_ARRAYS_LIMIT} bytes, got {total}; split the episode"
        )
    return [member.filename.removesuffix(".npy") for member in members]


def write_episode(path: Path, episode: Episode) -> None:
    """Write one episode as a shard.

    Raises:
        EpisodeFileError: it is too long to be read again.
    """
    write_bytes(path, pack_episode(episode))


def pack_episode(episode: Episode) -> bytes:
    """An episode as the bytes of its shard.

    Raises:
        EpisodeFileError: it is too long to be read again.
    """
    if len(episode) > LONGEST:
        raise EpisodeFileError(
            f"expected at most {LONGEST} steps, got an episode of {len(episode)} by {episode.player!r}; split it"
        )
    meta = {
        "format": EPISODE_FORMAT,
        "world": episode.world,
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "complete": episode.complete,
        "total_units": episode.total_units,
        "seed": episode.seed,
        "player": episode.player,
        "versions": dict(episode.versions),
    }
    arrays: dict[str, NDArray[Any]] = {
        "meta": np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
        "actions": episode.actions,
        "rewards": episode.rewards,
        "frames": episode.frames,
    }
    return _packed({**arrays, **{f"{_LABEL}{name}": value for name, value in episode.labels.items()}})


def read_episode(path: Path, world: World | None = None) -> Episode:
    """Read one shard, of this format or of the one before it.

    Raises:
        EpisodeFileError: it is missing, damaged, of another format, or its arrays are not an episode's.
    """
    names = set(_array_names(path))
    absent = set(_ARRAYS) - names
    if absent:
        raise EpisodeFileError(
            f"{path}: expected an episode of dreamgym, with the arrays meta, actions, rewards and frames; "
            f"{sorted(absent)} are missing. If another program recorded it, keep it and write its frames, actions and "
            "rewards with dreamgym.data.episodes.write_episode"
        )
    others = names.difference(_ARRAYS, _FORMER_LABELS)
    unknown = sorted(name for name in others if not name.startswith(_LABEL))
    if unknown:
        raise EpisodeFileError(
            f"{path}: expected meta, actions, rewards, frames and labels named {_LABEL}NAME; got {unknown} besides"
        )
    arrays = read_arrays(path)
    meta = _meta(path, arrays.pop("meta"))
    frames, actions, rewards = (arrays.pop(name) for name in ("frames", "actions", "rewards"))
    _require_steps(path, frames, actions, rewards)
    labels = {name.removeprefix(_LABEL): array for name, array in arrays.items()}
    require_labels(path, labels, len(actions), world)
    episode = Episode(frames=frames, actions=actions, rewards=rewards, labels=labels, **meta)
    if world is not None:
        _require_of_world(path, episode, world)
    return episode


def require_labels(
    path: Path | str, labels: Mapping[str, NDArray[Any]], steps: int, world: World | None = None
) -> None:
    """Raise :class:`~dreamgym.errors.EpisodeFileError` where a file's labels do not fit an episode of so many steps.

    Those that a world has must have its shapes.
    """
    shapes = {
        each.label: (steps,) if each.kind == "event" else (steps + 1, each.size)
        for each in (() if world is None else world.labels.auxiliaries)
    }
    for name, label in labels.items():
        fits = label.ndim in (1, 2) and len(label) in (steps, steps + 1)
        if label.dtype != np.float32 or not fits or label.shape != shapes.get(name, label.shape):
            wanted = shapes.get(name, f"(T,) or (T + 1, n) for T = {steps}")
            raise EpisodeFileError(
                f"{path}: expected the label {name} as float32 of shape {wanted}; got {label.dtype} of {label.shape}"
            )


def _require_of_world(path: Path, episode: Episode, world: World) -> None:
    if episode.world != world.name:
        raise EpisodeFileError(
            f"{path}: expected an episode of {world.name}, got one of {episode.world}; say which world it is of "
            "(--world), or take its folder out"
        )
    made, wanted = episode.versions.get("preprocess", world.preprocess.version), world.preprocess.version
    if made != wanted:
        raise EpisodeFileError(
            f"{path}: expected frames of {world.name} by version {wanted} of its preprocessing, got version {made}: "
            "they were made otherwise, such as by another crop; record them again, or take its folder out"
        )
    require_actions(path, episode.actions, world)


def require_actions(path: Path, actions: NDArray[np.float32], world: World) -> None:
    """Raise :class:`~dreamgym.errors.EpisodeFileError` where a file's actions, (T, A), are not the world's."""
    low, high = np.array(world.actions.low), np.array(world.actions.high)
    if actions.shape[1] != len(low):
        raise EpisodeFileError(
            f"{path}: expected actions of {len(low)} numbers for {world.name}, got {actions.shape[1]}"
        )
    if ((actions < low - _TOLERANCE) | (actions > high + _TOLERANCE)).any():
        raise EpisodeFileError(
            f"{path}: expected actions of {world.name} within {low.tolist()} .. {high.tolist()}, got "
            f"{actions.min(axis=0).tolist()} .. {actions.max(axis=0).tolist()}; record them as they were executed"
        )


def _meta(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    """An episode's entries that are no arrays; those of format 1 under their present names."""
    try:
        meta = json.loads(array.astype(np.uint8, casting="equiv").tobytes())
        version = meta.pop("format")
        if "driver" in meta:  # in recordings that were made before
            meta["player"] = meta.pop("driver")
        if version == 1:  # CarRacing's alone
            meta["complete"], meta["total_units"] = meta.pop("lap_finished"), meta.pop("lap_units")
        if set(meta) - {"world"} != set(_META) or version not in (1, EPISODE_FORMAT):
            raise KeyError(f"format {version} with the entries {sorted(meta)}")
        if not all(type(meta[name]) in kinds for name, kinds in _META.items()):
            raise TypeError(f"the entries {meta}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EpisodeFileError(
            f"{path}: expected the entries of an episode of format {EPISODE_FORMAT}, got {error}"
        ) from error
    return dict(meta)


def _require_steps(path: Path, frames: NDArray[Any], actions: NDArray[Any], rewards: NDArray[Any]) -> None:
    length = len(actions) if actions.ndim else 0
    shapes = frames.shape == (length + 1, *FRAME_SHAPE) and actions.ndim == 2 and rewards.shape == (length,)
    dtypes = frames.dtype == np.uint8 and actions.dtype == np.float32 and rewards.dtype == np.float32
    if not shapes or not dtypes or not length:
        raise EpisodeFileError(
            f"{path}: expected frames uint8 (T + 1, 64, 64, 3), actions float32 (T, A) and rewards float32 (T,), with "
            f"T at least 1; got {frames.dtype} {frames.shape}, {actions.dtype} {actions.shape} and {rewards.dtype} "
            f"{rewards.shape}"
        )
    for name, array in (("actions", actions), ("rewards", rewards)):
        if not np.isfinite(array).all():
            raise EpisodeFileError(f"{path}: expected finite {name}, got NaN or infinity among them")


def episode_paths(*folders: Path) -> list[Path]:
    """Every shard in the folders, sorted by folder and name.

    Raises:
        ConfigError: one of the folders is none.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"{folder}: expected a folder of episodes, there is none; correct its name")
    return [path for folder in folders for path in sorted(Path(folder).glob("episode-*.npz"))]


def recorded_paths(*folders: Path) -> list[Path]:
    """Every shard in folders of which each has some, as :func:`episode_paths`.

    Raises:
        ConfigError: one of the folders is none, or has no shard.
    """
    for folder in folders:
        if not episode_paths(folder):
            raise ConfigError(f"{folder}: expected episodes (episode-*.npz), there are none in it; correct its name")
    return episode_paths(*folders)


def episodes_sha256(folders: Sequence[Path]) -> str | None:
    """SHA-256 of every shard's name and content, in hexadecimal.

    None where one of the folders is missing.
    """
    if not all(folder.is_dir() for folder in folders):
        return None
    lines = (f"{_folder_and_name(path)} {file_sha256(path)}\n" for path in episode_paths(*folders))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_held_out(path: Path) -> bool:
    """Whether a shard is kept from training, as one in twenty is.

    A hash of its folder's and its own name decides.
    """
    digest = hashlib.sha256(_folder_and_name(path).encode()).digest()
    return int.from_bytes(digest[:4], "big") < _HELD_OUT_SHARE * 2**32


def _folder_and_name(path: Path) -> str:
    """The last two parts of a path, however it is written."""
    return "/".join(Path(os.path.abspath(path)).parts[-2:])  # noqa: PTH100 - without "..", with links as they are
