"""A controller that records: what it sees, what it executes, and that everything comes from the generator given."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamgym.collect.collect import record_episode
from dreamgym.collect.controller_player import ControllerPlayer
from dreamgym.controller.linear import LinearController
from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.errors import BundleNotFoundError, BundleVersionError, ConfigError
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.bundles import save_bundle

Frames = NDArray[np.uint8]


@pytest.fixture
def frames() -> Frames:
    return np.random.default_rng(1).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)


def play_frames(player: ControllerPlayer, frames: Frames, seed: int = 3) -> NDArray[np.float32]:
    player.reset(None, np.random.default_rng(seed))
    return np.stack([player.act(frame) for frame in frames])


def test_undisturbed_it_is_the_controller(toy_bundle: Path, toy_world_model: WorldModel, frames: Frames) -> None:
    player = ControllerPlayer(toy_bundle, latent="mean")
    actions = play_frames(player, frames)
    encoder = LatentEncoder(WorldModel.load(toy_bundle), latent="mean")
    encoder.reset(frames[:1], seeds=[0])
    for index, action in enumerate(actions):
        if index:
            encoder.step(frames[index : index + 1], actions[index - 1 : index])
        assert toy_world_model.controller is not None
        np.testing.assert_array_equal(action, toy_world_model.controller(encoder.features())[0])


def test_h_follows_the_action_executed(toy_bundle: Path, frames: Frames) -> None:
    player = ControllerPlayer(toy_bundle, latent="mean", action_noise=0.5)
    actions = play_frames(player, frames)
    encoder = LatentEncoder(WorldModel.load(toy_bundle), latent="mean")
    encoder.reset(frames[:1], seeds=[0])
    wanted = [player.controller(encoder.features())[0]]
    for index in range(1, len(frames)):
        encoder.step(frames[index : index + 1], actions[index - 1 : index])
        wanted.append(player.controller(encoder.features())[0])
    assert np.abs(np.stack(wanted) - actions).max() > 0.1  # the noise is there
    np.testing.assert_array_equal(player.encoder.features(), encoder.features())
    assert (actions >= [-1, 0, 0]).all()
    assert (actions <= 1).all()


def test_everything_comes_from_the_generator(toy_bundle: Path, frames: Frames) -> None:
    make = functools.partial(ControllerPlayer, toy_bundle, weight_noise=0.2, action_noise=(0.1, 0.2))
    first = play_frames(make(), frames)
    again = make()
    np.testing.assert_array_equal(first, play_frames(again, frames))
    np.testing.assert_array_equal(first, play_frames(again, frames))  # nothing is left of the episode before
    assert not np.array_equal(first, play_frames(again, frames, seed=4))


def test_sampled_latents_are_seeded_by_the_generator(toy_bundle: Path, frames: Frames) -> None:
    player = ControllerPlayer(toy_bundle)
    assert not np.array_equal(play_frames(player, frames), play_frames(player, frames, seed=4))


def test_weight_noise_is_a_share_of_the_weights(toy_bundle: Path) -> None:
    parameters = np.random.default_rng(0).normal(0, 3.0, 63).astype(np.float32)
    player = ControllerPlayer(toy_bundle, parameters, weight_noise=0.1)
    rng = np.random.default_rng(0)
    changes = []
    for _ in range(200):
        player.reset(None, rng)
        changes.append(player.controller.parameters - parameters)
    rms = np.sqrt(np.mean(parameters**2))
    assert np.std(changes) == pytest.approx(0.1 * rms, rel=0.03)
    assert abs(np.mean(changes)) < 0.005 * rms


def test_a_noise_level_is_drawn_for_each_episode(toy_bundle: Path, frames: Frames) -> None:
    player = ControllerPlayer(toy_bundle, np.zeros(63), action_noise=(0.0, 0.3), latent="mean")
    still = [bool((play_frames(player, frames[:2], seed) == [0.0, 0.5, 0.0]).all()) for seed in range(40)]
    assert 8 < sum(still) < 32


def test_a_blind_controller_lacks_features_chosen_for_each_episode(toy_bundle: Path) -> None:
    player = ControllerPlayer(toy_bundle, np.ones(63), blindness=(0.0, 0.5))
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(200):
        player.reset(None, rng)
        weights = player.controller.weights
        assert ((weights == 0) | (weights == 1)).all()
        assert (weights == weights[0]).all()  # a feature is lacked by all three actions
        seen.append(weights[0])
    whole = np.all(seen, axis=1)
    assert 70 < whole.sum() < 130
    assert np.mean(np.array(seen)[~whole], axis=0) == pytest.approx(np.full(20, 0.5), abs=0.2)
    assert (player._given.weights == 1).all()


@pytest.mark.parametrize("blindness", [-0.1, 1.1, ()])
def test_bad_blindness_is_refused(toy_bundle: Path, blindness: float) -> None:
    with pytest.raises(ConfigError, match="blindness"):
        ControllerPlayer(toy_bundle, blindness=blindness)


def test_factory_is_picklable_and_drives_reality(toy_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "controller.safetensors"
    LinearController.from_parameters(np.full(63, 0.01, np.float32)).save(path)
    factory = functools.partial(ControllerPlayer, toy_bundle, path, weight_noise=0.1, action_noise=(0.0, 0.1))
    one = record_episode(factory(), 7, 6)
    two = record_episode(pickle.loads(pickle.dumps(factory))(), 7, 6)
    np.testing.assert_array_equal(one.actions, two.actions)
    np.testing.assert_array_equal(one.frames, two.frames)


def test_a_changed_bundle_is_read_again(toy_bundle: Path, tmp_path: Path, frames: Frames) -> None:
    world = WorldModel.load(toy_bundle)
    world.save(tmp_path / "bundle")
    before = play_frames(ControllerPlayer(tmp_path / "bundle"), frames)
    assert world.controller is not None
    world.controller = LinearController.from_parameters(-world.controller.parameters)
    world.save(tmp_path / "bundle")
    assert not np.array_equal(before, play_frames(ControllerPlayer(tmp_path / "bundle"), frames))


@pytest.mark.parametrize("noise", [-0.1, float("nan"), ()])
def test_bad_noise_is_refused(toy_bundle: Path, noise: float) -> None:
    with pytest.raises(ConfigError, match="weight_noise"):
        ControllerPlayer(toy_bundle, weight_noise=noise)
    with pytest.raises(ConfigError, match="action_noise"):
        ControllerPlayer(toy_bundle, action_noise=noise)


def test_missing_files_are_named(toy_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="nowhere"):
        ControllerPlayer(tmp_path / "nowhere")
    with pytest.raises(BundleNotFoundError, match="missing"):
        ControllerPlayer(toy_bundle, tmp_path / "missing.safetensors")
    world = WorldModel.load(toy_bundle)
    world.controller = None
    world.save(tmp_path / "bare")
    with pytest.raises(ConfigError, match="controller"):
        ControllerPlayer(tmp_path / "bare")


def test_a_controller_or_bundle_of_another_world_is_refused_by_name(toy_bundle: Path, tmp_path: Path) -> None:
    LinearController.zeros(20, ("tanh",)).save(tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"other\.safetensors: expected a controller of \(3, 20\) weights"):
        ControllerPlayer(toy_bundle, tmp_path / "other.safetensors")
    with pytest.raises(BundleVersionError, match="expected world 'DoomTakeCover'"):
        ControllerPlayer(toy_bundle, world="doom-take-cover")


def test_it_acts_and_remembers_in_a_world_of_one_thresholded_move(tmp_path: Path, frames: Frames) -> None:
    folder = save_bundle(find("doom-take-cover"), "NobodysWorld", tmp_path / "world")
    player = ControllerPlayer(folder, np.full(21, 0.2), action_noise=0.5, latent="mean")
    actions = play_frames(player, frames)
    assert actions.shape == (12, 1) and len(np.unique(actions)) > 3
    encoder = LatentEncoder(WorldModel.load(folder), latent="mean")
    encoder.reset(frames[:1], seeds=[0])
    for index in range(1, 12):
        moved = np.sign(actions[index - 1]) * (np.abs(actions[index - 1]) > 1 / 3)  # what the world does
        encoder.step(frames[index : index + 1], moved[None])
    np.testing.assert_array_equal(player.encoder.features(), encoder.features())
