"""The command: what it writes and where it may."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from safetensors.numpy import load

from dreamgym import cli
from dreamgym.export.command import onnx_files
from tests.support.corridor import corridor_model

onnx = pytest.importorskip("onnx")


def test_command_writes_what_its_manifest_says(toy_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "onnx"
    for _ in range(2):
        assert cli.main(["export", str(toy_bundle), "--format", "onnx", "--out", str(out)]) == 0
    told = json.loads((out / "manifest.json").read_text())
    assert {path.name for path in out.iterdir()} == {*told["files"], "manifest.json"}
    for name, wanted in told["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == wanted
    assert told["bundle"] == json.loads((toy_bundle / "card.json").read_text())["sha256"]
    starts = load((out / "starts.safetensors").read_bytes())
    assert len(starts["z"]) == sum(map(len, told["starts"].values())) == 10
    props = onnx.load(out / "step.onnx").metadata_props
    assert json.loads(props[0].value)["rewards"] == told["rewards"]


def test_another_folder_is_left_alone(toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").touch()
    assert cli.main(["export", str(toy_bundle), "--out", str(tmp_path)]) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_half_stores_weights_in_float16_and_says_so(toy_bundle: Path, tmp_path: Path) -> None:
    sizes = {}
    for weights, options in (("float32", []), ("float16", ["--half"])):
        out = tmp_path / weights
        assert cli.main(["export", str(toy_bundle), "--out", str(out), *options]) == 0
        assert json.loads((out / "manifest.json").read_text())["weights"] == weights
        sizes[weights] = (out / "decoder.onnx").stat().st_size
    assert sizes["float16"] < 0.6 * sizes["float32"]


def test_manifest_is_of_the_bundle() -> None:
    world_model = corridor_model()
    world_model.card |= {"latent_noise": 0.25, "temperature": 1.5}
    told = json.loads(onnx_files(world_model)["manifest.json"])
    names = ("world", "fps", "max_episode_steps", "temperature", "latent_noise", "proportions")
    assert [told[name] for name in names] == ["Corridor", 20, 100, 1.5, 0.25, [2.0, 1.0]]
