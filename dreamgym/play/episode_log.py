"""What was played as episodes on disk, in the format that ``dreamgym collect`` writes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dreamgym.config import PlayConfig
from dreamgym.data.episodes import Episode, episode_paths, write_episode
from dreamgym.files import claim_folder
from dreamgym.worlds.base import LabelRecorder

__all__ = ["EpisodeFolder", "EpisodeLog"]

_LEAST: Final = 20
"""Episodes of fewer steps are not worth saving."""
_MOST: Final = 3000
"""Steps kept of an episode: 37 MB."""


class EpisodeLog:
    """What an episode has shown and paid so far."""

    def __init__(self) -> None:
        self.end()

    def __len__(self) -> int:
        return max(0, len(self._frames) - 1)

    def end(self) -> None:
        """Forget the episode, and record no more of it."""
        self._seed = 0
        self._recorder: LabelRecorder | None = None
        self._frames: list[NDArray[np.uint8]] = []
        self._actions: list[NDArray[np.float32]] = []
        self._rewards: list[float] = []
        self._players: dict[str, None] = {}
        self._cut = False

    def begin(self, frame: NDArray[np.uint8], seed: int, recorder: LabelRecorder | None = None) -> None:
        """Forget what was, and begin.

        Args:
            frame: the first picture, uint8 (64, 64, 3).
            seed: of the episode.
            recorder: asks the simulator for labels, where there is one.
        """
        self.end()
        self._seed, self._recorder = seed, recorder
        self._frames.append(frame)

    def add(self, action: NDArray[np.float32], reward: float, frame: NDArray[np.uint8], player: str) -> None:
        """One step: what was executed, what it paid, and the picture after it.

        Nothing beyond 3000 steps is kept.
        """
        if not self._frames:
            return
        if len(self) >= _MOST:
            self._cut = True
            return
        self._actions.append(action)
        self._rewards.append(reward)
        self._players[player] = None
        if self._recorder is not None:
            self._recorder.step()
        self._frames.append(frame)  # last: a step that Ctrl-C interrupts does not count

    def episode(
        self, *, ended: str | None, total_units: float, world: str, versions: Mapping[str, Any]
    ) -> Episode | None:
        """The episode so far; None where it is too short to be worth saving.

        Args:
            ended: how it ended, as :data:`dreamgym.play.playable.Ending`; None where the person cut it off.
            total_units: units in a progress of 1.
            world: the world's name.
            versions: what decides how a frame looks.
        """
        if len(self) < _LEAST:
            return None
        terminated = ended in ("complete", "failed") and not self._cut
        return Episode(
            frames=np.stack(self._frames),
            actions=np.stack(self._actions[: len(self)]).astype(np.float32),
            rewards=np.array(self._rewards[: len(self)], np.float32),
            terminated=terminated,
            truncated=not terminated,
            complete=terminated and ended == "complete",
            total_units=total_units,
            seed=self._seed,
            player="+".join(self._players),
            versions=versions,
            labels=self._labels(),
            world=world,
        )

    def _labels(self) -> dict[str, NDArray[np.float32]]:
        found = {} if self._recorder is None else self._recorder.labels()
        return {name: label[: len(self) + 1] for name, label in found.items()}


class EpisodeFolder:
    """A folder of saved episodes.

    The real ones are in it, the dreams in its folder ``dreams``, which training does not read.

    Raises:
        OutputFolderError: when the folder holds something else, such as a collection, which numbers its own episodes.
    """

    def __init__(self, folder: Path, config: PlayConfig) -> None:
        self.folder = folder
        everything = tuple(entry.name for entry in dataclasses.fields(config))
        with claim_folder(folder, config, may_differ=everything):
            pass  # sessions side by side may save here: each takes the next free number

    def write(self, episode: Episode, *, dream: bool) -> Path:
        """Write an episode under the next free number."""
        folder = self.folder / "dreams" if dream else self.folder
        folder.mkdir(exist_ok=True)
        taken = [int(found[1]) for path in episode_paths(folder) if (found := re.search(r"-(\d+)\.npz$", path.name))]
        path = folder / f"episode-{max(taken, default=-1) + 1:06d}.npz"
        write_episode(path, episode)
        return path
