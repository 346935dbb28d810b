"""Many damaged files for each reader: ``python -m tests.fuzz --cases 100000``.

A case is decided by the seed, the reader's name and the case's number. With ``--state`` a run that was stopped goes on
where it stopped. V of the bundles is a small one here: its own would take most of the time, and is read as M is.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from dreamgym.files import write_json
from dreamgym.world_model import world_model
from tests.fuzz import readers
from tests.fuzz.readers import READERS, SENTINEL, Case

HANG_SECONDS = 120
MEMORY_LIMIT = 1 << 30
"""Bytes that a process may have."""
_MEMORY = Path("/dev/shm")


class SmallVision(nn.Module):
    """In V's place."""

    def __init__(self, latent_size: int = 32, *, folded: bool = False) -> None:
        super().__init__()
        self.latent_size, self.folded = latent_size, folded
        self.mean = nn.Linear(2, latent_size)


class CaseFailed(Exception):
    """A reader failed otherwise than by a named error."""


def try_cases(reader: str, seed: int, first: int, last: int, case: Case, folder: Path) -> int:
    """How many of the cases loaded.

    Raises:
        CaseFailed: by number.
    """
    loaded = 0
    for number in range(first, last):
        signal.alarm(HANG_SECONDS)
        try:
            loaded += case(Random(f"{seed} {reader} {number}"))
        except Exception as error:
            raise CaseFailed(f"{reader}, seed {seed}, case {number}: {type(error).__name__}: {error}") from error
    signal.alarm(0)
    if (folder / SENTINEL).exists():
        raise CaseFailed(f"{reader}, seed {seed}, cases {first} to {last - 1}: a file's code ran")
    if peak() > MEMORY_LIMIT:
        raise CaseFailed(f"{reader}, seed {seed}, cases {first} to {last - 1}: {peak()} bytes of memory")
    return loaded


def peak() -> int:
    """Bytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(reader: str, options: argparse.Namespace) -> dict[str, Any]:
    """Try a reader's cases, from where an earlier run stopped."""
    path = None if options.state is None else options.state / f"{reader}-{options.seed}.json"
    done = {"cases": options.first, "loaded": 0, "seconds": 0.0, "peak": 0}
    if path is not None and path.exists():
        done |= json.loads(path.read_text())
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as place:
        case = READERS[reader](Path(place))
        nn.Linear.reset_parameters = lambda _: None  # type: ignore[method-assign]  # half of the time
        while done["cases"] < options.cases:
            started, last = time.process_time(), min(options.cases, done["cases"] + options.step)
            done["loaded"] += try_cases(reader, options.seed, done["cases"], last, case, Path(place))
            done |= {"cases": last, "seconds": done["seconds"] + time.process_time() - started}
            done["peak"] = max(done["peak"], peak())
            if path is not None:
                write_json(path, done)
    return done


def main() -> int:
    """Print a table of what was tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--readers", nargs="+", default=list(READERS), choices=list(READERS))
    parser.add_argument("--cases", type=int, default=1000, help="number after the last case")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", type=int, default=1000, help="cases between two records of the state")
    parser.add_argument("--state", type=Path, help="folder to remember in how far a run came")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # NumPy warns of the odd numbers in damaged files
    readers.VAE = world_model.VAE = SmallVision  # type: ignore[misc,assignment]
    world_model.fold = lambda vision: vision  # type: ignore[assignment,return-value]
    if options.state is not None:
        options.state.mkdir(parents=True, exist_ok=True)
    print("| reader | cases | loaded | seconds of computing | peak MB |\n|---|---|---|---|---|", flush=True)
    for reader in options.readers:
        done = fuzz(reader, options)
        print(
            f"| {reader} | {done['cases']} | {done['loaded']} | {done['seconds']:.0f} | {done['peak'] >> 20} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
