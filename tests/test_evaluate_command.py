"""The command: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamgym.config import EvaluateConfig
from dreamgym.errors import ConfigError, OutputFolderError
from dreamgym.evaluate import command, evaluate_real, run
from dreamgym.evaluate.command import provenance
from dreamgym.seeds import TEST_SEEDS
from dreamgym.world_model import PACKAGED, WorldModel


@pytest.fixture
def short_drives(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Real drives of four frames, in this process; the seeds that were asked for."""
    asked: list[Any] = []

    def drive(policy: Any, seeds: Any, **options: Any) -> Any:
        asked.append((seeds, options))
        return evaluate_real(policy, seeds, **{**options, "workers": 1}, max_episode_steps=4)

    monkeypatch.setattr(command, "evaluate_real", drive)
    return asked


def test_the_command_prints_and_writes(
    toy_bundle: Path, tmp_path: Path, short_drives: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    config = EvaluateConfig(world_model=toy_bundle, episodes=2, dream_episodes=3, out=out)
    run(config)
    run(config)  # its own report may be replaced
    report = json.loads(out.read_text(encoding="utf-8"))
    assert short_drives[0][0] == TEST_SEEDS[:2]
    assert report["reality"]["episodes"] == 2
    assert report["dream"]["episodes"] == 3
    assert [drive["seed"] for drive in report["episodes"]["reality"]] == [20_000, 20_001]
    scores = [drive["score"] for drive in report["episodes"]["dream"]]
    assert report["dream"]["mean"] == pytest.approx(np.mean(scores))
    assert {"dreamgym", "torch", "gymnasium"} <= report["versions"].keys()
    assert report["world_model"]["sha256"].keys() >= {"vision.safetensors", "memory.safetensors"}
    printed = capsys.readouterr().out
    assert f"{report['reality']['mean']:.1f} ± {report['reality']['std']:.1f}" in printed
    assert "tracks 20000..20001" in printed
    assert str(out) in printed
    assert list(tmp_path.iterdir()) == [out]  # no temporary file is left


def test_a_file_that_nobody_named_keeps_the_report_of_another_driver(
    toy_bundle: Path,
    toy_world_model: WorldModel,
    tmp_path: Path,
    short_drives: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert toy_world_model.controller is not None
    monkeypatch.chdir(tmp_path)
    config = EvaluateConfig(world_model=toy_bundle, episodes=1, dream_episodes=1)
    run(config)
    before = Path("evaluation-controller.json").read_bytes()
    toy_world_model.controller.save(Path("controller.safetensors"))
    changes: list[dict[str, Any]] = [
        {"controller": Path("controller.safetensors")},
        {"episodes": 0},
        {"temperature": 0.5},
    ]
    for number, change in enumerate(changes, start=2):
        run(replace(config, **change))
        assert Path("evaluation-controller.json").read_bytes() == before
        assert sorted(tmp_path.glob("evaluation-*.json"))[-2].name == f"evaluation-controller-{number}.json"
    run(replace(config, workers=1, temperature=toy_world_model.temperature))
    assert Path("evaluation-controller.json").read_bytes() != before
    assert len(list(tmp_path.glob("evaluation-*.json"))) == len(changes) + 1


def test_the_command_takes_other_seeds_and_no_dreams(toy_bundle: Path, tmp_path: Path, short_drives: list[Any]) -> None:
    out = tmp_path / "report.json"
    config = EvaluateConfig(
        world_model=toy_bundle, episodes=1, dream_episodes=0, first_seed=7, latent="mean", exact_drawing=False, out=out
    )
    run(config)
    seeds, options = short_drives[0]
    assert (list(seeds), options["latent"], options["exact_drawing"]) == ([7], "mean", False)
    assert "dream" not in json.loads(out.read_text(encoding="utf-8"))


def test_the_command_keeps_what_is_not_its_own(toy_bundle: Path, tmp_path: Path, short_drives: list[Any]) -> None:
    for text in ("notes", '{"kind": "other"}', "[]"):
        out = tmp_path / "precious.json"
        out.write_text(text, encoding="utf-8")
        with pytest.raises(OutputFolderError, match="precious"):
            run(EvaluateConfig(world_model=toy_bundle, out=out))
        assert out.read_text(encoding="utf-8") == text
    with pytest.raises(OutputFolderError, match="folder"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path))
    with pytest.raises(OutputFolderError, match="folder"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path / "none" / "report.json"))
    assert not short_drives


@pytest.mark.parametrize(
    "wrong", [{"episodes": 101}, {"episodes": -1}, {"episodes": 0, "dream_episodes": 0}, {"first_seed": -1}]
)
def test_the_command_refuses_numbers_out_of_range(toy_bundle: Path, tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"expected|episodes"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path / "report.json", **wrong))


def test_a_report_names_no_folder_of_this_machine_for_the_package_s_own_bundle(
    toy_bundle: Path, toy_world_model: WorldModel
) -> None:
    for folder, named in ((PACKAGED, "the package"), (toy_bundle, str(toy_bundle))):
        assert provenance(EvaluateConfig(), folder, toy_world_model)["world_model"]["folder"] == named
