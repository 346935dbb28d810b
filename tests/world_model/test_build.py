from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.config import AssembleConfig
from dreamgym.controller.linear import LinearController
from dreamgym.data.latents import STAMP, LatentEpisode, write_latents
from dreamgym.errors import ConfigError, EpisodeFileError, OutputFolderError
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.trainee import make_memory
from dreamgym.training import save_tensors
from dreamgym.vision.vae import VAE
from dreamgym.world_model.build import assemble, run
from dreamgym.worlds.base import RewardRule
from tests.support import toy_world
from tests.support.latent_episodes import LENGTH, toy_latents
from tests.support.toy_world import TOY


@pytest.mark.parametrize("failed", [False, True])
def test_where_no_recorded_episode_failed_no_dream_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: bool):
    memory, wide = MDNRNN(), np.zeros((LENGTH + 1, 32), np.float16)
    save_tensors(tmp_path / "vision.safetensors", VAE().state_dict())
    save_tensors(tmp_path / "memory.safetensors", memory.state_dict())
    episode = replace(toy_latents(), mean=wide, log_variance=wide, failed=failed)
    monkeypatch.setattr("dreamgym.world_model.build.read_latents", lambda *_, **__: [episode])
    files = {name: tmp_path / f"{name}.safetensors" for name in ("vision", "memory")}
    bundle = assemble(tmp_path / "bundle", **files, latents=(tmp_path,), at_start=2, anywhere=2, hard=0)
    logit = bundle.memory.predict(bundle.starts.h).termination_logit
    assert (logit > -20).all() if failed else (logit == -30).all()


def test_a_bundle_has_stronger_factors_and_weights_that_bfloat16_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    memory, wide = MDNRNN(), np.zeros((LENGTH + 1, 32), np.float16)
    save_tensors(tmp_path / "vision.safetensors", VAE().state_dict())
    save_tensors(tmp_path / "memory.safetensors", memory.state_dict())
    monkeypatch.setattr(
        "dreamgym.world_model.build.read_latents",
        lambda *_, **__: [replace(toy_latents(), mean=wide, log_variance=wide, failed=True)],
    )
    files = {name: tmp_path / f"{name}.safetensors" for name in ("vision", "memory")}
    bundle = assemble(
        tmp_path / "bundle", **files, latents=(tmp_path,), at_start=2, anywhere=2, hard=2, factor_gain=2.5
    )
    for name, value in bundle.memory.named_parameters():
        assert torch.equal(value, value.bfloat16().float()), name
        wanted = memory.get_parameter(name) * (2.5 if name.startswith("factor_head") else 1.0)
        torch.testing.assert_close(value, wanted, rtol=2**-8, atol=0)
    assert bundle.card["factor_gain"] == 2.5
    assert not torch.equal(bundle.memory.recurrent_weight, memory.recurrent_weight)


@pytest.fixture
def parts(tmp_path: Path) -> AssembleConfig:
    """Untrained parts of a small world, and the command's settings for them."""
    torch.manual_seed(0)
    sizes = TOY.sizes
    save_tensors(tmp_path / "vision.safetensors", VAE(sizes.latents).state_dict())
    save_tensors(tmp_path / "memory.safetensors", make_memory(TOY, sizes).state_dict())
    mean = np.zeros((LENGTH + 1, sizes.latents), np.float16)
    path = tmp_path / "latents" / "episode-000000.npz"
    path.parent.mkdir()
    actions, units = np.zeros((LENGTH, 1), np.float32), np.zeros(LENGTH, np.float32)
    write_latents(path, LatentEpisode(path, mean, mean, actions, units, True, 1.0), None, bytes(32))
    files = {name: tmp_path / f"{name}.safetensors" for name in ("vision", "memory")}
    world = "tests.support.toy_world:TOY"
    return AssembleConfig(**files, latents=(path.parent,), out=tmp_path / "world", world=world)


def test_the_command_keeps_the_world_model_that_is_there(parts: AssembleConfig, capsys: pytest.CaptureFixture[str]):
    run(parts)
    before = {path.name: (path.read_bytes(), path.stat().st_ino) for path in parts.out.iterdir()}
    parts.memory.rename(parts.memory.with_name("moved.safetensors"))
    run(replace(parts, memory=parts.memory.with_name("moved.safetensors")))  # the same weights, elsewhere
    assert "it was there: nothing was done" in capsys.readouterr().out
    for change, said in (
        ({"temperature": 0.5}, "temperature: 1.0 there, 0.5 now"),
        ({"memory": parts.vision}, "memory_sha256"),
        ({"latents": (parts.latents[0], parts.latents[0])}, "latents_sha256"),
    ):
        moved = {"memory": parts.memory.with_name("moved.safetensors")} | change
        with pytest.raises(OutputFolderError, match=f"holds another world model .*{said}"):
            run(replace(parts, **moved))
    assert {path.name: (path.read_bytes(), path.stat().st_ino) for path in parts.out.iterdir()} == before


@pytest.mark.parametrize("change", [{"rewards": RewardRule(constant=0.5, failure=-50.0)}, {"max_episode_steps": 99}])
def test_the_command_sees_that_the_world_is_described_otherwise(
    parts: AssembleConfig, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
):
    run(parts)
    monkeypatch.setattr(toy_world, "TOY", replace(TOY, **change))
    with pytest.raises(OutputFolderError, match=r"holds another world model .*description"):
        run(parts)
    card = parts.out / "card.json"
    written = json.loads(card.read_text())
    del written["assembled"]["description"]  # as older versions wrote it
    card.write_text(json.dumps(written))
    run(parts)


def test_a_controller_of_another_form_is_refused_before_anything_is_written(parts: AssembleConfig):
    features = TOY.sizes.latents + TOY.sizes.hidden_units
    for controller in (
        LinearController.zeros(5, TOY.actions.squash),
        LinearController.zeros(features, ("unit",) * len(TOY.actions.squash)),
    ):
        controller.save(parts.out.with_name("controller.safetensors"))
        with pytest.raises(ConfigError, match="it was made for another world model"):
            run(replace(parts, controller=parts.out.with_name("controller.safetensors")))
        assert not parts.out.exists()


def test_the_command_keeps_a_world_model_of_other_origin(parts: AssembleConfig, toy_bundle: Path):
    shutil.copytree(toy_bundle, parts.out)
    with pytest.raises(OutputFolderError, match="holds another world model"):
        run(parts)


def test_a_folder_that_a_file_manager_looked_into_is_empty(parts: AssembleConfig):
    parts.out.mkdir()
    (parts.out / ".DS_Store").touch()
    run(parts)
    assert (parts.out / "card.json").exists()


@pytest.mark.parametrize("name", ["notes", "notes/world", "theses"])
def test_the_command_refuses_a_place_of_other_things_before_it_works(parts: AssembleConfig, tmp_path: Path, name: str):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "theses").mkdir()
    (tmp_path / "theses" / "one.tex").touch()
    with pytest.raises(OutputFolderError, match="choose"):
        run(replace(parts, out=tmp_path / name, vision=tmp_path / "nowhere"))
    assert (tmp_path / "notes").read_text() == "mine"


def test_latents_of_another_v_are_refused(parts: AssembleConfig):
    (parts.latents[0] / STAMP).write_text(json.dumps({"sha256": "0" * 64, "world": "Corridor"}))
    with pytest.raises(EpisodeFileError, match=r"expected latents made by the V of .*, got another's"):
        run(parts)
    assert not parts.out.exists() or not (parts.out / "card.json").exists()
