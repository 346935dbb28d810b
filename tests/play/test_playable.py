"""What is played is what the package's environments are, and what is shown of it is true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamgym.dream.env import DreamCarRacingEnv
from dreamgym.dream.rendering import resize
from dreamgym.memory.mdn_rnn import Prediction
from dreamgym.memory.mixture import common_noise, sample_mixture
from dreamgym.play.playable import PlayableDream, PlayableReality, expectation
from dreamgym.play.session import Session, difference
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import to_card
from dreamgym.worlds.registry import find
from dreamgym.wrappers.latent_env import LatentCarRacingEnv
from tests.conftest import ModelFactory
from tests.support.corridor import CORRIDOR, Corridor

AHEAD = np.array([0.1, 0.3, 0.0], np.float32)


def test_difference_of_pictures_is_a_share_of_full_scale() -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    assert difference(black, white) == difference(white, black) == 1.0
    assert difference(white, white) == 0.0


def test_expected_mean_and_spread_are_those_of_the_draws() -> None:
    torch.manual_seed(0)
    count, nothing = 200_000, torch.zeros(1)
    prediction = Prediction(torch.randn(1, 3, 2, 5), nothing, nothing, torch.randn(1, 3, 5))
    noise = common_noise(torch.randn(count, 8), prediction.loadings)
    mixtures, tau = prediction.mixture.expand(count, -1, -1, -1), torch.full((count, 1), 1.7)
    drawn = sample_mixture(mixtures, tau, torch.rand(count, 5), noise)
    expected = expectation(prediction, 1.7, find("CarRacing").rewards)
    np.testing.assert_allclose(expected.mean, drawn.mean(dim=0), atol=0.1)
    np.testing.assert_allclose(expected.spread, drawn.std(dim=0), rtol=0.02)


def test_view_of_reality_shows_what_v_sees(toy_world_model: WorldModel) -> None:
    real = PlayableReality(toy_world_model, find("CarRacing"))
    real.reset(4)
    for _ in range(40):
        real.step(AHEAD)
    sharp = real.view
    assert sharp.shape == (700, 1000, 3)
    small = resize(sharp[None], (64, 64))[0]
    assert difference(small, real.frame) < 0.01
    shifted = np.roll(real.frame, 4, axis=0)
    assert difference(small, shifted) > 2 * difference(small, real.frame)
    real.close()


def test_reality_equals_the_latent_environment(toy_world_model: WorldModel) -> None:
    real = PlayableReality(toy_world_model, find("CarRacing"))
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


def test_dream_equals_the_dream_environment(toy_world_model: WorldModel) -> None:
    dream = PlayableDream(toy_world_model)
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
    assert toy_world_model.fps == env.metadata["render_fps"]
    env.close()


def test_temperature_widens_the_expectation_and_the_distance_from_it(toy_world_model: WorldModel) -> None:
    dream = PlayableDream(toy_world_model)
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
    dream = PlayableDream(toy_world_model)
    dream.reset(1)
    dream.core.z[0, 0] = float("nan")
    dream.step(AHEAD)
    assert dream.ended == "lost"
    dream.reset(1)
    dream.step(AHEAD)
    assert dream.ended != "lost"


def test_expected_reward_ignores_small_spurious_predictions() -> None:
    nothing = torch.zeros(1)
    rewards = find("CarRacing").rewards
    for output, reward in ((0.019, rewards.constant), (0.28, rewards.constant + rewards.scale * 0.28 / rewards.unit)):
        prediction = Prediction(torch.zeros(1, 3, 2, 5), torch.tensor([output]), nothing, torch.zeros(1, 3, 5))
        assert expectation(prediction, 1.0, rewards).reward == pytest.approx(reward)


def test_view_of_another_world_is_its_own_picture(corridor: Session) -> None:
    corridor.tick(np.ones(1, np.float32))
    view = corridor.real.view
    assert view.shape == (32, 64, 3)
    assert (view == 255).all(axis=(0, 2)).nonzero()[0].tolist() == [corridor.real.env.column]
    corridor.close()
    assert corridor.real.env.closed


@pytest.mark.parametrize("complete", [True, False])
def test_an_episode_of_reality_ends_as_the_world_says(corridor_model: WorldModel, complete: bool) -> None:
    class Finishing(Corridor):
        def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
            return self._frame(), 1.0, True, False, {"complete": complete}

    rewards = replace(CORRIDOR.rewards, cap=1.0)
    corridor_model.card["rewards"] = to_card(rewards)
    real = PlayableReality(corridor_model, replace(CORRIDOR, rewards=rewards, make_env=lambda **_: Finishing()))
    real.reset(1)
    real.step(np.zeros(1, np.float32))
    assert real.ended == ("complete" if complete else "failed")


def test_a_dream_whose_progress_is_whole_is_complete(make_world_model: ModelFactory) -> None:
    dream = PlayableDream(make_world_model(lap_units=0.5))
    dream.reset(1)
    while dream.ended is None:
        dream.step(AHEAD)
    assert (dream.ended, dream.progress) == ("complete", dream.rewards.cap)
