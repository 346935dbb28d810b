from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamgym.data.latents import LatentEpisode
from dreamgym.errors import ConfigError
from dreamgym.memory import fit_termination
from dreamgym.memory.fit_termination import _dreamed as dreamed
from dreamgym.memory.fit_termination import fit_terminations, held_from
from dreamgym.memory.imagine import dream_step
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.training import save_tensors
from dreamgym.vision.vae import VAE
from dreamgym.world_model.build import assemble
from tests.conftest import make_memory

GAS, STAND = (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)


def toy_latents(actions: np.ndarray, failed: bool, latent_size: int = 4, mirrored: bool = False) -> LatentEpisode:
    shape = (len(actions) + 1, latent_size)
    mean = np.random.default_rng(len(actions)).standard_normal(shape).astype(np.float16)
    return LatentEpisode(
        path=Path("x"),
        mean=mean,
        log_variance=np.zeros(shape, np.float16),
        actions=actions.astype(np.float32),
        progress=np.zeros(len(actions), np.float32),
        failed=failed,
        total_units=250,
        mirrored=mirrored,
    )


def held(action: tuple[float, float, float], frames: int) -> np.ndarray:
    return np.tile(np.array(action, np.float32), (frames, 1))


def toy_batch(latent_size: int = 4) -> list[LatentEpisode]:
    """Those that give gas leave after 60 to 138 frames, those that stand never do."""
    leaving = [toy_latents(held(GAS, frames), True, latent_size) for frames in range(60, 140, 2)]
    return leaving + [toy_latents(held(STAND, 100), False, latent_size) for _ in range(40)]


def expected_terminations(memory: MDNRNN, action: tuple[float, float, float], frames: int = 100) -> float:
    """In a dream with one action held, the mean over 64 of them."""
    generator, z, state = torch.Generator().manual_seed(1), torch.zeros(64, 4), memory.initial_state(64)
    total = torch.zeros(64)
    for _ in range(frames):
        z, state, prediction = dream_step(memory, z, torch.tensor([action] * 64), state, 1.0, generator)
        total += torch.sigmoid(prediction.termination_logit)
    return float(total.mean())


def fitted(seed: int = 0, episodes: list[LatentEpisode] | None = None) -> MDNRNN:
    memory = make_memory(4, 16, 2, seed=3)
    fit_terminations(memory, episodes or toy_batch(), latent_noise=0.3, temperature=1.0, seed=seed)
    return memory


def test_actions_are_held_from_where_they_no_longer_change_frame_by_frame():
    steering = np.random.default_rng(0).standard_normal((40, 3))
    assert held_from(toy_latents(held(GAS, 50), False)) == 0
    assert held_from(toy_latents(np.concatenate([held(GAS, 50), held(STAND, 1), held(GAS, 50)]), False)) == 52
    assert held_from(toy_latents(np.concatenate([held(GAS, 50), held(STAND, 20), held(GAS, 50)]), False)) == 0
    assert held_from(toy_latents(np.concatenate([steering, held(STAND, 60)]), False)) == 41
    assert held_from(toy_latents(steering, False)) >= 40


def test_dreams_end_where_real_drives_of_the_same_actions_do(monkeypatch: pytest.MonkeyPatch):
    before, decayed = make_memory(4, 16, 2, seed=3), fitted()
    monkeypatch.setattr(fit_termination, "DECAY", 0.0)
    free = fitted()
    assert (
        expected_terminations(before, GAS) > 0.8 and expected_terminations(before, STAND) > 0.8
    )  # the untrained head: 1.8 % a step
    # Of the real ones that give gas, half are gone after 100 frames: a hazard that sums to 0.69 at the least.
    assert 0.5 < expected_terminations(free, GAS) < 2.0
    assert expected_terminations(free, STAND) < 0.02
    assert 0.5 < expected_terminations(decayed, GAS) < 2.0
    assert expected_terminations(decayed, STAND) < 0.05  # decay keeps the head nearer to the untrained one


def test_without_a_held_drive_that_leaves_there_is_nothing_to_fit_to():
    rng = np.random.default_rng(0)
    # They stand as well, in between, and leave: if they were dreamed, standing would seem to end dreams.
    restless = [toy_latents(rng.uniform(0.0, 0.01, (80, 3)), True) for _ in range(80)]
    with pytest.raises(ConfigError, match="same action is held"):
        fitted(episodes=restless)
    short = [toy_latents(held(GAS, 49), True)]
    with pytest.raises(ConfigError, match="same action is held"):
        fitted(episodes=[*short, toy_latents(held(STAND, 100), False)])


def test_drives_that_steer_are_dreamed_near_the_start_alone():
    rng = np.random.default_rng(0)
    steering = rng.uniform(-1.0, 1.0, (80, 3))
    assert dreamed(toy_latents(steering, False), rng) == range(50)
    assert dreamed(toy_latents(steering[:40], False), rng) == range(40)
    assert not dreamed(toy_latents(steering, False, mirrored=True), rng)
    then_held = toy_latents(np.concatenate([steering, held(GAS, 60)]), False)
    assert all(81 <= span.start < span.stop == 140 for span in (dreamed(then_held, rng) for _ in range(20)))


def test_a_few_ends_do_not_move_the_head_far(monkeypatch: pytest.MonkeyPatch):
    """Two episodes that leave among forty that do not: 16 numbers can tell their ends from all other steps."""
    trained, few = make_memory(4, 16, 2, seed=3).termination_head.weight, toy_batch()[-42:]

    def moved() -> float:
        return float((fitted(episodes=few).termination_head.weight - trained).norm())

    near = moved()
    monkeypatch.setattr(fit_termination, "DECAY", 0.0)
    assert 1.0 < near < 0.5 * moved()


def test_the_fit_repeats_and_changes_nothing_else():
    first, again, other = fitted(), fitted(), fitted(seed=1)
    untouched = make_memory(4, 16, 2, seed=3)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
        same = torch.equal(value, untouched.state_dict()[name]) and torch.equal(value, other.state_dict()[name])
        assert same != name.startswith("termination_head"), name


def test_a_bundle_can_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    memory = MDNRNN()
    save_tensors(tmp_path / "vision.safetensors", VAE().state_dict())
    save_tensors(tmp_path / "memory.safetensors", memory.state_dict())
    episodes = toy_batch(latent_size=32)
    monkeypatch.setattr("dreamgym.world_model.build.read_latents", lambda *_, **__: episodes)
    monkeypatch.setattr("dreamgym.world_model.build.is_held_out", lambda _: False)
    files = {name: tmp_path / f"{name}.safetensors" for name in ("vision", "memory")}
    sizes = {"latents": (tmp_path,), "at_start": 2, "anywhere": 2, "hard": 2}
    plain = assemble(tmp_path / "plain", **files, **sizes)
    bundle = assemble(tmp_path / "bundle", **files, **sizes, dreamed_terminations=True)
    assert bundle.card["dreamed_terminations"] and not plain.card["dreamed_terminations"]
    for name, value in bundle.memory.named_parameters():
        assert torch.equal(value, value.bfloat16().float()), name
        assert torch.equal(value, plain.memory.get_parameter(name)) != name.startswith("termination_head"), name
