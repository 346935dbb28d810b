"""Reckons how collecting and evolving scale on a cluster, by simulating who waits for whom.

    python -m benchmarks.scaling

It prints tables and writes ``docs/images/scaling.svg``, which ``docs/scaling.md`` shows. The rates of one processor and
the costs of one item come from ``docs/experiments/benchmarks/``, as measured by ``python -m benchmarks`` and
``python -m benchmarks.cluster``. Everything about more processors is reckoned.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dreamgym.reporting import markdown_table

__all__ = ["FOLDER", "Costs", "Outcome", "collecting", "evolving", "measured_costs", "plot"]

FOLDER: Final = Path(__file__).parents[1] / "docs" / "experiments" / "benchmarks"
"""Of the measurements."""
_POPULATION, _ROLLOUTS, _STEPS, _GENERATIONS = 64, 16, 1000, 1800  # of the paper's CarRacing
_LENGTHS: Final = (300, 500, 1000)
"""Frames of recorded episodes, as ``dreamgym collect`` draws them."""
_FRAMES: Final = 10_000_000
_CORES: Final = (1, 2, 8, 16, 32, 64, 128, 256, 512, 1024)
_DECISIVE: Final = 0.9
"""From this share of its time on, what the driver does is the bottleneck."""
_GIGABITS: Final = (1, 10)
"""Of the networks reckoned."""


@dataclass(frozen=True)
class Costs:
    """What one worker and the driver need."""

    frames_a_second: float
    """Recorded by one worker."""
    frame_bytes: float
    """Of a recorded frame, compressed."""
    variation: float
    """Standard deviation of the time of equal items, as a share of its mean; assumed."""
    task_seconds: float
    """The driver's, for giving out an item and taking its result."""
    byte_seconds: float
    """The driver's, for each byte of a result: fetching it and writing it to disk."""
    network_bytes_a_second: float
    """Into the driver's machine; assumed, not measured."""
    latency_seconds: float
    """From giving out one short item to its result, when nothing else is done."""
    dream_steps_a_second: dict[int, float]
    """Of one worker, by the number of dreams that it steps at once."""
    update_seconds: float
    """CMA-ES's own time for a generation."""

    @property
    def result_byte_seconds(self) -> float:
        """For each byte: the network and the driver work by turns on different results, so the slower one counts."""
        return max(self.byte_seconds, 1.0 / self.network_bytes_a_second)

    def dream_seconds(self, rows: int) -> float:
        """One worker's time for episodes of ``rows`` dreams, between the batch sizes measured."""
        sizes = sorted(self.dream_steps_a_second)
        rates = [self.dream_steps_a_second[size] for size in sizes]
        return _STEPS * rows / float(np.interp(math.log(rows), np.log(sizes), rates))


@dataclass(frozen=True)
class Outcome:
    """How long a stage takes, and who is busy meanwhile."""

    seconds: float
    workers_busy: float
    """Share of the workers' time."""
    driver_busy: float
    """Share of the driver's time, fetching included."""

    @property
    def bottleneck(self) -> str:
        """What more of would help."""
        if self.driver_busy >= _DECISIVE:
            return "driver"
        return "workers" if self.workers_busy >= 0.5 else "too few items"


def collecting(costs: Costs, cores: int, frames: int = _FRAMES, seed: int = 0) -> Outcome:
    """Record frames: each worker an episode at a time, results to the driver one by one.

    As in ``dreamgym.ray_engine``, twice as many episodes as workers are under way, those included whose results wait
    for the driver.
    """
    episodes = _episodes(costs, frames, np.random.default_rng(seed))
    running: list[tuple[float, float]] = []  # when an episode ends, and the driver's time for it
    free = [0.0] * cores  # when each worker is free
    under_way, worked, handled, driver = 0, 0.0, 0.0, 0.0
    given = 0.0  # when the next episode is given out
    while True:
        while under_way < 2 * cores and (episode := next(episodes, None)) is not None:
            seconds, service = episode
            begin = max(heapq.heappop(free), given)
            heapq.heappush(free, begin + seconds)
            heapq.heappush(running, (begin + seconds, service))
            worked += seconds
            under_way += 1
        if not running:
            return Outcome(driver, worked / (cores * driver), handled / driver)
        end, service = heapq.heappop(running)
        driver = max(driver, end) + service
        handled += service
        given = driver
        under_way -= 1


def _episodes(costs: Costs, frames: int, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """A worker's and the driver's seconds for each episode."""
    done = 0
    while done < frames:
        length = int(rng.choice(_LENGTHS))
        done += length
        seconds = length / costs.frames_a_second * _jitter(rng, costs.variation)
        yield seconds, costs.task_seconds + length * costs.frame_bytes * costs.result_byte_seconds


def _jitter(rng: np.random.Generator, variation: float) -> float:
    return float(rng.lognormal(-(variation**2) / 2, variation)) if variation else 1.0


def evolving(costs: Costs, cores: int, generations: int = _GENERATIONS, seed: int = 0) -> Outcome:
    """Evolve: the candidates of each generation in as many shares as there are workers; the slowest ends it."""
    rng = np.random.default_rng(seed)
    shares = [len(share) * _ROLLOUTS for share in np.array_split(np.arange(_POPULATION), min(cores, _POPULATION))]
    total = worked = handled = 0.0
    for _ in range(generations):
        seconds = [costs.dream_seconds(rows) * _jitter(rng, costs.variation) for rows in shares]
        ends = [costs.task_seconds * (place + 1) + costs.latency_seconds + own for place, own in enumerate(seconds)]
        total += _served(ends, costs.task_seconds) + costs.update_seconds
        worked += sum(seconds)
        handled += 2 * costs.task_seconds * len(shares) + costs.update_seconds
    return Outcome(total, worked / (cores * total), handled / total)


def _served(arrivals: Sequence[float], service: float) -> float:
    """When one server has handled all arrivals."""
    now = 0.0
    for arrival in sorted(arrivals):
        now = max(now, arrival) + service
    return now


def measured_costs(network_bytes_a_second: float = 1.25e8, variation: float = 0.2) -> Costs:
    """What was measured last, with an assumed network, a gigabit a second when not given, and variation."""
    cluster = json.loads((FOLDER / "cluster.json").read_text(encoding="utf-8"))["costs"]
    suites: Any = json.loads((FOLDER / "benchmarks.json").read_text(encoding="utf-8"))["suites"]
    rates = {
        case["batch"]: float(np.median(case["values"]))
        for case in suites["core"]
        if case["name"] == "float32, 1 thread"
    }
    return Costs(
        **cluster,
        variation=variation,
        network_bytes_a_second=network_bytes_a_second,
        dream_steps_a_second=rates,
    )


def _table(costs: Costs) -> str:
    rows = []
    for cores in _CORES:
        first, second = collecting(costs, cores), evolving(costs, cores)
        rows.append([cores, *_cells(first, _FRAMES / first.seconds), *_cells(second, _GENERATIONS / second.seconds)])
    header = ["cores", "10 M frames", "frames/s", "workers busy", "bottleneck"]
    header += ["1,800 generations", "generations/s", "workers busy", "bottleneck"]
    return markdown_table(header, rows)


def _cells(outcome: Outcome, rate: float) -> list[str]:
    hours = outcome.seconds / 3600
    length = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
    return [length, f"{rate:,.2f}" if rate < 100 else f"{rate:,.0f}", f"{outcome.workers_busy:.0%}", outcome.bottleneck]


def plot(path: Path) -> None:
    """Draw rates over processors, beside those of as many times one processor."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "dreamgym"  # the same figures, the same file
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for gigabits in _GIGABITS:
        costs = measured_costs(gigabits * 1.25e8)
        rates = [_FRAMES / collecting(costs, cores).seconds for cores in _CORES]
        left.plot(_CORES, rates, "o-", markersize=3, label=f"{gigabits} Gbit/s into the driver")
    costs = measured_costs()
    generations = [_GENERATIONS / evolving(costs, cores).seconds for cores in _CORES]
    right.plot(_CORES, generations, "o-", markersize=3, label="64 candidates, 16 dreams each")
    for axes, first, title in ((left, rates[0], "frames/s recorded"), (right, generations[0], "generations/s evolved")):
        axes.plot(_CORES, [first * cores for cores in _CORES], "--", color="gray", label="proportional")
        axes.set(
            xscale="log", yscale="log", xlabel="processors", title=title, xticks=_CORES[::3], xticklabels=_CORES[::3]
        )
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    for gigabits in _GIGABITS:
        print(f"\nA network of {gigabits} Gbit/s\n\n{_table(measured_costs(gigabits * 1.25e8))}")
    plot(FOLDER.parents[1] / "images" / "scaling.svg")
