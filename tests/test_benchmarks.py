"""The benchmarks' arithmetic; that their figures are true is a matter of running them on a quiet machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import dreams, learning, machine, reality, report
from benchmarks.measuring import Case, Figure, alternate, rate
from dreamgym.world_model import WorldModel

ROOT = Path(__file__).parents[1]


def figure(name: str, *values: float, **fields: object) -> Figure:
    return Figure(Case(name, "env-steps/s", lambda: 0.0, **fields), values)  # type: ignore[arg-type]


@pytest.fixture
def results() -> report.Results:
    anchors = [
        figure(reality.SHIPPED, 150.0, 160.0, 170.0),
        figure(machine.roof_name("float32"), 100.0),
        figure(machine.roof_name("float32"), 200.0, threads=2),
        figure(machine.roof_name("bfloat16"), 400.0),
    ]
    core = [figure("a", 3e5, 1e5, 2e5, batch=64, flop=1e5), figure("b", 4e5, batch=64, threads=2, flop=1e5)]
    core += [figure("a", 5e5, batch=128, flop=1e5)]
    about = {"processor": "P", "cores": 2, "system": "S", "python": "3", "versions": {"torch": "1"}, "load_before": 0.0}
    suites = {"core": core, "real": [figure("exact", 480.0)]}
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


def test_median_range_ratio_and_share_of_the_roof(results: report.Results) -> None:
    core = results.suites["core"]
    assert (core[0].median, core[0].low, core[0].high) == (2e5, 1e5, 3e5)
    assert results.real_rate == 160.0
    assert results.share_of_roof(core[0]) == pytest.approx(0.2)  # 2e5 * 1e5 flop/s of 100 GFLOP/s
    assert results.share_of_roof(core[1]) == pytest.approx(0.2)
    assert results.share_of_roof(results.anchors[0]) is None
    assert results.share_of_roof(figure("c", 1e5, flop=1e5, threads=2, precision="bfloat16")) is None


def test_floating_point_operations(full_size_world_model: WorldModel) -> None:
    assert dreams.step_flop(full_size_world_model.memory) == 2 * (4 * 256 * (32 + 3 + 256 + 1) + 482 * 257)
    convolutions = 31**2 * 32 * 48 + 14**2 * 64 * 512 + 6**2 * 128 * 1024 + 2**2 * 256 * 2048
    assert learning.encode_flop(full_size_world_model.vision) == 2 * (convolutions + 2 * 32 * 1024)


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
    assert "| exact | 480 (480 – 480) env-steps/s | 3 |  |" in text
    assert "| batch | a | b |" in text
    assert "| 64 | 200,000 (100,000 – 300,000) | 400,000 (400,000 – 400,000) |" in text
    assert "| 128 | 500,000 (500,000 – 500,000) |  |" in text
    assert "Not measured: EnvPool (not installed)." in text
    report.write_json(tmp_path / "reports" / "b.json", results)
    read = json.loads((tmp_path / "reports" / "b.json").read_text(encoding="utf-8"))
    assert read["suites"]["core"][0]["values"] == [3e5, 1e5, 2e5]
    assert read["suites"]["core"][0]["share_of_roof"] == pytest.approx(0.2)
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
def test_a_quick_run_of_one_suite(full_size_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMGYM_MODELS", str(full_size_bundle))
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "core", "--out", str(tmp_path)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    read = json.loads((tmp_path / "reports" / "benchmarks.json").read_text(encoding="utf-8"))
    assert {entry["batch"] for entry in read["suites"]["core"]} == {1, 64, 512}
    assert all(value > 0 for entry in read["suites"]["core"] for value in entry["values"])
    refused = subprocess.run([*command[:3], "--only", "nothing"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "--only takes" in refused.stderr
