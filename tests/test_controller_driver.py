"""A controller that records: what it sees, what it executes, and that everything comes from the generator given."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamgym.control.linear import LinearController
from dreamgym.controller_driver import ControllerDriver
from dreamgym.encoder import LatentEncoder
from dreamgym.errors import BundleNotFoundError, ConfigError
from dreamgym.real.collect import drive
from dreamgym.world_model import WorldModel

Frames = NDArray[np.uint8]


@pytest.fixture
def frames() -> Frames:
    return np.random.default_rng(1).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)


def drive_frames(driver: ControllerDriver, frames: Frames, seed: int = 3) -> NDArray[np.float32]:
    driver.reset(None, np.random.default_rng(seed))
    return np.stack([driver.act(frame) for frame in frames])


def test_undisturbed_it_is_the_controller(toy_bundle: Path, toy_world_model: WorldModel, frames: Frames) -> None:
    driver = ControllerDriver(toy_bundle, latent="mean")
    actions = drive_frames(driver, frames)
    encoder = LatentEncoder(WorldModel.load(toy_bundle), latent="mean")
    encoder.reset(frames[:1], seeds=[0])
    for index, action in enumerate(actions):
        if index:
            encoder.step(frames[index : index + 1], actions[index - 1 : index])
        assert toy_world_model.controller is not None
        np.testing.assert_array_equal(action, toy_world_model.controller(encoder.features())[0])


def test_h_follows_the_action_executed(toy_bundle: Path, frames: Frames) -> None:
    driver = ControllerDriver(toy_bundle, latent="mean", action_noise=0.5)
    actions = drive_frames(driver, frames)
    encoder = LatentEncoder(WorldModel.load(toy_bundle), latent="mean")
    encoder.reset(frames[:1], seeds=[0])
    wanted = [driver.controller(encoder.features())[0]]
    for index in range(1, len(frames)):
        encoder.step(frames[index : index + 1], actions[index - 1 : index])
        wanted.append(driver.controller(encoder.features())[0])
    assert np.abs(np.stack(wanted) - actions).max() > 0.1  # the noise is there
    np.testing.assert_array_equal(driver.encoder.features(), encoder.features())
    assert (actions >= [-1, 0, 0]).all()
    assert (actions <= 1).all()


def test_everything_comes_from_the_generator(toy_bundle: Path, frames: Frames) -> None:
    make = functools.partial(ControllerDriver, toy_bundle, weight_noise=0.2, action_noise=(0.1, 0.2))
    first = drive_frames(make(), frames)
    again = make()
    np.testing.assert_array_equal(first, drive_frames(again, frames))
    np.testing.assert_array_equal(first, drive_frames(again, frames))  # nothing is left of the episode before
    assert not np.array_equal(first, drive_frames(again, frames, seed=4))


def test_sampled_latents_are_seeded_by_the_generator(toy_bundle: Path, frames: Frames) -> None:
    driver = ControllerDriver(toy_bundle)
    assert not np.array_equal(drive_frames(driver, frames), drive_frames(driver, frames, seed=4))


def test_weight_noise_is_a_share_of_the_weights(toy_bundle: Path) -> None:
    parameters = np.random.default_rng(0).normal(0, 3.0, 63).astype(np.float32)
    driver = ControllerDriver(toy_bundle, parameters, weight_noise=0.1)
    rng = np.random.default_rng(0)
    changes = []
    for _ in range(200):
        driver.reset(None, rng)
        changes.append(driver.controller.parameters - parameters)
    rms = np.sqrt(np.mean(parameters**2))
    assert np.std(changes) == pytest.approx(0.1 * rms, rel=0.03)
    assert abs(np.mean(changes)) < 0.005 * rms


def test_a_noise_level_is_drawn_for_each_episode(toy_bundle: Path, frames: Frames) -> None:
    driver = ControllerDriver(toy_bundle, np.zeros(63), action_noise=(0.0, 0.3), latent="mean")
    still = [bool((drive_frames(driver, frames[:2], seed) == [0.0, 0.5, 0.0]).all()) for seed in range(40)]
    assert 8 < sum(still) < 32


def test_a_blind_controller_lacks_features_chosen_for_each_episode(toy_bundle: Path) -> None:
    driver = ControllerDriver(toy_bundle, np.ones(63), blindness=(0.0, 0.5))
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(200):
        driver.reset(None, rng)
        weights = driver.controller.weights
        assert ((weights == 0) | (weights == 1)).all()
        assert (weights == weights[0]).all()  # a feature is lacked by all three actions
        seen.append(weights[0])
    whole = np.all(seen, axis=1)
    assert 70 < whole.sum() < 130
    assert np.mean(np.array(seen)[~whole], axis=0) == pytest.approx(np.full(20, 0.5), abs=0.2)
    assert (driver._given.weights == 1).all()


@pytest.mark.parametrize("blindness", [-0.1, 1.1, ()])
def test_bad_blindness_is_refused(toy_bundle: Path, blindness: float) -> None:
    with pytest.raises(ConfigError, match="blindness"):
        ControllerDriver(toy_bundle, blindness=blindness)


def test_factory_is_picklable_and_drives_reality(toy_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "controller.safetensors"
    LinearController.from_parameters(np.full(63, 0.01, np.float32)).save(path)
    factory = functools.partial(ControllerDriver, toy_bundle, path, weight_noise=0.1, action_noise=(0.0, 0.1))
    one = drive(factory(), 7, 6)
    two = drive(pickle.loads(pickle.dumps(factory))(), 7, 6)
    np.testing.assert_array_equal(one.actions, two.actions)
    np.testing.assert_array_equal(one.frames, two.frames)


def test_a_changed_bundle_is_read_again(toy_bundle: Path, tmp_path: Path, frames: Frames) -> None:
    world = WorldModel.load(toy_bundle)
    world.save(tmp_path / "bundle")
    before = drive_frames(ControllerDriver(tmp_path / "bundle"), frames)
    assert world.controller is not None
    world.controller = LinearController.from_parameters(-world.controller.parameters)
    world.save(tmp_path / "bundle")
    assert not np.array_equal(before, drive_frames(ControllerDriver(tmp_path / "bundle"), frames))


@pytest.mark.parametrize("noise", [-0.1, float("nan"), ()])
def test_bad_noise_is_refused(toy_bundle: Path, noise: float) -> None:
    with pytest.raises(ConfigError, match="weight_noise"):
        ControllerDriver(toy_bundle, weight_noise=noise)
    with pytest.raises(ConfigError, match="action_noise"):
        ControllerDriver(toy_bundle, action_noise=noise)


def test_missing_files_are_named(toy_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="nowhere"):
        ControllerDriver(tmp_path / "nowhere")
    with pytest.raises(BundleNotFoundError, match="missing"):
        ControllerDriver(toy_bundle, tmp_path / "missing.safetensors")
    world = WorldModel.load(toy_bundle)
    world.controller = None
    world.save(tmp_path / "bare")
    with pytest.raises(ConfigError, match="controller"):
        ControllerDriver(tmp_path / "bare")
