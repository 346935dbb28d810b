from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamgym.assemble import (
    assemble,
    hard_contexts,
    moments_after_mishaps,
    moments_before_mishaps,
    moments_before_sharp_bends,
    start_bank,
)
from dreamgym.errors import ConfigError
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.training import save_tensors
from dreamgym.vision.encode import LatentEpisode
from dreamgym.vision.vae import VAE

STUCK_FROM, LENGTH = 120, 300


def drive() -> LatentEpisode:
    """A unit every fifth frame until frame 120 and none from there on; a sharp bend in frames 60 to 110."""
    frames = np.arange(LENGTH)
    motion = np.tile(np.array([1.2, 0.1, 0.0, 0.0], np.float32), (LENGTH + 1, 1))
    motion[60:110, 2] = 3.0  # rad/s
    return LatentEpisode(
        path=Path("x"),
        mean=np.zeros((LENGTH + 1, 4), np.float16),
        log_variance=np.zeros((LENGTH + 1, 4), np.float16),
        actions=np.zeros((LENGTH, 3), np.float32),
        progress=((frames % 5 == 0) & (frames < STUCK_FROM)).astype(np.float32),
        left_world=False,
        lap_units=250,
        motion=motion,
    )


def test_moments_before_a_mishap_still_make_progress_that_soon_ends():
    # The last unit is that of frame 115: from 81 on at most 3 lie more than 20 frames ahead, and until 130 the last 4
    # are no more than 30 frames ago.
    assert moments_before_mishaps(drive()) == list(range(81, 131))


def test_moments_after_a_mishap_look_back_on_nothing():
    found = moments_after_mishaps(drive())
    assert min(found) in range(STUCK_FROM + 70, STUCK_FROM + 76) and max(found) == LENGTH - 1


def test_a_sharp_bend_lies_ahead_whichever_way_it_turns():
    episode = drive()
    found = moments_before_sharp_bends(episode)
    assert found and 30 < min(found) and max(found) < 75
    assert episode.motion is not None
    mirrored = episode.motion * np.array([1, -1, -1, -1], np.float32)
    assert moments_before_sharp_bends(replace(episode, motion=mirrored)) == found
    assert not moments_before_sharp_bends(replace(episode, motion=0.5 * episode.motion))
    assert not moments_before_sharp_bends(replace(episode, motion=None))


def test_hard_contexts_are_of_every_kind_by_its_share_and_marked():
    contexts = [now for _, now in hard_contexts([drive()], 40, np.random.default_rng(0))]
    assert len(contexts) == 16 + 18 + 6
    assert all(now > STUCK_FROM + 60 for now in contexts[-6:])
    for count in range(1, 8):  # few ones too are as many as were asked for
        assert len(hard_contexts([drive()], count, np.random.default_rng(0))) == count
    memory = MDNRNN(4, 3, 8, 2)
    bank = start_bank(memory, [drive()], at_line=2, anywhere=3, hard=40, latent_noise=0.3, seed=0)
    assert bank.at_line.tolist() == [True] * 2 + [False] * 43
    assert bank.hard.tolist() == [False] * 5 + [True] * 40
    assert not bank.h[:2].any() and bank.h[2:].any(dim=1).all()


@pytest.mark.parametrize("none", ["at_line", "anywhere"])
def test_a_bank_without_a_kind_of_start_is_refused(none: str):
    sizes = {"at_line": 2, "anywhere": 3, "hard": 0, none: 0}
    with pytest.raises(ConfigError, match=f"{none}: expected a positive number, got 0"):
        start_bank(MDNRNN(4, 3, 8, 2), [drive()], **sizes, latent_noise=0.0, seed=0)


def test_no_start_at_the_line_is_mirrored():
    driven = replace(drive(), mean=np.ones((LENGTH + 1, 4), np.float16))
    mirrored = replace(drive(), mean=-np.ones((LENGTH + 1, 4), np.float16), mirrored=True)
    sizes = {"at_line": 20, "anywhere": 20, "hard": 0, "latent_noise": 0.0, "seed": 0}
    bank = start_bank(MDNRNN(4, 3, 8, 2), [driven, mirrored], **sizes)
    assert (bank.z[bank.at_line] == 1).all()
    assert (bank.z[~bank.at_line] == -1).any()
    with pytest.raises(ConfigError, match="as they were"):
        start_bank(MDNRNN(4, 3, 8, 2), [mirrored], **sizes)


def test_a_bundle_has_stronger_factors_and_weights_that_bfloat16_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    memory, wide = MDNRNN(), np.zeros((LENGTH + 1, 32), np.float16)
    save_tensors(tmp_path / "vision.safetensors", VAE().state_dict())
    save_tensors(tmp_path / "memory.safetensors", memory.state_dict())
    monkeypatch.setattr("dreamgym.assemble.read_latents", lambda *_: [replace(drive(), mean=wide, log_variance=wide)])
    files = {name: tmp_path / f"{name}.safetensors" for name in ("vision", "memory")}
    bundle = assemble(tmp_path / "bundle", **files, latents=(tmp_path,), at_line=2, anywhere=2, hard=2, factor_gain=2.5)
    for name, value in bundle.memory.named_parameters():
        assert torch.equal(value, value.bfloat16().float()), name
        wanted = memory.get_parameter(name) * (2.5 if name.startswith("factor_head") else 1.0)
        torch.testing.assert_close(value, wanted, rtol=2**-8, atol=0)
    assert bundle.card["factor_gain"] == 2.5
    assert not torch.equal(bundle.memory.recurrent_weight, memory.recurrent_weight)
