"""The command ``python -m benchmarks``."""

from __future__ import annotations

import os

# Before torch is loaded: threads that spin while they wait would be measured in the figures of their neighbours.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import tyro

from benchmarks import dreams, footprint, learning, machine, precision, reality, report
from benchmarks.measuring import Case, Figure, alternate
from dreamgym.process_policy import set_process_policy

_DOCS: Final = Path(__file__).parents[1] / "docs"


class Suite(NamedTuple):
    """Cases that are measured by turns."""

    title: str
    cases: Callable[[float, bool], AbstractContextManager[list[Case]]]
    """From seconds a measurement, and whether to be quick."""
    rounds: int = 5


SUITES: Final[Mapping[str, Suite]] = {
    "real": Suite("The real environment", reality.real_cases),
    "single": Suite("The dream, one environment", dreams.single_cases),
    "core": Suite("The dream, the batched core on tensors", dreams.core_cases),
    "vector": Suite("The dream, gym.make_vec", dreams.vector_cases, 3),
    "precision": Suite("The same dream, mode by mode, 1,024 episodes a round", precision.precision_cases, 4),
    "encoding": Suite("Encoding frames", learning.encoding_cases),
    "training": Suite("Training V and M", learning.training_cases, 3),
    "learning": Suite("Learning in the dream", learning.learning_cases, 3),
    "footprint": Suite("Start and memory", footprint.footprint_cases, 3),
}


@dataclass(frozen=True)
class Options:
    """Measure, and write JSON, tables and plots."""

    only: tuple[str, ...] = ()
    """Suites: real, single, core, vector, precision, encoding, training, learning, footprint; all when not given."""
    quick: bool = False
    """One short round of fewer cases, to see that everything runs; its figures mean little, and the docs stay."""
    out: Path = _DOCS
    """The folder with ``benchmarks.md``; JSON goes into ``experiments/benchmarks/`` in it, plots into ``images/``."""
    seconds: float = 0.25
    """Of each measurement, at least."""


def run(options: Options) -> report.Results:
    """Measure the suites that were asked for."""
    unknown = set(options.only) - SUITES.keys()
    if unknown:
        raise SystemExit(f"--only takes {', '.join(SUITES)}; got {', '.join(sorted(unknown))}")
    seconds = 0.02 if options.quick else options.seconds
    about = machine.describe()
    taken: dict[str, list[Figure]] = {}
    anchors: list[list[Figure]] = []
    # A processor without bfloat16 products takes seconds for one of the whole size.
    size = 128 if options.quick else 1024
    with reality.shipped_case(seconds) as shipped:
        fixed = [shipped, *machine.roof_cases(seconds, size)]
        beside = machine.Roof(seconds / 5, size)
        for name in options.only or SUITES:
            suite = SUITES[name]
            started = time.monotonic()
            with suite.cases(seconds, options.quick) as cases:
                figures = alternate([*fixed, *cases], 1 if options.quick else suite.rounds, beside)
            anchors.append(figures[: len(fixed)])
            taken[name] = [_compared(figure, figures[0]) for figure in figures[len(fixed) :]]
            _show(suite.title, taken[name], time.monotonic() - started)
    missing = {**reality.missing(), **dreams.missing(), **learning.missing(), **footprint.missing()}
    return report.Results(about, taken, list(_pooled(anchors)), missing)


def _compared(figure: Figure, real: Figure) -> Figure:
    """With the real environment's rate in the same rounds, if it is a rate as well."""
    return replace(figure, references=real.values) if figure.case.unit == real.case.unit else figure


def _pooled(anchors: Sequence[Sequence[Figure]]) -> Iterator[Figure]:
    """What was measured with every suite, all rounds together."""
    for same in zip(*anchors, strict=True):
        yield Figure(same[0].case, tuple(value for figure in same for value in figure.values))


def _show(title: str, figures: Sequence[Figure], seconds: float) -> None:
    print(f"{title} ({seconds:.0f} s)")
    for figure in figures:
        batch = "" if figure.case.batch is None else f", batch {figure.case.batch}"
        spread = " – ".join(map(report.number, (figure.low, figure.high)))
        share = "" if figure.share_of_roof is None else f", {figure.share_of_roof:.0%} of the roof"
        times = "" if figure.times_reference is None else f", {report.number(figure.times_reference)} x CarRacing-v3"
        value = f"{report.number(figure.median)} ({spread}) {figure.case.unit}"
        print(f"  {figure.case.name}{batch}: {value}{times}{share}", flush=True)


def write(options: Options, results: report.Results) -> None:
    """JSON always; the docs' tables and plots only from a whole, unhurried run."""
    report.write_json(options.out / "experiments" / "benchmarks" / "benchmarks.json", results)
    reference = {"CarRacing-v3, one process": results.real_rate}
    images = []
    for name in ("core", "vector"):
        if name in results.suites:
            images.append(f"images/benchmarks-{name}.svg")
            report.plot_curves(options.out / images[-1], results.suites[name], SUITES[name].title, reference)
    page = options.out / "benchmarks.md"
    if page.exists():
        report.fill_page(page, results, {name: suite.title for name, suite in SUITES.items()}, images)


def main() -> None:
    """Measure and write."""
    options = tyro.cli(Options, description=__doc__)
    results = run(options)
    whole = not options.quick and not options.only
    if whole or options.out != _DOCS:
        with contextlib.suppress(BrokenPipeError):
            print(f"written into {options.out}")
        write(options, results)


if __name__ == "__main__":
    set_process_policy()  # training is measured as the commands run it
    main()
