"""The worlds to play in are the package's own, and what is shown of them is what they are."""

from __future__ import annotations

import numpy as np
import pygame
import pytest
import torch

from dreamgym.dream.env import DreamCarRacingEnv
from dreamgym.memory.mdn_rnn import Prediction
from dreamgym.memory.mixture import common_noise, sample_mixture
from dreamgym.play.inside import difference, expectation
from dreamgym.play.pictures import smooth_surface
from dreamgym.play.worlds import DreamWorld, RealWorld
from dreamgym.real.world import CAR_RACING
from dreamgym.world_model import WorldModel
from dreamgym.wrappers.real_env import LatentCarRacingEnv

AHEAD = np.array([0.1, 0.3, 0.0], np.float32)


def test_pictures_differ_by_a_share_of_full_scale() -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    assert difference(black, white) == difference(white, black) == 1.0
    assert difference(white, white) == 0.0


def test_the_spread_that_is_shown_is_that_of_what_is_drawn() -> None:
    torch.manual_seed(0)
    count, nothing = 200_000, torch.zeros(1)
    said = Prediction(torch.randn(1, 3, 2, 5), nothing, nothing, torch.randn(1, 3, 5))
    noise = common_noise(torch.randn(count, 8), said.loadings)
    mixtures, tau = said.mixture.expand(count, -1, -1, -1), torch.full((count, 1), 1.7)
    drawn = sample_mixture(mixtures, tau, torch.rand(count, 5), noise)
    expected = expectation(said, 1.7, 280.0)
    np.testing.assert_allclose(expected.mean, drawn.mean(dim=0), atol=0.1)
    np.testing.assert_allclose(expected.spread, drawn.std(dim=0), rtol=0.02)


def test_enlarged_pictures_are_the_picture() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
    picture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    large = pygame.surfarray.array3d(smooth_surface(picture)).swapaxes(0, 1)
    assert large.shape == (168, 240, 3)
    middles = large[10::21, 15::30]  # of the 8 by 8 fields
    assert np.array_equal(middles, coarse)


def test_the_sharp_picture_is_what_v_sees(toy_world_model: WorldModel) -> None:
    real = RealWorld(toy_world_model)
    real.reset(4)
    for _ in range(40):
        real.step(AHEAD)
    sharp = real.sharp_picture()
    assert sharp.get_size() == (1000, 700)
    small = pygame.surfarray.array3d(pygame.transform.smoothscale(sharp, (64, 64))).swapaxes(0, 1)
    assert difference(small, real.frame) < 0.01
    shifted = np.roll(real.frame, 4, axis=0)
    assert difference(small, shifted) > 2 * difference(small, real.frame)
    real.close()


def test_reality_is_the_environment_that_agents_are_evaluated_in(toy_world_model: WorldModel) -> None:
    real = RealWorld(toy_world_model)
    env = LatentCarRacingEnv(world_model=toy_world_model, exact_drawing=True)
    real.reset(6)
    observation, _ = env.reset(seed=6)
    assert np.array_equal(real.features, observation)
    total = 0.0
    for _ in range(10):
        real.step(AHEAD)
        observation, reward, *_ = env.step(AHEAD)
        total += reward
        assert np.array_equal(real.features, observation)
    assert real.total == pytest.approx(total)
    real.close()
    env.close()


def test_the_dream_is_the_environment_that_agents_learn_in(toy_world_model: WorldModel) -> None:
    dream = DreamWorld(toy_world_model)
    env = DreamCarRacingEnv(world_model=toy_world_model)
    dream.reset(6)
    env.reset(seed=6)
    total = 0.0
    for _ in range(10):
        dream.step(AHEAD)
        observation, reward, terminated, _, info = env.step(AHEAD)
        total += reward
        if terminated:
            break
    assert np.array_equal(dream.features, observation)
    assert dream.total == pytest.approx(total)
    assert dream.progress == info["progress"]
    assert (dream.ended is not None) == terminated
    assert CAR_RACING.fps == env.metadata["render_fps"]
    env.close()


def test_temperature_widens_what_m_expects_and_how_far_the_dream_departs_from_it(toy_world_model: WorldModel) -> None:
    dream = DreamWorld(toy_world_model)
    dream.reset(1)
    state = dream.core.get_state()
    seen = []
    for temperature in (2.0, 0.05):
        dream.core.set_state(state)
        dream.temperature = temperature
        dream.step(AHEAD)
        assert dream.expected is not None
        seen.append((dream.expected, float(np.abs(dream.z - dream.expected.mean).mean())))
    (hot, far), (cold, near) = seen
    assert (cold.spread < hot.spread).all()
    assert near < far / 2
    assert (cold.reward, cold.end) == pytest.approx((hot.reward, hot.end))


def test_numbers_that_are_not_finite_end_the_dream(toy_world_model: WorldModel) -> None:
    dream = DreamWorld(toy_world_model)
    dream.reset(1)
    dream.core.z[0, 0] = float("nan")
    dream.step(AHEAD)
    assert dream.ended == "lost"
    dream.reset(1)
    dream.step(AHEAD)
    assert dream.ended != "lost"
