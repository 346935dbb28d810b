"""The bundle: what is saved is what is loaded, from where it is looked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamgym import world_model
from dreamgym.errors import BundleNotFoundError
from dreamgym.world_model import MODELS_VARIABLE, WorldModel, locate

FILES = ("vision.safetensors", "memory.safetensors", "starts.safetensors", "controller.safetensors")


def test_round_trip(toy_world_model: WorldModel, toy_bundle: Path) -> None:
    loaded = WorldModel.load(toy_bundle)
    for name, value in toy_world_model.memory.state_dict().items():
        assert torch.equal(loaded.memory.state_dict()[name], value), name
    for name, value in toy_world_model.vision.state_dict().items():
        assert torch.equal(loaded.vision.state_dict()[name], value.half().float()), name
    for name, value in vars(toy_world_model.starts).items():
        assert torch.equal(getattr(loaded.starts, name), value), name
    assert loaded.controller is not None
    assert toy_world_model.controller is not None
    np.testing.assert_array_equal(loaded.controller.parameters, toy_world_model.controller.parameters)
    assert (loaded.temperature, loaded.latent_noise, loaded.lap_units) == (1.0, 0.5, 40.0)
    assert loaded.card["world"] == "CarRacing-v3"
    assert set(loaded.card["sha256"]) == set(FILES)
    assert not any(parameter.requires_grad for parameter in loaded.memory.parameters())
    assert not loaded.vision.training


def test_saving_what_was_loaded_changes_no_byte(toy_bundle: Path, tmp_path: Path) -> None:
    WorldModel.load(toy_bundle).save(tmp_path / "again")
    for name in (*FILES, "card.json"):
        assert (tmp_path / "again" / name).read_bytes() == (toy_bundle / name).read_bytes(), name


def test_controller_may_be_absent(toy_world_model: WorldModel, tmp_path: Path) -> None:
    toy = toy_world_model
    WorldModel(toy.vision, toy.memory, toy.starts, None, toy.card).save(tmp_path / "bundle")
    loaded = WorldModel.load(tmp_path / "bundle")
    assert loaded.controller is None
    assert loaded.card["controller"] is None


def test_load_leaves_the_global_generator_alone(toy_bundle: Path) -> None:
    before = torch.get_rng_state()
    WorldModel.load(toy_bundle)
    assert torch.equal(torch.get_rng_state(), before)


def test_locate_prefers_argument_then_variable_then_package(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [shutil.copytree(toy_bundle, tmp_path / name) for name in ("variable", "package")]
    monkeypatch.setattr(world_model, "PACKAGED", others[1])
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    assert locate() == others[1]
    monkeypatch.setenv(MODELS_VARIABLE, str(others[0]))
    assert locate() == others[0]
    assert locate(toy_bundle) == toy_bundle
    assert WorldModel.load().card["world"] == "CarRacing-v3"


def test_not_found_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(BundleNotFoundError, match="elsewhere") as caught:
        WorldModel.load()
    assert MODELS_VARIABLE in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        WorldModel.load(tmp_path / "nothing_here")
