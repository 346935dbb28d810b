"""Training M, or V and M: resuming, damage, logs. A few steps of small batches; nothing is trained for real."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dreamgym.data.episodes import read_episode, write_episode
from dreamgym.data.latents import STAMP
from dreamgym.errors import BundleError, ConfigError, DivergedError, EpisodeFileError, OutputFolderError
from dreamgym.memory.train import train_memory
from dreamgym.vision.encode_dataset import encode_episodes
from dreamgym.vision.train import train_vision
from tests.support.training_runs import memory_config, same_weights, vision_config, whole_and_resumed

pytestmark = pytest.mark.usefixtures("one_thread")


def test_m_cut_off_and_resumed_is_m_to_the_bit(latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, resumed, begun = whole_and_resumed(
        train_memory, lambda run: memory_config(latents, tmp_path / run, steps=6), 5, monkeypatch
    )
    assert begun == [4, 5]
    assert same_weights(whole, resumed)
    assert not same_weights(whole, tmp_path / "cut" / "memory-000002.safetensors")


def test_a_finished_m_does_not_miss_what_it_began_with(latents: Path, tmp_path: Path):
    begun = train_memory(memory_config(latents, tmp_path / "begun", steps=1))
    config = replace(memory_config(latents, tmp_path / "m", steps=1), initial=begun)
    weights = train_memory(config)
    begun.unlink()
    assert train_memory(config) == weights


def test_m_learns_on_a_batch(latents: Path, tmp_path: Path):
    config = replace(memory_config(latents, tmp_path, steps=60), checkpoint_every=30, remember_every=15)
    train_memory(config)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first, last = (entry["held_out_reward"] for entry in entries if "held_out_reward" in entry)
    assert last < first


def test_factors_fitted_alone_change_nothing_else(latents: Path, tmp_path: Path):
    config = memory_config(latents, tmp_path / "without", steps=2)
    without = load_file(train_memory(config))
    with_them = train_memory(replace(config, out=tmp_path / "with", factor_steps=3))
    changed = {name for name, value in load_file(with_them).items() if not torch.equal(value, without[name])}
    assert changed == {"factor_head.weight", "factor_head.bias"}
    before = with_them.read_bytes()
    with_them.unlink()  # as if cut off while they were fitted
    assert train_memory(replace(config, out=tmp_path / "with", factor_steps=3)).read_bytes() == before


def test_pictures_of_dreams_are_drawn_where_v_is_given(latents: Path, vision: Path, tmp_path: Path):
    train_memory(replace(memory_config(latents, tmp_path, steps=2), vision=vision))
    assert (tmp_path / "dream-000002.png").stat().st_size > 1000


def test_a_run_is_not_gone_on_with_on_other_data(episodes: Path, latents: Path, tmp_path: Path):
    data = Path(shutil.copytree(episodes, tmp_path / "episodes"))
    weights = train_vision(vision_config(data, tmp_path / "v", steps=1))
    before = weights.read_bytes()
    shutil.copy(data / "episode-000000.npz", data / "episode-000003.npz")
    with pytest.raises(OutputFolderError, match="episodes_sha256"):
        train_vision(vision_config(data, tmp_path / "v", steps=1))
    shutil.rmtree(data)
    assert train_vision(vision_config(data, tmp_path / "v", steps=1)) == weights  # finished: it needs no data
    assert weights.read_bytes() == before
    data = Path(shutil.copytree(latents, tmp_path / "latents"))
    train_memory(memory_config(data, tmp_path / "m", steps=1))
    (data / "episode-000000.npz").unlink()
    with pytest.raises(OutputFolderError, match="latents_sha256"):
        train_memory(memory_config(data, tmp_path / "m", steps=1))


def test_recordings_without_rewards_are_refused(episodes: Path, vision: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()
    for path in episodes.iterdir():
        episode = read_episode(path)
        write_episode(tmp_path / "data" / path.name, replace(episode, rewards=np.full_like(episode.rewards, -0.1)))
    latents = encode_episodes(tmp_path / "data", vision, tmp_path / "latents")
    with pytest.raises(ConfigError, match=r"rewards other than -0\.1 a step.*all 6 are without"):
        train_memory(memory_config(latents, tmp_path / "run", steps=1))
    assert train_memory(replace(memory_config(latents, tmp_path / "unpaid", steps=1), reward_weight=0.0)).exists()


def test_too_few_ends_to_calibrate_on_are_found_out_before_the_first_step(latents: Path, tmp_path: Path):
    config = replace(memory_config(latents, tmp_path, steps=2), calibrate_terminations=True)
    with pytest.raises(ConfigError, match="held-out episodes that end by themselves"):
        train_memory(config)
    assert not list(tmp_path.glob("memory*"))
    train_memory(replace(config, calibrate_terminations=False))


def test_latents_of_another_size_are_refused(latents: Path, tmp_path: Path):
    with pytest.raises(EpisodeFileError, match=r"shape \(21, 8\), got float16 of \(21, 32\)"):
        train_memory(replace(memory_config(latents, tmp_path, steps=1), latent_size=8))


def test_a_mistyped_path_costs_no_step_and_no_folder(episodes: Path, vision: Path, latents: Path, tmp_path: Path):
    memory = memory_config(latents, tmp_path / "m", steps=2)
    with pytest.raises(BundleError, match="typo"):
        train_memory(replace(memory, vision=tmp_path / "typo.safetensors"))
    assert {path.name for path in memory.out.iterdir()} == {".lock", "config.json"}
    train_memory(replace(memory, vision=vision))
    with pytest.raises(ConfigError, match="typo: expected a folder"):
        train_vision(vision_config(tmp_path / "typo", tmp_path / "v", steps=2))
    train_vision(vision_config(episodes, tmp_path / "v", steps=2))


def test_a_folder_with_a_configuration_of_something_else_is_left_alone(latents: Path, tmp_path: Path):
    for text in ("not JSON", "[1]", '{"stage": "theirs"}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(OutputFolderError, match="choose"):
            train_memory(memory_config(latents, tmp_path, steps=2))
        assert (tmp_path / "config.json").read_text() == text
    with pytest.raises(OutputFolderError, match="is a file"):
        train_memory(memory_config(latents, tmp_path / "config.json", steps=2))


def test_a_loss_that_is_not_finite_is_said_and_no_weights_are_kept(
    episodes: Path, latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for module in ("memory", "vision"):
        monkeypatch.setattr(f"dreamgym.{module}.train.one_cycle", lambda *_: torch.nan)
    with pytest.raises(DivergedError, match=r"at step 2; .*--learning-rate"):
        train_memory(memory_config(latents, tmp_path / "m", steps=3))
    with pytest.raises(DivergedError, match=r"at step 2; .*--learning-rate"):
        train_vision(vision_config(episodes, tmp_path / "v", steps=3))
    assert not list(tmp_path.glob("?/*.safetensors"))


def test_latents_of_another_v_are_refused(latents: Path, tmp_path: Path):
    other = shutil.copytree(latents, tmp_path / "other")
    stamp = json.loads((other / STAMP).read_text())
    (other / STAMP).write_text(json.dumps({**stamp, "sha256": "0" * 64}))
    with pytest.raises(EpisodeFileError, match="got another's"):
        train_memory(replace(memory_config(latents, tmp_path / "run", steps=1), latents=(latents, other)))
