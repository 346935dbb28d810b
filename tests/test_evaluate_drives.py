"""Drives in the dream and in reality: right, the same however many workers, and loud when a worker dies."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamgym.control.linear import LinearController
from dreamgym.dream.core import DreamCore
from dreamgym.encoder import LatentEncoder
from dreamgym.errors import ActionError, ConfigError, WorkerError
from dreamgym.evaluate import evaluate_dream, evaluate_real, real, workers
from dreamgym.evaluate.real import drive_tracks
from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.real.world import make_real
from dreamgym.world_model import WorldModel

Array = NDArray[np.float32]


class Noting:
    """A policy that remembers what it was told and shown."""

    def __init__(self, controller: LinearController) -> None:
        self.controller, self.seeds, self.seen = controller, [], []  # type: ignore[var-annotated]

    def reset(self, seeds: Sequence[int]) -> None:
        self.seeds.append(list(seeds))

    def __call__(self, observation: Array) -> Array:
        self.seen.append(observation.copy())
        return self.controller(observation)


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


class Constant:
    """A policy that always does the same."""

    def __init__(self, *action: float) -> None:
        self.action = action

    def __call__(self, observation: Array) -> Array:
        return np.tile(np.array(self.action, np.float32), (len(observation), 1))


class Looking:
    """A policy that drives by all it sees: whoever sees something else soon drives elsewhere."""

    def __call__(self, observation: Array) -> Array:
        seen = np.sin(7.0 * observation.sum(axis=1))
        return np.stack([seen, np.ones_like(seen), np.zeros_like(seen)], axis=1).astype(np.float32)


def test_a_dream_is_scored_as_the_core_pays(toy_world_model: WorldModel) -> None:
    controller = toy_world_model.controller
    assert controller is not None
    core = DreamCore(toy_world_model, 1, temperature=0.8, max_episode_steps=60)
    core.reset(seeds=torch.tensor([5]), start="anywhere")
    total, over = 0.0, False
    while not over:
        step = core.step(torch.from_numpy(controller(core.features.numpy().copy())))
        total += float(step.reward)
        over = bool(step.terminated | step.truncated)
    (result,) = evaluate_dream(
        controller, [5], world_model=toy_world_model, temperature=0.8, start="anywhere", max_episode_steps=60
    )
    assert result.score == pytest.approx(total)
    assert result.length == int(core.elapsed)
    assert result.progress == pytest.approx(float(core.progress))
    assert result.lap_units == 40.0


def test_a_dream_does_not_depend_on_its_company(toy_world_model: WorldModel) -> None:
    controller = toy_world_model.controller
    assert controller is not None
    together = evaluate_dream(controller, range(7), world_model=toy_world_model, max_episode_steps=50)
    alone = [evaluate_dream(controller, [s], world_model=toy_world_model, max_episode_steps=50)[0] for s in range(7)]
    assert together == alone
    assert len({result.score for result in together}) == 7


def test_a_policy_that_remembers_is_told_of_episodes(toy_world_model: WorldModel) -> None:
    assert toy_world_model.controller is not None
    policy = Noting(toy_world_model.controller)
    evaluate_dream(policy, [3, 4], world_model=toy_world_model, max_episode_steps=2)
    assert policy.seeds == [[3, 4]]
    assert policy.seen[0].shape == (2, 20)


def test_bad_requests_are_refused(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        evaluate_dream(Constant(0, 0, 0), [], world_model=toy_world_model)
    with pytest.raises(ConfigError, match="seeds"):
        evaluate_real(Constant(0, 0, 0), [], world_model=toy_world_model)
    with pytest.raises(ConfigError, match="workers"):
        evaluate_real(Constant(0, 0, 0), [1], workers=0, world_model=toy_world_model)
    with pytest.raises(ActionError):
        evaluate_dream(Constant(2, 0, 0), [1], world_model=toy_world_model)


def test_reality_is_seen_through_v_and_m(toy_world_model: WorldModel) -> None:
    assert toy_world_model.controller is not None
    policy = Noting(toy_world_model.controller)
    (result,) = evaluate_real(policy, [11], workers=1, world_model=toy_world_model, max_episode_steps=8)
    env, encoder, total = make_real(exact=False), LatentEncoder(toy_world_model), 0.0
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
    assert result.lap_units == tiles
    assert result.progress == pytest.approx(env.unwrapped.tile_visited_count / tiles)  # type: ignore[attr-defined]
    env.close()


def test_latent_mean_and_own_drawing_are_passed_on(
    toy_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert toy_world_model.controller is not None
    seen, drawn = [], []

    def noting(**arguments: object) -> object:
        drawn.append(arguments["exact"])
        return make_real(**arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(real, "make_real", noting)
    for latent, exact in (("sample", True), ("sample", False), ("mean", True)):
        policy = Noting(toy_world_model.controller)
        evaluate_real(
            policy, [3], workers=1, world_model=toy_world_model, latent=latent, exact_drawing=exact, max_episode_steps=3
        )
        seen.append(np.concatenate(policy.seen))
    assert drawn == [True, False, True]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_scores_do_not_depend_on_the_workers(toy_world_model: WorldModel) -> None:
    policies = [Constant(0, 1, 0), Constant(0, 0, 1)]
    tasks = [(0, 5), (1, 5), (0, 6)]
    done: list[tuple[tuple[int, int], EpisodeScore]] = []
    drive = functools.partial(drive_tracks, policies, tasks, world_model=toy_world_model, max_episode_steps=50)
    alone = drive(workers=1)
    together = drive(workers=2, on_episode=lambda task, result: done.append((task, result)))
    assert together == alone
    assert [result.seed for result in alone] == [5, 5, 6]
    assert alone[0].score != alone[1].score
    assert sorted(done) == sorted(zip(tasks, alone, strict=True))
    assert not multiprocessing.active_children()


def test_what_a_policy_sees_does_not_depend_on_the_workers(toy_world_model: WorldModel) -> None:
    found = {}
    for latent in ("sample", "mean"):
        drive = functools.partial(
            evaluate_real, Looking(), [5, 6], world_model=toy_world_model, latent=latent, max_episode_steps=60
        )
        found[latent] = drive(workers=1)
        assert drive(workers=2) == found[latent]
    assert found["sample"] != found["mean"]


def test_looks_have_other_noise_than_scores_and_are_repeated(toy_world_model: WorldModel, toy_bundle: Path) -> None:
    returns = real.look(Looking(), [5, 6], workers=2, world_model=toy_bundle)
    assert returns == real.look(Looking(), [5, 6], workers=1, world_model=toy_bundle)
    scores = [result.score for result in evaluate_real(Looking(), [5, 6], world_model=toy_world_model)]
    assert len(returns) == 2 and not set(returns) & set(scores)


def test_a_policy_may_dream_in_other_threads(toy_world_model: WorldModel) -> None:
    core = DreamCore(toy_world_model, 1)
    core.reset(seeds=torch.tensor([1]))

    class Planner:
        def __call__(self, observation: Array) -> Array:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(core.step, torch.zeros(1, 3)).result(timeout=10)
            return np.zeros((len(observation), 3), np.float32)

    before = torch.get_num_threads()
    evaluate_real(Planner(), [1], workers=1, world_model=toy_world_model, max_episode_steps=3)
    assert core.elapsed.tolist() == [3]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_stops_is_an_error_within_seconds(
    toy_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    if number == signal.SIGSTOP:
        monkeypatch.setattr(workers, "SILENCE_SECONDS", 3.0)
    how = "died with exit code -9" if number == signal.SIGKILL else "stopped answering"
    with pytest.raises(WorkerError, match=how):
        evaluate_real(Deadly(number), [1, 2], workers=2, world_model=toy_world_model, max_episode_steps=20)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("action", [(0, float("nan"), 0), (0, 0, 1.1), (0, 0)])
def test_a_bad_action_is_named(toy_world_model: WorldModel, workers: int, action: tuple[float, ...]) -> None:
    if workers == 2 and len(action) == 2:
        pytest.skip("one error through a worker is enough")
    with pytest.raises(ActionError, match="expected"):
        evaluate_real(Constant(*action), [1, 2], workers=workers, world_model=toy_world_model, max_episode_steps=3)
    assert not multiprocessing.active_children()


def test_a_policy_that_cannot_be_sent_is_named(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="pickled"):
        evaluate_real(lambda seen: seen[:, :3], [1, 2], workers=2, world_model=toy_world_model)
