"""the command as a whole: episodes recorded once, a report with its plots, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from dreamgym.config import FidelityConfig
from dreamgym.data.seeds import FIDELITY_SEEDS
from dreamgym.errors import BundleNotFoundError, ConfigError, InstallationError, OutputFolderError, TemperatureError
from dreamgym.evaluate import evaluate_dream
from dreamgym.evaluate.scores import summarize
from dreamgym.fidelity import measure, probe_policies, returns, run
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import find

CAR_RACING = find("CarRacing")


@pytest.mark.parametrize("change", [{"temperatures": (0.7, 0.0)}, {"seed": -1}, {"dream_episodes": 1}])
def test_what_cannot_be_measured_is_refused_before_an_episode(
    toy_bundle: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    config = FidelityConfig(out=tmp_path / "fidelity", world_model=toy_bundle, **change)
    with pytest.raises((ConfigError, TemperatureError)):
        measure(config, WorldModel.load(toy_bundle), CAR_RACING, probe_policies(CAR_RACING))
    assert not config.out.exists()


def test_the_whole_is_measured_and_written(
    toy_bundle: Path, toy_world_model: WorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = WorldModel.load(toy_bundle)
    assert world.controller is not None
    policies = {"controller": world.controller, "still": probe_policies(CAR_RACING)["still"]}
    out = tmp_path / "fidelity"
    config = FidelityConfig(
        out=out,
        world_model=toy_bundle,
        episodes=2,
        dream_episodes=3,
        bad_episodes=4,
        bad_dream_episodes=5,
        temperatures=(0.7, 1.0),
        workers=1,
    )
    report = measure(config, world, CAR_RACING, policies, max_episode_steps=36, horizon=5)
    assert [entry["temperature"] for entry in report["agreement"]] == [1.0, 0.7]
    assert [entry["policy"] for entry in report["bad_policies"]] == ["still"]
    assert report["open_loop"]["windows"] == 2
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    page = (out / "report.md").read_text(encoding="utf-8")
    assert f"{report['agreement'][0]['spearman']:.3f}" in page
    assert re.search(r"^\| still +\|", page, re.MULTILINE)
    assert "On 4 real seeds and in 5 dreams each, " in page
    idle = evaluate_dream(policies["still"], range(5), world_model=world, max_episode_steps=36)
    (entry,) = report["bad_policies"]
    assert entry["dream"] == summarize(idle)
    assert entry["real"]["episodes"] == 4
    driven = [json.loads(line)["seed"] for line in (out / "real.jsonl").read_text().splitlines()]
    assert driven == [*FIDELITY_SEEDS[:2], *FIDELITY_SEEDS[:2], *FIDELITY_SEEDS[2:4]]  # only still plays the last two
    for name in ("returns.png", "open_loop.png", "calibration.png", "worst_frames.png"):
        assert f"({name})" in page
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert "survival" not in report  # CarRacing's score is progress
    assert "real_lap_steps" in report["speed"]
    assert {finding["about"] for finding in report["verdict"]["findings"]} > {"V sees what matters", "M remembers"}
    monkeypatch.setattr(returns, "play_episodes", None)  # nothing is left to play
    (out / "report.md").unlink()  # as if it had been stopped before
    again = measure(config, world, CAR_RACING, policies, max_episode_steps=36, horizon=5)
    assert again["policies"] == report["policies"]
    assert again["calibration"] == report["calibration"]
    finished = (out / "report.json").stat().st_mtime_ns
    found = measure(config, world, CAR_RACING, policies, max_episode_steps=36, horizon=5)
    assert found == json.loads((out / "report.json").read_text())
    assert (out / "report.json").stat().st_mtime_ns == finished
    with pytest.raises(OutputFolderError, match="max_episode_steps: '36' there, '20' now"):
        measure(config, world, CAR_RACING, policies, max_episode_steps=20, horizon=5)


def test_what_cannot_be_measured_is_refused(toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = WorldModel.load(toy_bundle)
    world.controller = None
    world.save(tmp_path / "bare")
    with pytest.raises(BundleNotFoundError, match="controller"):
        run(FidelityConfig(out=tmp_path / "out", world_model=tmp_path / "bare"))
    for wrong in ({"episodes": 1}, {"episodes": 51}, {"bad_episodes": 51}, {"bad_dream_episodes": 1}, {"seed": 2**63}):
        with pytest.raises(ConfigError, match="expected"):
            run(FidelityConfig(out=tmp_path / "out", world_model=toy_bundle, **wrong))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputFolderError):
        run(FidelityConfig(out=tmp_path / "full", world_model=toy_bundle))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InstallationError, match="matplotlib"):
        run(FidelityConfig(out=tmp_path / "out", world_model=toy_bundle))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("world", [None, "doom-take-cover"])
def test_the_bundle_is_that_of_the_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: str | None) -> None:
    measured: list[str] = []

    def noted(config: FidelityConfig, model: WorldModel, described: World, policies: object) -> None:
        measured.extend([model.world_name, described.name])
        raise ConfigError("enough")

    monkeypatch.setattr(sys.modules["dreamgym.fidelity.command"], "measure", noted)
    with pytest.raises(ConfigError, match="enough"):
        run(FidelityConfig(out=tmp_path, world=world))
    assert measured == [find(world).name] * 2
