"""Work for the workers of a cluster that notes what happens in a folder, and can do harm once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Harm", "alone", "harmful", "on_nodes"]


class Harm(NamedTuple):
    """What the work does beside squaring its item."""

    folder: Path
    """Where each item that is begun leaves a file, ``ITEM-PID``."""
    seconds: float = 0.0
    """How long each item takes."""
    number: int = 0
    """A signal that the process of item 3 sends itself."""
    always: bool = False
    """Whether it does so each time, or only the first time."""


def harmful(harm: Harm) -> Callable[[int], int]:
    """From a number to its square."""

    def work(item: int) -> int:
        again = any(harm.folder.glob(f"{item}-*"))
        (harm.folder / f"{item}-{os.getpid()}").touch()
        if item == 3 and harm.number and (harm.always or not again):
            os.kill(os.getpid(), harm.number)
            time.sleep(3600 if harm.number == signal.SIGSTOP else 60)
        time.sleep(harm.seconds)
        return item * item

    return work


def alone(folder: Path) -> Callable[[int], bool]:
    """Whether no other item was worked on at the same time; from any number."""

    def work(item: int) -> bool:
        (folder / str(item)).touch()
        time.sleep(0.3)  # for another to begin
        others = len(list(folder.iterdir())) - 1
        (folder / str(item)).unlink()
        return others == 0

    return work


def on_nodes(seconds: float) -> Callable[[int], str]:
    """From anything to the id of the node that works on it."""
    import ray

    def work(_: int) -> str:
        time.sleep(seconds)
        return str(ray.get_runtime_context().get_node_id())

    return work
