"""Encoded episodes on disk: what V made of each recorded episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.data.episodes import read_arrays, recorded_paths, require_actions, require_labels, write_arrays
from dreamgym.errors import EpisodeFileError
from dreamgym.files import file_sha256, read_object
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import find

__all__ = ["STAMP", "LatentEpisode", "is_encoded", "read_latents", "require_same_vision", "write_latents"]

STAMP: Final = "vision.json"
"""What the latents of a folder were made by."""

_NAMES: Final = ("mean", "log_variance", "actions", "progress", "failed", "total_units")
_MIRRORED: Final = ("mirrored_mean", "mirrored_log_variance")
_RECORDING: Final = "recording"
"""SHA-256 of the file that was encoded."""
_LABEL: Final = "label_"
_FORMER: Final = {
    "left_world": "failed",
    "lap_units": "total_units",
    "motion": "label_motion",
    "missed": "label_missed",
}
"""Names that were written before there were other worlds than CarRacing."""


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
    """What M's reward head should say of each step, (T,); see :meth:`dreamgym.worlds.base.RewardRule.units`."""
    failed: bool
    """Whether the last step ended the episode other than by completing it."""
    total_units: float
    labels: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """As recorded; see :class:`dreamgym.data.episodes.Episode`."""
    mirrored: bool = False
    """Whether this is the episode as a mirror shows it."""

    def __len__(self) -> int:
        return len(self.actions)

    def sample(
        self, rng: np.random.Generator, noise: float, first: int = 0, stop: int | None = None
    ) -> NDArray[np.float32]:
        """Latents drawn from V's posterior, (n, Z).

        Args:
            rng: draws.
            noise: share of the posterior's noise.
            first: of the frames.
            stop: after the last of them; None for all.
        """
        mean, log_variance = (part[first:stop].astype(np.float32) for part in (self.mean, self.log_variance))
        drawn: NDArray[np.float32] = mean + noise * np.exp(0.5 * log_variance) * rng.standard_normal(
            mean.shape, np.float32
        )
        return drawn

    def mirror(self, world: World, mean: NDArray[np.float16], log_variance: NDArray[np.float16]) -> LatentEpisode:
        """The episode as a mirror shows it, with what V makes of its mirrored frames."""
        factors = {each.label: each.mirror for each in world.labels.auxiliaries if each.mirror is not None}
        labels = {
            name: label * np.array(factors[name], np.float32) if name in factors else label
            for name, label in self.labels.items()
        }
        actions = self.actions * np.array(world.actions.mirror, np.float32)
        return replace(
            self, mean=mean, log_variance=log_variance, actions=actions, labels=labels, mirrored=not self.mirrored
        )


def write_latents(
    path: Path,
    episode: LatentEpisode,
    mirrored: tuple[NDArray[np.float16], NDArray[np.float16]] | None,
    recording: bytes,
) -> None:
    """Write an encoded episode.

    Args:
        path: the file.
        episode: what to write.
        mirrored: mean and log variance of its mirrored frames, where there are such.
        recording: SHA-256 of the recorded episode's file, see :func:`is_encoded`.
    """
    arrays: dict[str, NDArray[Any]] = {name: np.asarray(getattr(episode, name)) for name in _NAMES}
    arrays |= {f"{_LABEL}{name}": label for name, label in episode.labels.items()}
    arrays[_RECORDING] = np.frombuffer(recording, np.uint8)
    write_arrays(path, arrays | (dict(zip(_MIRRORED, mirrored, strict=True)) if mirrored is not None else {}))


def is_encoded(path: Path, recording: bytes) -> bool:
    """Whether the file holds what was made of the recording with this SHA-256."""
    try:
        return read_arrays(path, (_RECORDING,))[_RECORDING].tobytes() == recording
    except EpisodeFileError:  # missing, damaged, or from before recordings were remembered
        return False


def read_latents(*folders: Path, world: World | None = None, latents: int | None = None) -> list[LatentEpisode]:
    """Every encoded episode of the folders, in order.

    Each as it was, then mirrored where the world is symmetric.

    Args:
        folders: of encoded episodes.
        world: that they are of; the default one when None.
        latents: how many numbers a latent must have; any, the same in all files, when None.

    Raises:
        ConfigError: a folder has no encoded episode.
        EpisodeFileError: a folder is missing, or a file is damaged, of another world or of another V.
    """
    world = world or find()
    for folder in folders:
        if not folder.is_dir():
            raise EpisodeFileError(f"{folder}: expected a folder of encoded episodes, there is none")
    found = []
    for path in recorded_paths(*folders):
        arrays = {_FORMER.get(name, name): array for name, array in read_arrays(path).items()}
        absent = set(_NAMES) - set(arrays)
        if absent:
            raise EpisodeFileError(f"{path}: expected an encoded episode, {sorted(absent)} missing; encode it again")
        _require_steps(path, arrays, world, latents)
        latents = arrays["mean"].shape[1]
        recorded = LatentEpisode(
            path=path,
            mean=arrays["mean"],
            log_variance=arrays["log_variance"],
            actions=arrays["actions"],
            progress=arrays["progress"],
            failed=bool(arrays["failed"]),
            total_units=float(arrays["total_units"]),
            labels={name.removeprefix(_LABEL): label for name, label in arrays.items() if name.startswith(_LABEL)},
        )
        found.append(recorded)
        if world.actions.mirror is not None and set(_MIRRORED) <= set(arrays):
            found.append(recorded.mirror(world, *(arrays[name] for name in _MIRRORED)))
    return found


def _require_steps(path: Path, arrays: Mapping[str, NDArray[Any]], world: World, latents: int | None) -> None:
    """Shapes, dtypes and finiteness of a file's arrays, or an EpisodeFileError that says which."""
    mean, actions = arrays["mean"], arrays["actions"]
    if mean.ndim != 2 or actions.ndim != 2 or not len(actions):
        raise EpisodeFileError(
            f"{path}: expected mean of shape (T + 1, Z) and actions of shape (T, A) with T at least 1, got "
            f"{mean.shape} and {actions.shape}"
        )
    steps = len(actions)
    wanted: dict[str, tuple[tuple[int, ...], str]] = {
        **dict.fromkeys(("mean", "log_variance", *_MIRRORED), ((steps + 1, latents or mean.shape[1]), "e")),
        "actions": (actions.shape, "f"),
        "progress": ((steps,), "f"),
        "failed": ((), "?"),
        "total_units": ((), "dfil"),
    }
    for name, (shape, kinds) in wanted.items():
        if name not in arrays:
            continue
        array = arrays[name]
        if array.shape != shape or array.dtype.char not in kinds:
            raise EpisodeFileError(
                f"{path}: expected {name} as {np.dtype(kinds[0])} of shape {shape}, got {array.dtype} of "
                f"{array.shape}; encode the recording again"
            )
        if not np.isfinite(array).all():
            raise EpisodeFileError(f"{path}: expected finite numbers, got NaN or infinity in {name}; encode it again")
    require_actions(path, actions, world)
    labels = {name.removeprefix(_LABEL): array for name, array in arrays.items() if name.startswith(_LABEL)}
    require_labels(path, labels, steps, world)


def require_same_vision(folders: Sequence[Path], world: World, vision: Path | None) -> None:
    """Refuse latents of several Vs or of another world.

    Folders that `encode` did not make do not say what made them, and pass.

    Args:
        folders: of encoded episodes.
        world: that they must be of.
        vision: the weights that must have made them; any, the same for all folders, when None.

    Raises:
        EpisodeFileError: a folder's latents are of another V or world.
    """
    wanted, by = (None, None) if vision is None else (file_sha256(vision), vision)
    for folder in folders:
        if not (folder / STAMP).exists():  # not made by `encode`
            continue
        made_of = read_object(folder / STAMP)
        if made_of.get("world", world.name) != world.name:
            raise EpisodeFileError(f"{folder}: expected latents of {world.name}, got those of {made_of['world']!r}")
        found = made_of.get("sha256")
        if wanted not in (None, found):
            raise EpisodeFileError(
                f"{folder}: expected latents made by the V of {by}, got another's; encode its episodes by that V"
            )
        wanted, by = found, by or folder
