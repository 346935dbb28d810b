"""Real episodes: seen through V and M, the same however many workers, and loud when a worker dies."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamgym.dream.core import DreamCore
from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.errors import ActionError, BundleVersionError, ConfigError, SeedError, WorkerError
from dreamgym.evaluate import EpisodeScore, RealSettings, evaluate_player, evaluate_real, real
from dreamgym.evaluate.real import play_episodes, validation_returns
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import to_card
from dreamgym.worlds.car_racing.world import CAR_RACING
from tests.support.corridor import CORRIDOR, Corridor, corridor_model
from tests.support.policies import Constant, Noting

pytestmark = pytest.mark.usefixtures("forked_workers", "no_worker_is_left")

Array = NDArray[np.float32]

NAMED = "tests.support.corridor:CORRIDOR"
SHORT = RealSettings(max_episode_steps=20)


class Deadly:
    """A policy that sends its own process a signal after a few frames."""

    def __init__(self, number: int) -> None:
        self.number, self.frames, self.parent = number, 0, os.getpid()

    def __call__(self, observation: Array) -> Array:
        self.frames += 1
        if self.frames == 5:
            assert os.getpid() != self.parent
            os.kill(os.getpid(), self.number)
        return np.zeros((len(observation), 3), np.float32)


class Looking:
    """A policy that drives by all it sees: whoever sees something else soon drives elsewhere."""

    def __call__(self, observation: Array) -> Array:
        seen = np.sin(7.0 * observation.sum(axis=1))
        return np.stack([seen, np.ones_like(seen), np.zeros_like(seen)], axis=1).astype(np.float32)


@pytest.fixture
def no_worker_is_left() -> Iterator[None]:
    """Whatever else was started before, each test ends the workers that it starts."""
    before = set(multiprocessing.active_children())
    yield
    assert not set(multiprocessing.active_children()) - before


def test_bad_requests_are_refused(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        evaluate_real(Constant(0, 0, 0), [], world_model=toy_world_model)
    with pytest.raises(ConfigError, match="workers"):
        evaluate_real(Constant(0, 0, 0), [1], workers=0, world_model=toy_world_model)


def test_reality_is_seen_through_v_and_m(toy_world_model: WorldModel) -> None:
    assert toy_world_model.controller is not None
    policy = Noting(toy_world_model.controller)
    (result,) = evaluate_real(
        policy, [11], workers=1, world_model=toy_world_model, settings=RealSettings(max_episode_steps=8)
    )
    env, encoder, total = CAR_RACING.make_env(exact_drawing=False), LatentEncoder(toy_world_model), 0.0
    frame, _ = env.reset(seed=11)
    encoder.reset(frame[None], seeds=[11])
    for seen in policy.seen:
        np.testing.assert_array_equal(seen, encoder.features())
        action = toy_world_model.controller(encoder.features())
        frame, reward, *_ = env.step(action[0])
        total += float(reward)
        encoder.step(frame[None], action)
    tiles = len(env.unwrapped.track)  # type: ignore[attr-defined]
    assert policy.seeds == [[11]]
    assert result.score == pytest.approx(total)
    assert result.units == tiles
    assert result.progress == pytest.approx(env.unwrapped.tile_visited_count / tiles)  # type: ignore[attr-defined]
    env.close()


def test_settings_reach_the_environment_and_the_encoder(toy_world_model: WorldModel) -> None:
    assert toy_world_model.controller is not None
    made: list[dict[str, object]] = []

    def noting(**arguments: object) -> object:
        made.append(arguments)
        return CAR_RACING.make_env(**arguments)

    world, seen = replace(CAR_RACING, make_env=noting), []
    for settings in (
        RealSettings(max_episode_steps=3),
        RealSettings(max_episode_steps=3, exact_drawing=False),
        RealSettings(max_episode_steps=3, latent="mean"),
        RealSettings(max_episode_steps=3, noise=1),
    ):
        policy = Noting(toy_world_model.controller)
        evaluate_real(policy, [3], workers=1, world_model=toy_world_model, world=world, settings=settings)
        seen.append(np.concatenate(policy.seen))
    assert [each["exact_drawing"] for each in made] == [True, False, True, True]
    assert {each["max_episode_steps"] for each in made} == {3}
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])
    assert not np.array_equal(seen[0], seen[3])


@pytest.mark.parametrize("workers", [1, 2])
def test_another_world_is_played_with_its_own_actions_and_rule(workers: int) -> None:
    play = functools.partial(evaluate_real, workers=workers, world_model=corridor_model(), world=NAMED)
    for result in play(Constant(0.9), [1, 2]):  # the nearest discrete action, to the right, until the wall
        assert (result.failed, result.complete, result.progress) == (True, False, 0.0)
        assert 63 - 40 < result.length == result.score <= 63 - 24
    (idle,) = play(Constant(0.1), [1])
    assert (idle.length, idle.failed, len(idle.curve)) == (100, False, 1)


def test_other_actions_than_the_bundles_are_refused(toy_world_model: WorldModel) -> None:
    narrow = replace(CAR_RACING, actions=replace(CAR_RACING.actions, low=(-1.5, 0.0, 0.0)))
    with pytest.raises(BundleVersionError, match="expected the actions of CarRacing as it is described, got others"):
        evaluate_real(Constant(0, 1, 0), [1], workers=1, world_model=toy_world_model, world=narrow)


def test_unknown_real_world_is_named() -> None:
    with pytest.raises(ConfigError, match=r"real Corridor is not known.*module:OBJECT"):
        evaluate_real(Constant(0.0), [1], world_model=corridor_model())


def test_players_of_the_world_play_without_a_world_model() -> None:
    alone = evaluate_player("walker", [1, 2], CORRIDOR, workers=1)
    assert alone == evaluate_player("walker", [1, 2], NAMED, workers=2)
    assert alone == evaluate_real(Constant(1.0), [1, 2], workers=1, world_model=corridor_model(), world=CORRIDOR)
    (short,) = evaluate_player("walker", [1], CORRIDOR, workers=1, settings=RealSettings(max_episode_steps=5))
    assert (short.length, short.failed) == (5, False)
    drawn: list[object] = []

    def noting(**arguments: object) -> object:
        drawn.append(arguments["exact_drawing"])
        return CORRIDOR.make_env(**arguments)

    for exact in (True, False):
        settings = RealSettings(max_episode_steps=5, exact_drawing=exact)
        evaluate_player("walker", [1], replace(CORRIDOR, make_env=noting), workers=1, settings=settings)
    assert drawn == [True, False]
    with pytest.raises(ConfigError, match=r"player: expected one of \['walker'\], got 'nobody'"):
        evaluate_player("nobody", [1], CORRIDOR)


def test_player_of_car_racing_is_scored_as_the_environment_counts() -> None:
    (result,) = evaluate_player(
        "follower", [1_000_000], CAR_RACING, workers=1, settings=RealSettings(max_episode_steps=120)
    )
    assert result.score == pytest.approx(1000 * result.progress - 0.1 * result.length, abs=0.01)
    assert 0 < result.progress < 1 and result.units > 200


def test_scores_do_not_depend_on_the_workers(toy_world_model: WorldModel) -> None:
    policies = [Constant(0, 1, 0), Constant(0, 0, 1)]
    tasks = [(0, 5), (1, 5), (0, 6)]
    done: list[tuple[tuple[int, int], EpisodeScore]] = []
    drive = functools.partial(
        play_episodes, policies, tasks, world_model=toy_world_model, settings=RealSettings(max_episode_steps=50)
    )
    alone = drive(workers=1)
    together = drive(workers=2, on_episode=lambda task, result: done.append((task, result)))
    assert together == alone
    assert [result.seed for result in alone] == [5, 5, 6]
    assert alone[0].score != alone[1].score
    assert sorted(done) == sorted(zip(tasks, alone, strict=True))


def test_what_a_policy_sees_does_not_depend_on_the_workers(toy_world_model: WorldModel) -> None:
    found = {}
    for latent in ("sample", "mean"):
        settings = RealSettings(latent=latent, max_episode_steps=60)
        drive = functools.partial(evaluate_real, Looking(), [5, 6], world_model=toy_world_model, settings=settings)
        found[latent] = drive(workers=1)
        assert drive(workers=2) == found[latent]
    assert found["sample"] != found["mean"]


def test_validation_run_has_other_noise_than_scores_and_repeats(
    toy_world_model: WorldModel, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*arguments: Any, settings: RealSettings = SHORT, **options: Any) -> list[EpisodeScore]:
        return evaluate_real(*arguments, settings=replace(settings, max_episode_steps=60), **options)

    monkeypatch.setattr(real, "evaluate_real", short)
    returns = validation_returns(Looking(), [5, 6], workers=2, world_model=toy_bundle)
    assert returns == validation_returns(Looking(), [5, 6], workers=1, world_model=toy_bundle)
    scores = [result.score for result in short(Looking(), [5, 6], world_model=toy_world_model)]
    assert len(returns) == 2 and not set(returns) & set(scores)


def test_a_policy_may_dream_in_other_threads(toy_world_model: WorldModel) -> None:
    core = DreamCore(toy_world_model, 1)
    core.reset(seeds=torch.tensor([1]))

    class Planner:
        def __call__(self, observation: Array) -> Array:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(core.step, torch.zeros(1, 3)).result(timeout=300)
            return np.zeros((len(observation), 3), np.float32)

    before = torch.get_num_threads()
    evaluate_real(Planner(), [1], workers=1, world_model=toy_world_model, settings=SHORT)
    assert core.elapsed.tolist() == [20]
    assert torch.get_num_threads() == before


def test_validation_refuses_test_seeds(toy_bundle: Path) -> None:
    for seed in (20_000, 30_099):
        with pytest.raises(SeedError, match=f"{seed}.*choosing"):
            validation_returns(Looking(), [5, seed], workers=1, world_model=toy_bundle)


def test_a_worker_that_dies_is_an_error_within_seconds(toy_world_model: WorldModel) -> None:
    with pytest.raises(WorkerError, match="died"):
        evaluate_real(Deadly(signal.SIGKILL), [1, 2], workers=2, world_model=toy_world_model, settings=SHORT)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("action", [(0, float("nan"), 0), (0, 0, 1.1), (0, 0)])
def test_a_bad_action_is_named(toy_world_model: WorldModel, workers: int, action: tuple[float, ...]) -> None:
    if workers == 2 and len(action) == 2:
        pytest.skip("one error through a worker is enough")
    with pytest.raises(ActionError, match="expected"):
        evaluate_real(Constant(*action), [1, 2], workers=workers, world_model=toy_world_model, settings=SHORT)


def test_a_policy_that_cannot_be_sent_is_named(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="pickled"):
        evaluate_real(lambda seen: seen[:, :3], [1, 2], workers=2, world_model=toy_world_model, settings=SHORT)


@pytest.mark.parametrize("complete", [True, False])
def test_an_episode_says_how_it_ended(complete: bool) -> None:
    class Finishing(Corridor):
        def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
            return self._frame(), 1.0, True, False, {"complete": complete}

    rewards = replace(CORRIDOR.rewards, cap=1.0)
    world, model = replace(CORRIDOR, rewards=rewards, make_env=lambda **_: Finishing()), corridor_model()
    model.card["rewards"] = to_card(rewards)
    for (result,) in (
        evaluate_real(Constant(0.0), [1], workers=1, world_model=model, world=world),
        evaluate_player("walker", [1], world, workers=1),
    ):
        assert (result.complete, result.failed, result.length) == (complete, not complete, 1)
