"""The benchmarks' arithmetic; that their figures are true is a matter of running them on a quiet machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import flop, footprint, machine, reality, report, resident
from benchmarks.measuring import Case, Figure, Shared, alternate, rate
from dreamgym.world_model import WorldModel

ROOT = Path(__file__).parents[2]


def figure(
    name: str, *values: float, roofs: tuple[float, ...] = (), references: tuple[float, ...] = (), **fields: object
) -> Figure:
    return Figure(Case(name, "env-steps/s", lambda: 0.0, **fields), values, roofs, references)  # type: ignore[arg-type]


@pytest.fixture
def results() -> report.Results:
    anchors = [
        figure(reality.SHIPPED, 150.0, 160.0, 170.0),
        figure(machine.roof_name("float32"), 100.0),
        figure(machine.roof_name("float32"), 200.0, threads=2),
        figure(machine.roof_name("bfloat16"), 400.0),
    ]
    core = [figure("a", 3e5, 1e5, 2e5, roofs=(60.0, 50.0, 100.0), batch=64, flop=1e5)]
    core += [figure("b", 4e5, batch=64, threads=2), figure("a", 5e5, batch=128)]
    about = {"processor": "P", "cores": 2, "system": "S", "python": "3", "versions": {"torch": "1"}, "load_before": 0.0}
    suites = {"core": core, "real": [figure("exact", 480.0, 300.0, references=(160.0, 75.0))]}
    return report.Results(about, suites, anchors, {"EnvPool": "not installed"})


def test_rate_counts_until_the_time_is_up() -> None:
    now = iter([0.0, 0.4, 0.8, 1.2])
    assert rate(lambda: 3, 1.0, lambda: next(now))() == pytest.approx(9 / 1.2)
    once = iter([5.0, 7.0])
    assert rate(lambda: 10, 0.0, lambda: next(once))() == pytest.approx(5.0)


def test_cases_go_by_turns_with_their_threads(threads: Callable[[int], None]) -> None:
    threads(1)
    seen: list[tuple[str, int]] = []

    def case(name: str, count: int, warm_up: bool) -> Case:
        def measure() -> float:
            seen.append((name, torch.get_num_threads()))
            return float(len(seen))

        return Case(name, "s", measure, threads=count, warm_up=warm_up)

    first, second = alternate([case("a", 1, True), case("b", 2, False)], 2)
    assert seen == [("a", 1), ("a", 1), ("b", 2), ("a", 1), ("b", 2)]
    assert (first.values, second.values) == ((2.0, 4.0), (3.0, 5.0))
    assert torch.get_num_threads() == 1


def test_the_roof_is_measured_after_each_case_that_has_one_on_its_threads(threads: Callable[[int], None]) -> None:
    threads(1)
    seen: list[tuple[str, int]] = []

    def roof(precision: str) -> float:
        seen.append((precision, torch.get_num_threads()))
        return float(len(seen))

    def case(**fields: object) -> Case:
        return Case("a", "env-steps/s", lambda: 1e9, **fields)  # type: ignore[arg-type]

    cases = [case(flop=2.0, threads=2, precision="bfloat16"), case(), case(flop=1.0)]
    first, without, last = alternate(cases, 2, roof)
    assert seen == [("bfloat16", 2), ("float32", 1)] * 2
    assert (first.roofs, without.roofs, last.roofs) == ((1.0, 3.0), (), (2.0, 4.0))
    assert first.share_of_roof == pytest.approx((2 / 1 + 2 / 3) / 2)


def test_shared_measurements_are_taken_once_a_round() -> None:
    taken = Shared(lambda turn: (turn, 10 * turn))
    cases = [Case("", "", taken.reader(lambda each, i=i: each[i]), warm_up=False) for i in (0, 1)]  # type: ignore[misc]
    first, second = alternate(cases, 3)
    assert (first.values, second.values) == ((0, 1, 2), (0, 10, 20))


def test_median_range_ratio_and_share_of_the_roof(results: report.Results) -> None:
    core = results.suites["core"]
    assert (core[0].median, core[0].low, core[0].high) == (2e5, 1e5, 3e5)
    assert results.real_rate == 160.0
    # Of the rounds' shares, 3e5 * 1e5 flop/s of 60 GFLOP/s and so on: 0.5, 0.2, 0.2.
    assert core[0].share_of_roof == pytest.approx(0.2)
    assert core[1].share_of_roof is None
    assert results.suites["real"][0].times_reference == pytest.approx((480 / 160 + 300 / 75) / 2)
    assert core[0].times_reference is None


def test_the_roof_of_this_machine() -> None:
    cases = machine.roof_cases(0.01)
    assert {case.precision for case in cases} == {"float32", "bfloat16"}
    assert 0.0 < machine.Roof(0.01)("float32") < float("inf")


def test_floating_point_operations(full_size_world_model: WorldModel) -> None:
    vision = full_size_world_model.vision
    assert flop.step_flop(full_size_world_model.memory) == 2 * (4 * 256 * (32 + 3 + 256 + 1) + (482 + 4 * 32) * 257)
    convolutions = 31**2 * 32 * 48 + 14**2 * 64 * 512 + 6**2 * 128 * 1024 + 2**2 * 256 * 2048
    assert flop.encode_flop(vision) == 2 * (convolutions + 2 * 32 * 1024)
    transposed = 5**2 * 64 * 25 * 128 + 13**2 * 32 * 36 * 64 + 30**2 * 3 * 36 * 32
    assert flop.decode_flop(vision) == 2 * (32 * 128 * 25 + transposed)


@pytest.mark.slow
@pytest.mark.skipif(resident.source() != "VmRSS", reason="the kernel's account is Linux's")
def test_memory_is_a_process_own(full_size_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMGYM_MODELS", str(full_size_bundle))
    large = np.ones(2**27)  # 1 GiB here, which is none of the child's
    few, many = footprint.resident_with(256), footprint.resident_with(8192)
    assert few.imported < few.made < few.stepped <= few.peak < large.nbytes
    state = 4 * 2 * (32 + 256 + 1 + 3 + 256 + 1)  # [z | h | 1 | a], c and progress, before a step and after it
    spaces = 2 * 288 * (4 + 1)  # Gymnasium's bounds of the batch, and whether they are finite
    kept = state + spaces + 4 * (482 + 4 * 32)  # and what the heads give
    each = (many.stepped - few.stepped) / (8192 - 256)
    assert kept < each < 2 * kept


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (3.0, "3"), (99.94, "99.9"), (123.4, "123"), (1234.5, "1,230"), (567890.0, "568,000")],
)
def test_three_digits(value: float, text: str) -> None:
    assert report.number(value) == text


def test_page_json_and_plot(results: report.Results, tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# B\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    for _ in range(2):  # filling in again changes nothing
        report.fill_page(page, results, {"core": "The core", "real": "Reality", "left out": "?"}, ["images/x.svg"])
        text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.startswith("# B\n")
    assert text.endswith("after\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert ["exact", "390 (300 – 480) env-steps/s", "3.5", ""] in rows
    assert ["batch", "a", "b"] in rows
    assert ["64", "200,000 (100,000 – 300,000), 20 %", "400,000 (400,000 – 400,000)"] in rows
    assert ["128", "500,000 (500,000 – 500,000)", ""] in rows
    assert "Not measured: EnvPool (not installed)." in text
    report.write_json(tmp_path / "reports" / "b.json", results)
    read = json.loads((tmp_path / "reports" / "b.json").read_text(encoding="utf-8"))
    assert read["suites"]["core"][0]["values"] == [3e5, 1e5, 2e5]
    assert read["suites"]["core"][0]["share_of_roof"] == pytest.approx(0.2)
    assert read["suites"]["core"][0]["roofs_beside"] == [60.0, 50.0, 100.0]
    assert read["suites"]["real"][0]["references"] == [160.0, 75.0]
    assert "share_of_roof" not in read["suites"]["core"][1]
    report.plot_curves(tmp_path / "x.svg", results.suites["core"], "title", {"real": 160.0})
    assert (tmp_path / "x.svg").read_text(encoding="utf-8").startswith("<?xml")
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="results: begin"):
        report.fill_page(page, results, {}, [])


def test_the_docs_page_can_be_filled_in(results: report.Results, tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), encoding="utf-8")
    report.fill_page(page, results, {"real": "Reality"}, [])
    assert "### Reality" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_quick_run_of_two_suites(full_size_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMGYM_MODELS", str(full_size_bundle))
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "core", "learning", "--out", str(tmp_path)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    read = json.loads((tmp_path / "experiments/benchmarks/benchmarks.json").read_text(encoding="utf-8"))
    assert {entry["batch"] for entry in read["suites"]["core"]} == {1, 64, 512}
    assert all(value > 0 for entry in read["suites"]["core"] for value in entry["values"] + entry["roofs_beside"])
    assert all(entry["times_reference"] > 0 for entry in read["suites"]["core"])
    assert all(value > 0 for entry in read["suites"]["learning"] for value in entry["values"])


def test_a_suite_that_there_is_not_is_refused() -> None:
    from benchmarks.__main__ import Options, run

    with pytest.raises(SystemExit, match=r"--only takes .*; got nothing"):
        run(Options(only=("nothing",)))
