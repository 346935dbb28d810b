"""The dream's rates in two source trees, in one run: ``python -m benchmarks.compare OLD_TREE [NEW_TREE]``.

Each tree has a process of its own. The two take turns, one case at a time, so that a slow minute falls on both.
A figure is the least CPU time that a step took in any turn, since other work on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

__all__ = ["CASES", "Case", "main"]


class Case(NamedTuple):
    """What is timed."""

    rows: int
    """Rows of a core; 0 for ``gym.make``."""
    fast: bool
    precision: str
    threads: int
    frames: int = 0
    """Not steps are timed but V's decoding of so many frames."""

    def __str__(self) -> str:
        if self.frames:
            return f"frames decoded, {self.frames} at once, {self.threads} thread{'s' * (self.threads > 1)}"
        what = f"core of {self.rows:,}" if self.rows else "single environment"
        return f"{what}{', fast' * self.fast}, {self.precision}, {self.threads} thread{'s' * (self.threads > 1)}"


_PRECISIONS = ("float32", "bfloat16")
CASES = [
    *(Case(n, fast, p, t) for n in (64, 1024, 16384) for fast in (True, False) for p in _PRECISIONS for t in (1, 2)),
    *(Case(0, False, p, t) for p in _PRECISIONS for t in (1, 2)),
    Case(0, True, "float32", 1),
    Case(0, True, "float32", 2),
    Case(0, False, "float32", 1, frames=1),
    Case(0, False, "float32", 1, frames=64),
]


def _single(case: Case) -> Callable[[], int]:
    import gymnasium as gym
    import numpy as np

    env = gym.make("dreamgym:DreamCarRacing-v0", fast=case.fast, precision=case.precision)
    env.reset(seed=1)
    action = np.array([0.1, 0.3, 0.0], np.float32)

    def work() -> int:
        for _ in range(200):
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return 200

    return work


def _core(case: Case) -> Callable[[], int]:
    import torch

    from dreamgym.dream.core import DreamCore
    from dreamgym.world_model import WorldModel

    options: dict[str, Any] = {"max_episode_steps": None, "precision": case.precision, "fast": case.fast}
    core = DreamCore(WorldModel.load(), case.rows, **options)
    core.reset(seeds=torch.arange(case.rows))
    actions = torch.tensor([[0.1, 0.3, 0.0]]).repeat(case.rows, 1)
    steps = max(1, 8192 // case.rows)

    def work() -> int:
        for _ in range(steps):
            core.step(actions)
        return steps * case.rows

    return work


def _decoder(case: Case) -> Callable[[], int]:
    from dreamgym.dream.rendering import decode_frames
    from dreamgym.world_model import WorldModel

    world_model = WorldModel.load()
    z = world_model.starts.z[: case.frames].contiguous()
    calls = max(1, 128 // case.frames)

    def work() -> int:
        for _ in range(calls):
            decode_frames(world_model.vision, z)
        return calls * case.frames

    return work


def _work(case: Case) -> Callable[[], int]:
    if case.frames:
        return _decoder(case)
    return _core(case) if case.rows else _single(case)


def _serve() -> None:
    """Take cases as lines of JSON; answer with env-steps or frames in a second of CPU time."""
    import torch

    works: dict[Case, Callable[[], int]] = {}
    for line in sys.stdin:
        case = Case(*json.loads(line))
        torch.set_num_threads(case.threads)
        if case not in works:
            works[case] = _work(case)
            works[case]()
        rates = []
        for _ in range(3):
            started = time.process_time()
            units = works[case]()
            rates.append(units / (time.process_time() - started))
        print(json.dumps(max(rates)), flush=True)


def _worker(tree: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree
    )


def _ask(worker: subprocess.Popen[str], case: Case) -> float:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(json.dumps(case) + "\n")
    worker.stdin.flush()
    return float(json.loads(worker.stdout.readline()))


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path, nargs="?")
    parser.add_argument("new", type=Path, nargs="?", default=Path(__file__).resolve().parents[1])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve()
        return
    cases = [case for case in CASES if arguments.only in str(case)]
    workers = [_worker(tree.resolve()) for tree in (arguments.old, arguments.new)]
    best = {case: [0.0, 0.0] for case in cases}
    for turn in range(arguments.rounds):
        for case in cases:
            for index in (0, 1) if turn % 2 == 0 else (1, 0):
                best[case][index] = max(best[case][index], _ask(workers[index], case))
    for worker in workers:
        worker.communicate()
    rows = [(str(case), old, new, new / old) for case, (old, new) in best.items()]
    print(tabulate(rows, ("case", "old", "new", "new / old"), "pipe", floatfmt=("", ",.0f", ",.0f", ".2f")))


if __name__ == "__main__":
    main()
