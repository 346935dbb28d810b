from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamgym.config import AssembleConfig
from dreamgym.data.latents import LatentEpisode, write_latents
from dreamgym.errors import ConfigError, OutputFolderError
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.trainee import make_memory
from dreamgym.training import save_tensors
from dreamgym.vision.vae import VAE
from dreamgym.world_model.build import assemble, hard_contexts, run, start_bank
from dreamgym.worlds.car_racing.hard_moments import HARD_MOMENTS
from tests.support.latent_episodes import LENGTH, STUCK_FROM, toy_latents
from tests.support.toy_world import TOY


def test_hard_contexts_are_of_every_kind_by_its_share_and_marked():
    contexts = [now for _, now in hard_contexts([toy_latents()], 40, HARD_MOMENTS, np.random.default_rng(0))]
    assert len(contexts) == 16 + 18 + 6
    assert all(now > STUCK_FROM + 60 for now in contexts[-6:])
    for count in range(1, 8):  # few ones too are as many as were asked for
        assert len(hard_contexts([toy_latents()], count, HARD_MOMENTS, np.random.default_rng(0))) == count
    memory = MDNRNN(4, 3, 8, 2)
    bank = start_bank(
        memory, [toy_latents()], at_start=2, anywhere=3, hard=40, latent_noise=0.3, seed=0, kinds=HARD_MOMENTS
    )
    assert bank.at_start.tolist() == [True] * 2 + [False] * 43
    assert bank.hard.tolist() == [False] * 5 + [True] * 40
    assert not bank.h[:2].any() and bank.h[2:].any(dim=1).all()


@pytest.mark.parametrize("none", ["at_start", "anywhere"])
def test_a_bank_without_a_kind_of_start_is_refused(none: str):
    sizes = {"at_start": 2, "anywhere": 3, "hard": 0, none: 0}
    with pytest.raises(ConfigError, match=f"{none}: expected a positive number, got 0"):
        start_bank(MDNRNN(4, 3, 8, 2), [toy_latents()], **sizes, latent_noise=0.0, seed=0)


def test_rewards_of_a_world_without_an_end_to_its_progress_do_not_begin_a_dream():
    sizes = {"at_start": 2, "anywhere": 3, "hard": 0, "latent_noise": 0.0, "seed": 0}
    paid = replace(toy_latents(), progress=np.full(LENGTH, -8.0, np.float32), total_units=1.0)
    assert not start_bank(MDNRNN(4, 3, 8, 2), [paid], **sizes, cap=None).progress.any()
    assert start_bank(MDNRNN(4, 3, 8, 2), [toy_latents()], **sizes).progress[2:].all()


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


def test_no_start_of_an_episode_is_mirrored():
    driven = replace(toy_latents(), mean=np.ones((LENGTH + 1, 4), np.float16))
    mirrored = replace(toy_latents(), mean=-np.ones((LENGTH + 1, 4), np.float16), mirrored=True)
    sizes = {"at_start": 20, "anywhere": 20, "hard": 0, "latent_noise": 0.0, "seed": 0}
    bank = start_bank(MDNRNN(4, 3, 8, 2), [driven, mirrored], **sizes)
    assert (bank.z[bank.at_start] == 1).all()
    assert (bank.z[~bank.at_start] == -1).any()
    with pytest.raises(ConfigError, match="as they were"):
        start_bank(MDNRNN(4, 3, 8, 2), [mirrored], **sizes)


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


def test_the_command_keeps_a_world_model_of_other_origin(parts: AssembleConfig, toy_bundle: Path):
    shutil.copytree(toy_bundle, parts.out)
    with pytest.raises(OutputFolderError, match="holds another world model"):
        run(parts)
