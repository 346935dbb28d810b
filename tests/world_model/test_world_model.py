"""The bundle: what is saved is what is loaded, from where it is looked for."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamgym.controller.linear import LinearController
from dreamgym.errors import BundleNotFoundError
from dreamgym.vision.vae import fold
from dreamgym.world_model import MODELS_VARIABLE, WorldModel, locate, location
from dreamgym.world_model.files import FORMAT_VERSION
from tests.support.bundles import save_former_bundle
from tests.support.corridor import corridor_model

FILES = ("vision.safetensors", "memory.safetensors", "starts.safetensors", "controller.safetensors")


def test_round_trip(toy_world_model: WorldModel, toy_bundle: Path) -> None:
    loaded = WorldModel.load(toy_bundle)
    for name, value in toy_world_model.memory.state_dict().items():
        assert torch.equal(loaded.memory.state_dict()[name], value), name
    for name, value in fold(toy_world_model.vision).state_dict().items():
        assert torch.equal(loaded.vision.state_dict()[name], value.half().float()), name
    for name, value in vars(toy_world_model.starts).items():
        assert torch.equal(getattr(loaded.starts, name), value.half().float() if name in "hc" else value), name
    assert loaded.controller is not None
    assert toy_world_model.controller is not None
    np.testing.assert_array_equal(loaded.controller.parameters, toy_world_model.controller.parameters)
    assert (loaded.temperature, loaded.latent_noise, loaded.rewards.unit) == (1.0, 0.5, 40.0)
    assert loaded.card["world"] == "CarRacing"
    assert set(loaded.card["sha256"]) == set(FILES)
    assert not any(parameter.requires_grad for parameter in loaded.memory.parameters())
    assert not loaded.vision.training


def test_saving_what_was_loaded_changes_no_byte(toy_bundle: Path, tmp_path: Path) -> None:
    WorldModel.load(toy_bundle).save(tmp_path / "again")
    for name in (*FILES, "card.json"):
        assert (tmp_path / "again" / name).read_bytes() == (toy_bundle / name).read_bytes(), name


@pytest.mark.parametrize("version", [3, 4])
def test_former_formats_are_read_and_saved_as_the_present_one(
    toy_world_model: WorldModel, tmp_path: Path, version: int
) -> None:
    former = WorldModel.load(save_former_bundle(toy_world_model, version, tmp_path / "former"))
    former.save(tmp_path / "bundle")
    present = WorldModel.load(tmp_path / "bundle")
    assert (former.card["format_version"], present.card["format_version"]) == (version, FORMAT_VERSION)
    z = torch.randn(5, 8)
    level = 1 / 255
    torch.testing.assert_close(former.vision.decode(z), toy_world_model.vision.decode(z), atol=level, rtol=0)
    for loaded in (former, present):
        assert loaded.vision.folded
        torch.testing.assert_close(loaded.vision.decode(z), former.vision.decode(z), atol=level, rtol=0)
        for name, value in toy_world_model.memory.state_dict().items():
            assert torch.equal(loaded.memory.state_dict()[name], value), name
        for name, value in toy_world_model.vision.state_dict().items():
            if name.startswith(("encoder", "mean", "log_variance")):
                assert torch.equal(loaded.vision.state_dict()[name], value.half().float()), name
        assert (loaded.world_name, loaded.actions, loaded.rewards, loaded.fps, loaded.max_episode_steps) == (
            (toy_world_model.world_name, toy_world_model.actions, toy_world_model.rewards, 50, 1000)
        )
    assert torch.equal(former.starts.c, toy_world_model.starts.c)
    assert torch.equal(present.starts.z, toy_world_model.starts.z)
    assert {"actions", "rewards", "fps", "max_episode_steps"} <= present.card.keys()
    assert "lap_units" not in present.card


def test_weights_that_bfloat16_holds_take_half_the_room(full_size_bundle: Path, tmp_path: Path) -> None:
    world_model = WorldModel.load(full_size_bundle)
    sizes = {path.name: path.stat().st_size for path in full_size_bundle.iterdir()}
    assert sizes["vision.safetensors"] < 2.4e6
    with torch.no_grad():
        for parameter in world_model.memory.parameters():
            parameter.copy_(parameter.bfloat16())
    world_model.save(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "memory.safetensors").stat().st_size < 0.51 * sizes["memory.safetensors"]
    for name, value in WorldModel.load(tmp_path / "bundle").memory.state_dict().items():
        assert torch.equal(value, world_model.memory.state_dict()[name]), name


def test_controller_may_be_absent(toy_world_model: WorldModel, tmp_path: Path) -> None:
    toy = toy_world_model
    WorldModel(toy.vision, toy.memory, toy.starts, None, toy.card).save(tmp_path / "bundle")
    loaded = WorldModel.load(tmp_path / "bundle")
    assert loaded.controller is None
    assert loaded.card["controller"] is None


def test_the_controller_of_a_bundle_of_any_world_can_be_read_alone(tmp_path: Path) -> None:
    world_model = corridor_model()
    size = world_model.memory.latent_size + world_model.memory.hidden_size
    parameters = np.random.default_rng(0).standard_normal(size + 1)
    world_model.controller = LinearController.from_parameters(parameters, world_model.actions.squash)
    world_model.save(tmp_path / "bundle")
    alone = LinearController.load(tmp_path / "bundle" / "controller.safetensors")
    assert alone.squash == world_model.actions.squash
    assert np.array_equal(alone.parameters, world_model.controller.parameters)


def test_load_leaves_the_global_generator_alone(toy_bundle: Path) -> None:
    before = torch.get_rng_state()
    WorldModel.load(toy_bundle)
    assert torch.equal(torch.get_rng_state(), before)


def test_locate_prefers_argument_then_variable_then_package(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [shutil.copytree(toy_bundle, tmp_path / name) for name in ("variable", "package")]
    monkeypatch.setattr(location, "PACKAGED", others[1])
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    assert locate() == others[1]
    monkeypatch.setenv(MODELS_VARIABLE, str(others[0]))
    assert locate() == others[0]
    assert locate(toy_bundle) == toy_bundle
    assert WorldModel.load().card["world"] == "CarRacing"


def test_not_found_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(BundleNotFoundError, match="elsewhere") as caught:
        WorldModel.load()
    assert MODELS_VARIABLE in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        WorldModel.load(tmp_path / "nothing_here")


def test_world_without_a_shipped_bundle_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    monkeypatch.setattr(location, "PACKAGED", tmp_path / "car_racing")
    with pytest.raises(BundleNotFoundError, match=r"^no world model of doom-take-cover is .*train all --world doom"):
        WorldModel.load(world="doom-take-cover")


def test_a_copy_has_what_was_added_and_shares_nothing(toy_world_model: WorldModel) -> None:
    original = copy.copy(toy_world_model)
    original.note = "mine"  # type: ignore[attr-defined]
    other = copy.deepcopy(original)
    assert other.note == "mine"  # type: ignore[attr-defined]
    assert other.card == original.card and other.card is not original.card
    for one, two in zip(original.memory.parameters(), other.memory.parameters(), strict=True):
        assert torch.equal(one, two) and one.data_ptr() != two.data_ptr()


def test_the_variable_is_passed_over_where_it_names_another_world(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = shutil.copytree(toy_bundle, tmp_path / "car_racing")
    monkeypatch.setattr(location, "PACKAGED", packaged)
    corridor_model().save(tmp_path / "bundle")
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "bundle"))
    assert locate() == tmp_path / "bundle"
    assert locate(world="car-racing") == packaged
    assert locate(world=WorldModel.load().card["world"]) == tmp_path / "bundle"
    monkeypatch.setenv(MODELS_VARIABLE, str(toy_bundle))
    assert locate(world="car-racing") == toy_bundle


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_that_the_variable_names_as_a_card_is_left_to_its_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "card.json")
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    with pytest.raises(BundleNotFoundError):
        locate(world="car-racing")
