"""Training V and M: resuming, damage, logs. A few steps of small batches; nothing is trained for real."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dreamgym.config import MemoryConfig, VisionConfig
from dreamgym.data.episodes import Episode, read_arrays, read_episode, write_arrays, write_episode
from dreamgym.data.latents import LatentEpisode, read_latents
from dreamgym.errors import BundleError, ConfigError, DivergedError, EpisodeFileError, OutputFolderError
from dreamgym.files import file_sha256
from dreamgym.memory.input_noise import with_input_noise
from dreamgym.memory.losses import memory_loss
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.sequences import SequenceSampler, known_progress
from dreamgym.memory.train import train_memory
from dreamgym.memory.trainee import Trainee
from dreamgym.training import one_cycle
from dreamgym.vision.encode_dataset import encode_episodes
from dreamgym.vision.train import train_vision
from dreamgym.worlds.base import ActionSet, Labels, ModelSizes, RewardRule
from dreamgym.worlds.registry import find


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("episodes")
    rng = np.random.default_rng(0)
    for index in range(3):
        length = 20 + 10 * index
        episode = Episode(
            frames=rng.integers(0, 256, (length + 1, 64, 64, 3), dtype=np.uint8),
            actions=rng.random((length, 3), np.float32),
            rewards=np.where(rng.random(length) < 0.3, 3.9, -0.1).astype(np.float32),
            terminated=index < 2,
            truncated=index == 2,
            complete=index == 1,
            total_units=250,
            seed=1_000_000 + index,
            player="test",
        )
        write_episode(folder / f"episode-{index:06d}.npz", episode)
    return folder


@pytest.fixture(scope="module")
def vision(episodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_vision(vision_config(episodes, tmp_path_factory.mktemp("vision") / "run", steps=1))


@pytest.fixture(scope="module")
def latents(episodes: Path, vision: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode_episodes(episodes, vision, tmp_path_factory.mktemp("latents"))


def test_a_finished_lap_is_not_the_world_left(latents: Path):
    left = [episode.failed for episode in read_latents(latents)]
    assert left == [True, True, False, False, False, False]  # each as it was driven, and mirrored


def vision_config(episodes: Path, out: Path, *, steps: int) -> VisionConfig:
    return VisionConfig(episodes=(episodes,), out=out, steps=steps, batch_size=4, checkpoint_every=2)


def memory_config(latents: Path, out: Path, *, steps: int) -> MemoryConfig:
    small = {"batch_size": 4, "sequence_length": 12, "checkpoint_every": 2, "remember_every": 1, "input_noise": 0.5}
    return MemoryConfig(latents=(latents,), out=out, steps=steps, **small)  # type: ignore[arg-type]


class Cut(Exception):
    pass


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def cut_at(monkeypatch: pytest.MonkeyPatch, module: str, step: int | None) -> list[int]:
    """Die in the given step, as a killed run does: after the last checkpoint, before the next.

    Returns:
        The steps begun, as they come.
    """
    begun = []

    def dying(number: int, steps: int, peak: float) -> float:
        begun.append(number)
        if number == step:
            raise Cut
        return one_cycle(number, steps, peak)

    monkeypatch.setattr(f"dreamgym.{module}.train.one_cycle", dying)
    return begun


def whole_and_resumed(
    train: Callable[[Any], Path], configured: Callable[[str], Any], step: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path, list[int]]:
    """Weights of a run, those of one that was cut off at a step and resumed, and the steps of the latter part."""
    module = train.__module__.split(".")[1]
    whole = train(configured("whole"))
    with monkeypatch.context() as patch:
        cut_at(patch, module, step)
        with pytest.raises(Cut):
            train(configured("cut"))
    begun = cut_at(monkeypatch, module, None)
    return whole, train(configured("cut")), begun


def test_v_cut_off_and_resumed_is_v_to_the_bit(episodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, resumed, begun = whole_and_resumed(
        train_vision, lambda run: vision_config(episodes, tmp_path / run, steps=4), 3, monkeypatch
    )
    assert begun == [2, 3]
    assert same_weights(whole, resumed)
    logs = [(tmp_path / run / "log.jsonl").read_text() for run in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert list((tmp_path / "cut").glob("reconstructions-*.png"))


def test_m_cut_off_and_resumed_is_m_to_the_bit(latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, resumed, begun = whole_and_resumed(
        train_memory, lambda run: memory_config(latents, tmp_path / run, steps=6), 5, monkeypatch
    )
    assert begun == [4, 5]
    assert same_weights(whole, resumed)
    assert not same_weights(whole, tmp_path / "cut" / "memory-000002.safetensors")


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


def test_another_configuration_is_refused_and_the_run_left_alone(episodes: Path, tmp_path: Path):
    weights = train_vision(vision_config(episodes, tmp_path, steps=1))
    before = weights.read_bytes()
    with pytest.raises(OutputFolderError, match="steps: 1 there, 2 now"):
        train_vision(vision_config(episodes, tmp_path, steps=2))
    assert weights.read_bytes() == before


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


@pytest.mark.parametrize(
    "change",
    [
        {"frames": np.zeros((11, 64, 64, 3), np.float32)},
        {"frames": np.zeros((11, 96, 96, 3), np.uint8)},
        {"frames": np.zeros((11, 3, 64, 64), np.uint8)},
        {"actions": np.full((10, 3), np.nan, np.float32)},
        {"world": "Corridor"},
    ],
)
def test_frames_of_other_kinds_are_refused_before_training(episodes: Path, tmp_path: Path, change: dict[str, Any]):
    recorded = read_episode(episodes / "episode-000000.npz")
    short = replace(recorded, frames=recorded.frames[:11], actions=recorded.actions[:10], rewards=recorded.rewards[:10])
    (tmp_path / "data").mkdir()
    write_episode(tmp_path / "data" / "episode-000007.npz", replace(short, **change))
    with pytest.raises(EpisodeFileError, match=r"episode-000007\.npz: expected"):
        train_vision(vision_config(tmp_path / "data", tmp_path / "run", steps=1))


def test_recordings_without_rewards_are_refused(episodes: Path, vision: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()
    for path in episodes.iterdir():
        episode = read_episode(path)
        write_episode(tmp_path / "data" / path.name, replace(episode, rewards=np.full_like(episode.rewards, -0.1)))
    latents = encode_episodes(tmp_path / "data", vision, tmp_path / "latents")
    with pytest.raises(ConfigError, match=r"rewards other than -0\.1 a step.*all 6 are without"):
        train_memory(memory_config(latents, tmp_path / "run", steps=1))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mean", lambda a: a[:, :7], r"log_variance as float16 of shape \(21, 7\), got float16 of \(21, 32\)"),
        ("log_variance", lambda a: a.astype(np.float32), "got float32"),
        ("progress", lambda a: a * np.nan, "NaN or infinity in progress"),
        ("actions", lambda a: a + 3, "expected actions of CarRacing within"),
        ("actions", lambda a: a[:-1], r"mean as float16 of shape \(20, 32\)"),
        ("failed", lambda a: np.array([a, a]), "failed as bool"),
        ("mirrored_mean", lambda a: a[:3], "mirrored_mean"),
    ],
)
def test_damaged_latents_are_refused_by_name(
    latents: Path, tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
):
    path = latents / "episode-000000.npz"
    arrays = read_arrays(path)
    write_arrays(tmp_path / path.name, {**arrays, name: change(arrays[name])})
    with pytest.raises(EpisodeFileError, match=message):
        read_latents(tmp_path)


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


def test_a_damaged_checkpoint_is_refused_by_name(episodes: Path, tmp_path: Path):
    weights = train_vision(vision_config(episodes, tmp_path, steps=2))
    weights.unlink()
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(BundleError, match=r"checkpoint\.safetensors: expected a safetensors file"):
        train_vision(vision_config(episodes, tmp_path, steps=2))


def test_no_episodes_is_said(tmp_path: Path):
    with pytest.raises(ConfigError, match="found none"):
        train_vision(vision_config(tmp_path, tmp_path / "run", steps=1))


def test_a_missing_folder_among_those_of_v_is_named(episodes: Path, tmp_path: Path):
    config = replace(vision_config(episodes, tmp_path / "run", steps=1), episodes=(episodes, tmp_path / "nosuchfolder"))
    with pytest.raises(ConfigError, match="nosuchfolder"):
        train_vision(config)


def test_latents_of_another_v_are_not_mixed_in(episodes: Path, vision: Path, latents: Path, tmp_path: Path):
    other = train_vision(replace(vision_config(episodes, tmp_path / "v", steps=1), seed=1))
    with pytest.raises(OutputFolderError, match="another V"):
        encode_episodes(episodes, other, latents)
    with pytest.raises(OutputFolderError, match=r"holds other latents \(world: 'CarRacing' there, 'Elsewhere' now\)"):
        encode_episodes(episodes, vision, latents, world=replace(find(), name="Elsewhere"))
    assert len(read_latents(latents)) == 6


def test_latents_remember_what_they_were_made_of(episodes: Path, vision: Path, tmp_path: Path):
    out = tmp_path / "latents"
    encode_episodes(episodes, vision, out)
    record = json.loads((out / "vision.json").read_text())
    assert (record["world"], record["latent_size"]) == ("CarRacing", find().sizes.latents)
    assert record["sha256"] == file_sha256(vision) and record["preprocess_version"] == find().preprocess.version
    fewer = tmp_path / "fewer"
    shutil.copytree(episodes, fewer)
    next(fewer.glob("episode-*.npz")).unlink()
    encode_episodes(fewer, vision, tmp_path / "others")
    assert (
        record["recordings_sha256"]
        != json.loads((tmp_path / "others" / "vision.json").read_text())["recordings_sha256"]
    )
    (out / "vision.json").write_text(json.dumps({"sha256": record["sha256"]}))  # as older versions wrote it
    encode_episodes(episodes, vision, out)
    assert json.loads((out / "vision.json").read_text()) == record
    (out / "vision.json").write_text("[")
    with pytest.raises(OutputFolderError, match="does not say what made the latents"):
        encode_episodes(episodes, vision, out)


def test_only_recordings_that_changed_are_encoded_again(episodes: Path, vision: Path, tmp_path: Path):
    folder, out = tmp_path / "episodes", tmp_path / "latents"
    shutil.copytree(episodes, folder)
    encode_episodes(folder, vision, out)
    names = [f"episode-{index:06d}.npz" for index in range(3)]
    before = (out / names[0]).stat().st_ino
    mended = read_episode(folder / names[1])
    write_episode(folder / names[1], replace(mended, actions=mended.actions / 2))
    (out / names[2]).write_bytes(b"")
    encode_episodes(folder, vision, out)
    assert np.array_equal(read_latents(out)[2].actions, mended.actions / 2)
    assert (out / names[0]).stat().st_ino == before
    assert len(read_latents(out)) == 6


def test_a_mirrored_drive_is_the_drive_of_mirrored_frames(vision: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    frames, actions = rng.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8), rng.random((5, 3), np.float32)
    motion = rng.random((6, 4), np.float32)
    labels = {"motion": motion, "missed": np.array([0, 0, 3, 0, np.nan], np.float32)}
    drive = Episode(frames, actions, np.zeros(5, np.float32), False, True, False, 250, 1_000_000, "test", {}, labels)
    factors = np.array([-1, 1, 1], np.float32), np.array([1, -1, -1, -1], np.float32)
    mirrored_labels = {**labels, "motion": motion * factors[1]}
    other = replace(drive, frames=frames[:, :, ::-1].copy(), actions=actions * factors[0], labels=mirrored_labels)
    for name, episode in (("a", drive), ("b", other)):
        (tmp_path / name).mkdir()
        write_episode(tmp_path / name / "episode-000000.npz", episode)
        encode_episodes(tmp_path / name, vision, tmp_path / f"latents-{name}")
    (driven, mirrored), (again, back) = (read_latents(tmp_path / f"latents-{name}") for name in "ab")
    for one, two in ((driven, back), (mirrored, again)):
        for name in ("mean", "log_variance", "actions", "progress"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        for name in ("motion", "missed"):
            np.testing.assert_array_equal(one.labels[name], two.labels[name])
    assert [each.mirrored for each in (driven, mirrored)] == [False, True]


def trainee() -> Trainee:
    return Trainee(find(), ModelSizes(latents=2, hidden_units=4))


def toy_episode(length: int, offset: float) -> LatentEpisode:
    steps = np.arange(length + 1, dtype=np.float32)
    return LatentEpisode(
        path=Path("x"),
        mean=np.stack([np.full(length + 1, offset), steps], axis=1).astype(np.float16) / 64,
        log_variance=np.full((length + 1, 2), -np.inf, np.float16),
        actions=np.repeat(steps[:-1, None], 3, axis=1),
        progress=steps[:-1],
        failed=True,
        total_units=250,
    )


def test_sequences_line_up_and_padding_is_masked():
    sampler = SequenceSampler([toy_episode(5, 0.0), toy_episode(30, 1.0)], 10, start_share=0.3)
    batch = sampler.sample(np.random.default_rng(0), 64, torch.device("cpu"))
    step = batch.z[..., 1] * 64
    inside = batch.mask.bool()
    assert torch.equal(batch.action[..., 0][inside], step[inside])
    assert torch.equal((batch.next_z[..., 1] * 64)[inside], step[inside] + 1)
    assert torch.equal(batch.next_z[:, :-1], batch.z[:, 1:])
    short = batch.z[:, 0, 0] == 0
    assert short.any() and (batch.mask[short].sum(dim=1) == 5).all() and (batch.mask[~short] == 1).all()
    length = torch.where(short, 5.0, 30.0)[:, None]
    assert torch.equal(batch.failed[inside].bool(), (step == length - 1)[inside])


def test_recent_episodes_are_drawn_as_often_as_asked():
    sampler = SequenceSampler([toy_episode(100, 0.0), toy_episode(10, 1.0)], 5, recent_from=1, recent_share=0.5)
    batch = sampler.sample(np.random.default_rng(0), 400, torch.device("cpu"))
    share = (batch.z[:, 0, 0] > 0).float().mean().item()
    assert 0.5 <= share < 0.6  # half of them, and the recent one's part of the other half


def test_remembered_states_are_those_of_a_run_from_the_first_frame():
    torch.manual_seed(0)
    model = MDNRNN(latent_size=2, hidden_size=4)
    episodes = [toy_episode(100, 0.0), toy_episode(70, 1.0)]
    sampler = SequenceSampler(episodes, 10, start_share=0.0, fresh_share=0.25)
    sampler.remember(model, np.random.default_rng(0), torch.device("cpu"))
    batch = sampler.sample(np.random.default_rng(1), 200, torch.device("cpu"))
    assert batch.state is not None
    begin = (batch.z[:, 0, 1] * 64).int()
    assert (begin % 32 == 0).all() and (begin > 0).any()
    fresh = (batch.state.h == 0).all(dim=1)
    assert 0.1 < fresh[begin > 0].float().mean() < 0.45
    for row in torch.nonzero(~fresh)[:20].flatten().tolist():
        episode = episodes[int(batch.z[row, 0, 0] > 0)]
        z, action = torch.from_numpy(episode.mean.astype(np.float32)), torch.from_numpy(episode.actions)
        _, state = model(z[None, : begin[row]], action[None, : begin[row]])
        torch.testing.assert_close(batch.state.h[row], state.h[0], atol=0.02, rtol=0)  # kept in half precision


@pytest.mark.parametrize("length", [5, 40, 100, 127, 128, 129, 200])
def test_sequences_reach_the_last_step_of_every_episode(length: int) -> None:
    # It is the only one that can leave the world. Rounding starts down to remembered states once hid the last 31.
    sampler = SequenceSampler([toy_episode(length, 0.0)], 40, start_share=0.0)
    sampler.remember(MDNRNN(latent_size=2, hidden_size=4), np.random.default_rng(0), torch.device("cpu"))
    batch = sampler.sample(np.random.default_rng(1), 500, torch.device("cpu"))
    seen = (batch.z[..., 1] * 64).int()[batch.mask.bool()].unique()
    assert seen.tolist() == list(range(length))
    assert batch.failed.any()


def test_the_last_step_is_drawn_as_often_as_others() -> None:
    # It is where episodes fail: were it in fewer sequences, M would expect too few failures.
    sampler = SequenceSampler([toy_episode(640, 0.0)], 64, start_share=0.0)
    sampler.remember(MDNRNN(latent_size=2, hidden_size=4), np.random.default_rng(0), torch.device("cpu"))
    batch = sampler.sample(np.random.default_rng(1), 4000, torch.device("cpu"))
    step = (batch.z[..., 1] * 64).round().int()[batch.mask.bool()]
    drawn = torch.bincount(step, minlength=640).float()
    assert drawn[-1] == pytest.approx(drawn[64:576].mean().item(), rel=0.15)


def test_noise_is_on_what_m_reads_and_not_on_what_it_predicts():
    sampler = SequenceSampler([toy_episode(100, 0.0)], 90, start_share=0.0)
    batch = sampler.sample(np.random.default_rng(0), 1000, torch.device("cpu"))
    noisy, again = (with_input_noise(batch, 0.6, np.random.default_rng(1)) for _ in range(2))
    assert torch.equal(noisy.z, again.z)
    assert all(one is other for one, other in zip(noisy[1:], batch[1:], strict=True))
    noise = noisy.z - batch.z
    strength = noise.square().mean(dim=(1, 2)).sqrt()
    assert strength.min() < 0.05
    assert float(noise.square().mean().sqrt()) == pytest.approx(0.6 / 3**0.5, abs=0.02)  # of a uniform strength
    assert float(noise[:, 0].std()) == pytest.approx(float(noise[:, -1].std()), rel=0.1)  # stationary


def test_half_of_the_noise_lasts_up_to_fifty_frames():
    sampler = SequenceSampler([toy_episode(100, 0.0)], 90, start_share=0.0)
    batch = sampler.sample(np.random.default_rng(0), 1000, torch.device("cpu"))
    noise = (with_input_noise(batch, 0.6, np.random.default_rng(1)).z - batch.z).double()
    kept = (noise[:, 1:] * noise[:, :-1]).sum(dim=(1, 2)) / noise.square().sum(dim=(1, 2))
    assert float((kept.abs() < 0.25).float().mean()) == pytest.approx(0.5 + 0.5 * math.log(4 / 3, 50), abs=0.05)
    assert float((kept > 0.9).float().mean()) == pytest.approx(0.5 * math.log(5, 50), abs=0.08)
    assert kept.max() < 1.0


def test_a_second_lap_asks_for_no_progress():
    progress, rule = np.array([4, 0, 5, 0, 0, 0], np.float32), find().rewards
    np.testing.assert_array_equal(known_progress(progress, 10, rule), [4, 0, 5, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(known_progress(progress, 11, rule), progress)  # stuck, not lapping
    np.testing.assert_array_equal(known_progress(progress, 10, replace(rule, cap=None)), progress)
    model = trainee()
    head = model.memory.reward_head
    assert head is not None
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    episode = replace(toy_episode(6, 0.0), progress=progress, total_units=10)
    batch = SequenceSampler([episode], 6).sample(np.random.default_rng(0), 1, torch.device("cpu"))
    rate = math.log(2.0)  # softplus of 0
    expected = (3 * rate - 9 * math.log(rate + 1e-6)) / 6
    loss = memory_loss(model, batch).reward
    assert loss.item() == pytest.approx(expected, rel=1e-3)
    loss.backward()
    assert torch.isfinite(head.weight.grad).all()


def test_labels_are_of_the_frame_after_the_step_and_unknown_where_not_recorded():
    steps = np.arange(31, dtype=np.float32)
    known = replace(toy_episode(30, 1.0), labels={"motion": np.repeat(steps[:, None], 4, axis=1)})
    sampler = SequenceSampler([toy_episode(30, 0.0), known], 10, start_share=0.0)
    batch = sampler.sample(np.random.default_rng(0), 64, torch.device("cpu"))
    motion, has = batch.labels["motion"], batch.z[:, 0, 0] > 0
    assert has.any() and torch.isnan(motion[~has]).all()
    assert torch.equal(motion[has][..., 2], (batch.next_z[..., 1] * 64)[has])
    model = trainee()
    torch.nn.init.zeros_(model.label_heads[0].weight)
    torch.nn.init.zeros_(model.label_heads[0].bias)
    mask = batch.mask[has].bool()
    expected = motion[has].square().mean(dim=-1)[mask].mean()
    torch.testing.assert_close(memory_loss(model, batch).auxiliaries["motion"], expected)
    unknown = SequenceSampler([toy_episode(30, 0.0)], 10).sample(np.random.default_rng(0), 4, torch.device("cpu"))
    assert memory_loss(model, unknown).auxiliaries["motion"] == 0.0


def test_another_world_has_other_heads_and_sizes():
    rule = RewardRule(head="value")
    world = replace(find(), rewards=rule, labels=Labels(), actions=ActionSet((0.0,), (1.0,), ("push",), ("unit",)))
    model = Trainee(world, ModelSizes(latents=2, hidden_units=4, mixtures=3, factors=0))
    memory = model.memory
    assert (memory.action_size, memory.mixtures, memory.factors, memory.event_head) == (1, 3, 0, None)
    episode = replace(toy_episode(30, 0.0), actions=np.zeros((30, 1), np.float32))
    sampler = SequenceSampler([episode], 10, world=world)
    batch = sampler.sample(np.random.default_rng(0), 8, torch.device("cpu"))
    assert batch.labels == {} and sampler.reward_variance == pytest.approx(np.var([*range(30), 0]))
    head_output = memory.reward(memory(batch.z, batch.action)[0])
    expected = ((head_output - batch.reward).square() * batch.mask).sum() / batch.mask.sum() / sampler.reward_variance
    terms = memory_loss(model, batch, reward_variance=sampler.reward_variance)
    torch.testing.assert_close(terms.reward, expected)
    assert terms.auxiliaries == {} and terms.factors == 0.0
    survival = Trainee(
        replace(world, rewards=RewardRule(head="none", scale=0.0)), ModelSizes(latents=2, hidden_units=4)
    )
    assert survival.memory.reward_head is None and not survival.memory.reward(torch.ones(3, 4)).any()


def test_the_schedule_warms_up_peaks_and_ends_low():
    rates = [one_cycle(step, 100, 1.0) for step in range(100)]
    assert rates[0] < 0.2 and max(rates) == 1.0 and rates[-1] < 0.02
    assert rates.index(1.0) == 9
