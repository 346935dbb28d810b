"""The dream of Take Cover at the paper's size beside ViZDoom, in one run: ``python -m benchmarks.take_cover``.

Steps per second of CPU time, on one thread, ViZDoom's engine process included; the cases take turns, and a figure is
the best of its turns, since other work on the machine only takes away from it. M has 64 latents, 512 hidden units and 5
mixtures with random weights: the rate does not depend on what it learned.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from dreamgym.dream.core import DreamCore
from dreamgym.memory.trainee import make_memory
from dreamgym.reporting import markdown_table
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import ModelSizes
from dreamgym.worlds.registry import find

_SIZES = ModelSizes(latents=64, hidden_units=512, mixtures=5, factors=0)
_REAL_STEPS = 500


def _paper_sized() -> WorldModel:
    shipped = WorldModel.load(world="doom-take-cover")
    torch.manual_seed(0)
    zeros = torch.zeros(len(shipped.starts.z), _SIZES.hidden_units)
    starts = replace(shipped.starts, h=zeros, c=zeros.clone())
    return replace(shipped, memory=make_memory(find("doom-take-cover"), _SIZES), starts=starts)


def _dream(world_model: WorldModel, rows: int, fast: bool, precision: str) -> Callable[[], float]:
    core = DreamCore(world_model, rows, precision=precision, fast=fast, max_episode_steps=None)
    core.reset(seeds=torch.arange(rows))
    actions = torch.zeros(rows, 1)
    core.step(actions)  # compiles
    steps = max(4, 10_000 // rows)

    def rate() -> float:
        started = time.process_time()
        for _ in range(steps):
            core.step(actions)
        return rows * steps / (time.process_time() - started)

    return rate


def _cpu_seconds() -> float:
    """Of this process and of ended child processes."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def _play(steps: int) -> float:
    """CPU seconds of so many steps, starting and ending the game included."""
    started = _cpu_seconds()
    env = find("doom-take-cover").make_env(continuous=False)
    env.reset(seed=1)
    for step in range(steps):
        _, _, terminated, truncated, _ = env.step(1 + step // 90 % 2)
        if terminated or truncated:
            env.reset()
    env.close()
    return _cpu_seconds() - started


def _real() -> float:
    return _REAL_STEPS / (_play(_REAL_STEPS) - _play(0))


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    world_model = _paper_sized()
    cases = {"ViZDoom, 320 x 240": _real} | {
        f"dream, {rows:,} rows, {precision}{', fast' * fast}": _dream(world_model, rows, fast, precision)
        for rows in (64, 1024)
        for precision in ("float32", "bfloat16")
        for fast in (False, True)
    }
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, rate in cases.items():
            figures[name].append(rate())
    real = max(figures["ViZDoom, 320 x 240"])
    rows = [(name, f"{max(rates):,.0f}", f"{max(rates) / real:,.0f}") for name, rates in figures.items()]
    print(markdown_table(("", "steps a CPU second", "x ViZDoom"), rows))
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
