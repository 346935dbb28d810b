"""How a figure is taken: cases by turns, several rounds of them, the median beside the lowest and the highest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

__all__ = ["Case", "Figure", "Shared", "alternate", "rate", "torch_threads"]

T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """One figure to be measured."""

    name: str
    """What is measured; with ``batch``, the name of the curve."""
    unit: str
    measure: Callable[[], float]
    """Takes one measurement and returns it, in ``unit``."""
    batch: int | None = None
    """Rows at once, where a figure is one of a curve over batch sizes."""
    threads: int = 1
    flop: float = 0.0
    """Floating-point operations of matrix products for each unit of work; 0 where the roof means nothing."""
    precision: str = "float32"
    """Of the products, hence of the roof."""
    warm_up: bool = True
    """Whether a measurement is thrown away first."""


@dataclass(frozen=True)
class Figure:
    """What came of a case."""

    case: Case
    values: tuple[float, ...]
    """One a round."""
    roofs: tuple[float, ...] = ()
    """GFLOP/s that the machine's products reached right after each of them; none where the roof means nothing."""
    references: tuple[float, ...] = ()
    """What it is compared with, in the same unit, as measured in the same rounds; none where nothing is."""

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The lowest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest."""
        return max(self.values)

    @property
    def share_of_roof(self) -> float | None:
        """How much of the roof's arithmetic the case's products amount to, in [0, 1]: the median of the rounds' shares.

        Round by round, since the machine's clock varies by more than the shares do. None without a roof.
        """
        if not self.roofs:
            return None
        shares = (1e-9 * self.case.flop * value / roof for value, roof in zip(self.values, self.roofs, strict=True))
        return statistics.median(shares)

    @property
    def times_reference(self) -> float | None:
        """How many times the reference it is: the median of the rounds' ratios, for the same reason. None without."""
        if not self.references:
            return None
        return statistics.median(value / other for value, other in zip(self.values, self.references, strict=True))


class Shared(Generic[T]):
    """A measurement of many figures at once: taken once a round, and each case of the round reads its own.

    Args:
        take: the measurement, from the number of the round.
    """

    def __init__(self, take: Callable[[int], T]) -> None:
        self._take = take
        self._taken: list[T] = []

    def reader(self, read: Callable[[T], float]) -> Callable[[], float]:
        """A case's measurement; the case must not be warmed up, lest it be a round ahead of the others."""
        turn = -1

        def measure() -> float:
            nonlocal turn
            turn += 1
            if len(self._taken) == turn:
                self._taken.append(self._take(turn))
            return read(self._taken[turn])

        return measure


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run torch on so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rate(
    work: Callable[[], int], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """A measurement of units of work a second.

    Args:
        work: does some work and returns how many units it was.
        seconds: how long to repeat it at least; it is done once in any case.
        clock: the time, in seconds.
    """

    def measure() -> float:
        units, started = 0, clock()
        while True:
            units += work()
            elapsed = clock() - started
            if elapsed >= seconds:
                return units / elapsed

    return measure


def alternate(cases: Sequence[Case], rounds: int, roof: Callable[[str], float] | None = None) -> list[Figure]:
    """Measure every case once, then every case again, and so on, so that a slow minute falls on all of them.

    Args:
        cases: in order.
        rounds: measurements of each, those to warm up not counted.
        roof: GFLOP/s of products in a precision, measured after each case that has ``flop``, on as many threads.
    """
    values: list[list[float]] = [[] for _ in cases]
    roofs: list[list[float]] = [[] for _ in cases]
    for turn in range(-1, rounds):
        for case, taken, beside in zip(cases, values, roofs, strict=True):
            if turn < 0 and not case.warm_up:
                continue
            with torch_threads(case.threads):
                value = case.measure()
                if turn >= 0 and roof is not None and case.flop:
                    beside.append(roof(case.precision))
            if turn >= 0:
                taken.append(value)
    return [Figure(case, tuple(taken), tuple(beside)) for case, taken, beside in zip(cases, values, roofs, strict=True)]
