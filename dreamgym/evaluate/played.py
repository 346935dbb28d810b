"""Real episodes that an evaluation has played: kept beside its report until that is written, so that it can go on."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dreamgym.errors import DreamGymError, OutputFolderError
from dreamgym.evaluate.scores import EpisodeScore, score_from_json
from dreamgym.files import append_line, read_log, remove_leftovers

__all__ = ["Played", "differences", "going_on", "part_of", "tidy"]

Play = Callable[[Sequence[int], Callable[[EpisodeScore], None]], list[EpisodeScore]]
"""Plays seeds, and hands out each score as its episode ends."""


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two evaluations differ in, as text; empty where they are the same."""
    names = sorted(there.keys() | now.keys())
    changed = [name for name in names if there.get(name) != now.get(name)]
    return "; ".join(f"{name}: {there.get(name)!r} there, {now.get(name)!r} now" for name in changed)


def part_of(out: Path) -> Path:
    """The file beside a report in which episodes are kept until it is written."""
    return out.with_name(f"{out.name}.part")


def _lock_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.lock")


class Played:
    """Episodes in a file beside the report, after a line that says whose they are.

    Args:
        path: the file; see :func:`going_on`.
        subject: what tells one evaluation from another, as plain JSON values.

    Raises:
        OutputFolderError: the file's episodes are of another evaluation.
        EpisodeFileError: it is damaged.
    """

    def __init__(self, path: Path, subject: Mapping[str, Any]) -> None:
        self._path, self._subject, self._started = path, subject, time.monotonic()
        self._scores: dict[int, EpisodeScore] = {}
        self._before = 0.0
        self._begun = False
        read_log(path, self._take, "choose another --out")

    def _take(self, entry: dict[str, Any], number: int) -> None:
        if number:
            self._before = float(entry.pop("seconds"))
            score = score_from_json(entry)
            self._scores[score.seed] = score
            return
        changed = differences(entry, self._subject)
        if changed:
            raise OutputFolderError(
                f"{self._path} holds episodes of another evaluation ({changed}); choose another --out, or the same "
                "settings to go on"
            )
        self._begun = True

    @property
    def seconds(self) -> float:
        """How long it has taken, earlier runs included."""
        return self._before + time.monotonic() - self._started

    def play(self, seeds: Sequence[int], play: Play) -> list[EpisodeScore]:
        """The scores of all seeds, in their order.

        Those that are there are not played again.
        """
        missing = [seed for seed in seeds if seed not in self._scores]
        if len(missing) < len(seeds):
            print(f"going on after {len(seeds) - len(missing)} of {len(seeds)} real episodes, from {self._path}")
        if missing:
            self._scores |= {score.seed: score for score in play(missing, self._keep)}
        return [self._scores[seed] for seed in seeds]

    def _keep(self, score: EpisodeScore) -> None:
        if not self._begun:
            append_line(self._path, json.dumps(self._subject))
            self._begun = True
        append_line(self._path, json.dumps({"seconds": round(self.seconds, 1), **dataclasses.asdict(score)}))


@contextmanager
def going_on(out: Path, subject: Mapping[str, Any]) -> Iterator[Played]:
    """What was played for a report.

    The file OUT.part has it, which goes when the block has written the report.

    Raises:
        OutputFolderError: another process is at it, or its episodes are of another evaluation.
        EpisodeFileError: the file is damaged.
    """
    path = part_of(out)
    lock = FileLock(_lock_of(out))
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise OutputFolderError(
            f"{out} is being written by another process; wait for its end, or choose another --out"
        ) from error
    try:
        for file in (out, path):
            remove_leftovers(file)
        yield Played(path, subject)
        path.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # Windows keeps what is open
            Path(lock.lock_file).unlink()
        lock.release()


def tidy(out: Path, subject: Mapping[str, Any]) -> None:
    """Remove what is left where a process was killed after it had written the report.

    Episodes of another evaluation stay, and so does everything while another process is at it.
    """
    if part_of(out).exists() or _lock_of(out).exists():
        with suppress(DreamGymError), going_on(out, subject):
            pass
