"""Drives as episodes on disk, in the format that ``dreamgym collect`` writes."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.config import PlayConfig, claim_folder
from dreamgym.episodes import Episode, episode_paths, write_episode
from dreamgym.real.world import recorded_versions

__all__ = ["DriveLog", "EpisodeFolder"]

_LEAST: Final = 20
"""Drives of fewer steps are not worth keeping."""
_MOST: Final = 3000
"""Steps kept of a drive: a minute, 37 MB."""


class DriveLog:
    """What a drive has shown and paid so far."""

    def __init__(self) -> None:
        self._clear(0)

    def _clear(self, seed: int) -> None:
        self.seed = seed
        self._frames: list[NDArray[np.uint8]] = []
        self._motions: list[NDArray[np.float32]] = []
        self._actions: list[NDArray[np.float32]] = []
        self._rewards: list[float] = []
        self._drivers: dict[str, None] = {}
        self._cut = False

    def __len__(self) -> int:
        return len(self._actions)

    def begin(self, frame: NDArray[np.uint8], seed: int, motion: NDArray[np.float32] | None = None) -> None:
        """Forget what was, and begin with a picture, uint8 (64, 64, 3), and how the car moves, where it is known."""
        self._clear(seed)
        self._show(frame, motion)

    def end(self) -> None:
        """Forget the drive, and record no more of it."""
        self._clear(0)

    def _show(self, frame: NDArray[np.uint8], motion: NDArray[np.float32] | None) -> None:
        self._frames.append(frame)
        if motion is not None:
            self._motions.append(motion)

    def add(
        self,
        action: NDArray[np.float32],
        reward: float,
        frame: NDArray[np.uint8],
        driver: str,
        motion: NDArray[np.float32] | None = None,
    ) -> None:
        """One step: what was done, what it paid, the picture after it, and how the car moves then.

        Nothing beyond a minute is kept.
        """
        if not self._frames:
            return
        if len(self) >= _MOST:
            self._cut = True
            return
        self._actions.append(action)
        self._rewards.append(reward)
        self._show(frame, motion)
        self._drivers[driver] = None

    def episode(self, *, ended: str | None, lap_units: int) -> Episode | None:
        """The drive as an episode; None where it is too short to be worth keeping.

        Args:
            ended: how it ended, as :data:`dreamgym.play.worlds.Ending`; None where the person cut it off.
            lap_units: units of progress in its lap.
        """
        if len(self) < _LEAST:
            return None
        terminated = ended in ("lap", "left") and not self._cut
        return Episode(
            frames=np.stack(self._frames),
            actions=np.stack(self._actions).astype(np.float32),
            rewards=np.array(self._rewards, np.float32),
            terminated=terminated,
            truncated=not terminated,
            lap_finished=terminated and ended == "lap",
            lap_units=lap_units,
            seed=self.seed,
            driver="+".join(self._drivers),
            versions=recorded_versions(),
            motion=np.stack(self._motions) if self._motions else None,
        )


class EpisodeFolder:
    """A folder of saved drives: the real ones in it, the dreams in its folder ``dreams``, where no training looks.

    Raises:
        OutputFolderError: when the folder holds something else, such as a collection, which numbers its own episodes.
    """

    def __init__(self, folder: Path, config: PlayConfig) -> None:
        self.folder = folder
        claim_folder(folder, config, may_differ=tuple(entry.name for entry in dataclasses.fields(config)))

    def keep(self, episode: Episode | None, *, dream: bool) -> None:
        """Write an episode, if there is one."""
        if episode is not None:
            self.write(episode, dream=dream)

    def write(self, episode: Episode, *, dream: bool) -> Path:
        """Write an episode under the next free number."""
        folder = self.folder / "dreams" if dream else self.folder
        folder.mkdir(exist_ok=True)
        taken = [int(found[1]) for path in episode_paths(folder) if (found := re.search(r"-(\d+)\.npz$", path.name))]
        path = folder / f"episode-{max(taken, default=-1) + 1:06d}.npz"
        write_episode(path, episode)
        return path
