"""The measures of agreement: right on cases made by hand, and on worlds that M describes exactly by construction."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.config import FidelityConfig
from dreamgym.control.linear import LinearController
from dreamgym.episodes import Episode
from dreamgym.errors import BundleNotFoundError, ConfigError, EpisodeFileError, InstallationError, OutputFolderError
from dreamgym.evaluate import evaluate_dream
from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.fidelity import agreement, bad_policies, fixed_policies, measure, returns, run, spearman
from dreamgym.fidelity.calibration import Forecasts, calibration, forecast, mixture_cdf
from dreamgym.fidelity.drives import SeenEpisode, StraightOn, encode, record_drives
from dreamgym.fidelity.open_loop import BURN_IN, cut_windows, dream_on, open_loop
from dreamgym.fidelity.policies import Handicapped, Scripted, disturbed
from dreamgym.fidelity.race import race, uncapped
from dreamgym.fidelity.returns import overpaid, real_returns
from dreamgym.memory.mixture import mixture_log_likelihood, sample_mixture
from dreamgym.world_model import WorldModel


def score(value: float, seed: int = 0, window: float = 100.0, lap: int | None = None) -> EpisodeScore:
    return EpisodeScore(seed, value, lap or 1000, lap is not None, False, 0.5, 280.0, (value,), window)


def scores(*values: float) -> list[EpisodeScore]:
    return [score(value, seed) for seed, value in enumerate(values)]


def make_episode(steps: int, seed: int = 0, **changes: Any) -> Episode:
    rng = np.random.default_rng(seed)
    fields = {
        "frames": rng.integers(0, 256, (steps + 1, 64, 64, 3), dtype=np.uint8),
        "actions": rng.uniform([-1, 0, 0], 1, (steps, 3)).astype(np.float32),
        "rewards": np.where(rng.random(steps) < 0.3, 9.9, -0.1).astype(np.float32),  # of 100 tiles
        "terminated": False,
        "truncated": True,
        "lap_finished": False,
        "lap_units": 100,
        "seed": seed,
        "driver": "follower",
    }
    return Episode(**{**fields, **changes})


def seen_by(world: WorldModel, steps: int, seed: int = 0) -> SeenEpisode:
    """An episode that happens exactly as M says, latents and all."""
    episode = make_episode(steps, seed)
    generator = torch.Generator().manual_seed(seed)
    actions = torch.from_numpy(episode.actions)
    state, z, latents = world.memory.initial_state(1), world.starts.z[:1], [world.starts.z[:1]]
    for action in actions:
        state = world.memory.step(z, action[None], state)
        uniform, normal = torch.rand(z.shape, generator=generator), torch.randn(z.shape, generator=generator)
        z = sample_mixture(world.memory.predict(state.h).mixture, torch.ones(1, 1), uniform, normal)
        latents.append(z)
    return SeenEpisode(episode, torch.cat(latents), torch.cat(latents))


# Agreement of returns


def test_spearman_is_as_by_hand() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 25, 1000]) == pytest.approx(1.0)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    # Without ties: 1 - 6 * sum(d^2) / (n (n^2 - 1)), here d = (0, -1, -1, 2).
    assert spearman([1, 2, 3, 4], [1, 3, 4, 2]) == pytest.approx(1 - 6 * 6 / 60)
    # Ranks (1.5, 1.5, 3) against (1, 2, 3).
    assert spearman([5, 5, 9], [1, 2, 3]) == pytest.approx(np.corrcoef([1.5, 1.5, 3], [1, 2, 3])[0, 1])
    assert spearman([1, 1, 1], [1, 2, 3]) == 0.0


def test_agreement_is_as_by_hand() -> None:
    real = {"a": scores(0, 100), "b": scores(600, 600), "c": scores(900)}
    dream = {"a": scores(100), "b": scores(550, 650), "c": scores(800)}
    found = agreement(real, dream)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["bias"] == pytest.approx((50 + 0 - 100) / 3)
    assert found["mean_absolute_difference"] == pytest.approx(50)
    assert (found["policies"], found["policies_above_500"]) == (3, 2)


def test_a_bad_policy_may_earn_two_standard_errors_more() -> None:
    # Standard errors of (0, 2) and (x - 1, x + 1) are 1 each: sqrt(2) together.
    real = {"idle": scores(0, 2)}
    for dreamed, passes in ((1 + 2.8, True), (1 + 2.9, False), (-50, True)):
        (entry,) = overpaid(real, {"idle": scores(dreamed - 1, dreamed + 1)}, ["idle"])
        assert entry["standard_error"] == pytest.approx(2**0.5)
        assert entry["passes"] is passes


# Policies


def act(policy: Any, seeds: Sequence[int], observations: np.ndarray) -> np.ndarray:
    if hasattr(policy, "reset"):
        policy.reset(seeds)
    return np.stack([policy(observation) for observation in observations])


@pytest.fixture
def controller() -> LinearController:
    return LinearController.from_parameters(np.random.default_rng(0).normal(0, 0.3, 63))


@pytest.fixture
def observations() -> np.ndarray:
    """Ten steps of four rows."""
    return np.random.default_rng(1).normal(size=(10, 4, 20)).astype(np.float32)


def test_there_are_enough_policies_and_all_differ(controller: LinearController, observations: np.ndarray) -> None:
    policies = fixed_policies(controller, latent_size=8)
    assert len(policies) >= 24
    assert list(policies)[-len(bad_policies()) :] == list(bad_policies())
    long = np.tile(observations, (20, 1, 1))  # the scripts' parts last a hundred steps
    actions = {name: act(policy, range(4), long) for name, policy in policies.items()}
    for name, action in actions.items():
        assert action.dtype == np.float32, name
        assert (action >= [-1, 0, 0]).all(), name
        assert (action <= 1).all(), name
        again = pickle.loads(pickle.dumps(policies[name]))
        np.testing.assert_array_equal(act(again, range(4), long), action, err_msg=name)
    assert len({action.tobytes() for action in actions.values()}) == len(policies)


def test_noise_is_the_episodes_own(controller: LinearController, observations: np.ndarray) -> None:
    noisy = Handicapped(controller, noise=0.1)
    together = act(noisy, [5, 6, 7, 8], observations)
    np.testing.assert_array_equal(act(noisy, [7], observations[:, 2:3]), together[:, 2:3])
    assert not np.array_equal(act(noisy, [6, 6, 7, 8], observations)[:, 0], together[:, 0])
    centred = (together - act(controller, [], observations))[..., 0]
    assert 0.03 < centred.std() < 0.2


def test_handicaps_are_as_by_hand(controller: LinearController, observations: np.ndarray) -> None:
    plain = act(controller, [], observations)
    delayed = act(Handicapped(controller, delay=3), range(4), observations)
    np.testing.assert_array_equal(delayed[3:], plain[:-3])
    np.testing.assert_array_equal(delayed[:3], 0)
    changed = act(Handicapped(controller, scale=(0.5, 2, 0), offset=(0.3, 0, 0)), range(4), observations)
    wanted = np.clip(plain * np.float32([0.5, 2, 0]) + np.float32([0.3, 0, 0]), [-1, 0, 0], 1)
    np.testing.assert_allclose(changed, wanted, atol=1e-6)
    sluggish = act(Handicapped(controller, inertia=0.75), range(4), observations)
    np.testing.assert_allclose(sluggish[1], 0.75 * sluggish[0] + 0.25 * plain[1], atol=1e-6)


def test_handicaps_forget_the_last_episode(controller: LinearController, observations: np.ndarray) -> None:
    policy = Handicapped(controller, delay=2, inertia=0.5, noise=0.1)
    first = act(policy, range(4), observations)
    np.testing.assert_array_equal(act(policy, range(4), observations), first)


def test_a_script_is_followed_and_its_end_held() -> None:
    policy = Scripted((2, (0.5, 1, 0)), (1, (-1, 0, 1)))
    wanted = np.array([[0.5, 1, 0], [0.5, 1, 0], [-1, 0, 1], [-1, 0, 1]])
    for _ in range(2):
        np.testing.assert_array_equal(act(policy, [0], np.zeros((4, 1, 20)))[:, 0], wanted)


def test_disturbing_is_seeded_and_of_the_size_asked(controller: LinearController) -> None:
    change = disturbed(controller, 0.5, 1).parameters - controller.parameters
    np.testing.assert_array_equal(disturbed(controller, 0.5, 1).parameters - controller.parameters, change)
    assert not np.array_equal(disturbed(controller, 0.5, 2).parameters - controller.parameters, change)
    rms = np.sqrt(np.mean(controller.parameters**2))
    assert np.std(change) == pytest.approx(0.5 * rms, rel=0.3)


# The log of real drives


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """No drive takes place: the tasks that were asked for, each scored by its policy and seed."""
    asked: list[Any] = []

    def drive(policies: Any, tasks: Any, *, on_episode: Any, **options: Any) -> None:
        for task in tasks:
            asked.append(task)
            on_episode(task, score(100.0 * task[0] + task[1], task[1]))

    monkeypatch.setattr(returns, "drive_tracks", drive)
    return asked


def test_drives_are_kept_and_not_driven_again(toy_world_model: WorldModel, tmp_path: Path, driven: list[Any]) -> None:
    policies, log = bad_policies(), tmp_path / "real.jsonl"
    some = dict(list(policies.items())[:2])
    real_returns(some, [1, 2], toy_world_model, log, workers=1)
    assert driven == [(0, 1), (0, 2), (1, 1), (1, 2)]
    with open(log, "a", encoding="utf-8") as file:
        file.write('{"policy": "cut o')  # a kill in the middle of a line
    driven.clear()
    more = dict(list(policies.items())[:3])
    found = real_returns(more, [2, 3], toy_world_model, log, workers=1)
    assert driven == [(0, 3), (1, 3), (2, 2), (2, 3)]
    assert [part.score for part in found["spin"]] == [102.0, 103.0]
    driven.clear()
    assert real_returns(more, [2, 3], toy_world_model, log, workers=1) == found
    assert driven == []


def test_drives_through_another_world_model_are_refused(
    toy_world_model: WorldModel, make_world_model: Any, tmp_path: Path, driven: list[Any]
) -> None:
    log = tmp_path / "real.jsonl"
    real_returns(bad_policies(), [1], toy_world_model, log, workers=1)
    before = log.read_bytes()
    with pytest.raises(OutputFolderError, match="another world model"):
        real_returns(bad_policies(), [1], make_world_model(seed=1), log, workers=1)
    assert log.read_bytes() == before
    log.write_text("not a drive\n", encoding="utf-8")
    with pytest.raises(EpisodeFileError, match="delete it"):
        real_returns(bad_policies(), [1], toy_world_model, log, workers=1)


# Speed


def test_without_the_cap_speed_is_the_same_and_no_lap_ends(toy_world_model: WorldModel) -> None:
    controller = toy_world_model.controller
    assert controller is not None
    dreams = {
        name: evaluate_dream(controller, range(6), world_model=world, max_episode_steps=200)
        for name, world in (("capped", replace(toy_world_model, card={**toy_world_model.card, "lap_units": 5.0})),
                            ("endless", uncapped(toy_world_model)),
                            ("long", replace(toy_world_model, card={**toy_world_model.card, "lap_units": 5e3})))
    }  # fmt: skip
    assert any(dream.lap_finished for dream in dreams["capped"])
    assert not any(dream.lap_finished for dream in dreams["endless"])
    for endless, long in zip(dreams["endless"], dreams["long"], strict=True):
        assert endless.length == long.length
        assert endless.fastest_window * endless.lap_units == pytest.approx(
            long.fastest_window * long.lap_units, rel=1e-2
        )


def test_the_race_is_as_by_hand(toy_world_model: WorldModel) -> None:
    # 100 steps of an episode with one tile in each step beat the score's 280 / 1000 tiles a point.
    quick = make_episode(120, rewards=np.full(120, 9.9, np.float32), lap_finished=True, terminated=True)
    found = race(
        {"still": Scripted((1, (0.0, 0.0, 0.0)))},
        [score(0.0, window=50.0, lap=700)],
        [quick],
        [score(0.0, lap=110)],
        range(2),
        toy_world_model,
        1.0,
        max_episode_steps=20,
    )
    assert found["real_tiles_in_100_steps"] == pytest.approx(100)
    assert (found["real_lap_steps"], found["dream_lap_steps"]) == (120, 110)
    assert found["passes"] is False  # a lap of 110 steps
    assert found["dream_policy"] == "still"
    slower = race(
        {"still": Scripted((1, (0.0, 0.0, 0.0)))}, [], [quick], [], range(2), toy_world_model, 1.0, max_episode_steps=20
    )
    assert slower["passes"] is True


# Calibration


def test_cdf_is_the_integral_of_the_density() -> None:
    parameters = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0)).double()
    points = torch.linspace(-30, 30, 6001, dtype=torch.float64)[:, None].expand(-1, 2)
    density = mixture_log_likelihood(parameters, points).exp()
    integral = torch.cumulative_trapezoid(density, points, dim=0)
    np.testing.assert_allclose(mixture_cdf(parameters, points)[1:], integral, atol=1e-4)


def test_cdf_at_a_temperature_is_that_of_the_samples() -> None:
    parameters = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(1))
    generator, count = torch.Generator().manual_seed(2), 20_000
    for temperature in (0.5, 2.0):
        uniform, normal = torch.rand(count, 1, generator=generator), torch.randn(count, 1, generator=generator)
        drawn = sample_mixture(parameters.expand(count, -1, -1, -1), torch.full((1,), temperature), uniform, normal)
        quantiles = mixture_cdf(parameters, drawn, temperature).ravel().sort().values
        assert (quantiles - torch.linspace(0, 1, count)).abs().max() < 0.02
        wrong = mixture_cdf(parameters, drawn, 1.0).ravel().sort().values
        assert (wrong - torch.linspace(0, 1, count)).abs().max() > 0.03


def test_what_m_says_is_calibrated_where_it_is_true(toy_world_model: WorldModel) -> None:
    true = calibration(forecast(toy_world_model, [seen_by(toy_world_model, 400, seed) for seed in range(2)]))
    assert true["steps"] == 800
    assert true["latents"]["largest_gap"] < 0.02
    assert true["latents"]["below_5_percent"] == pytest.approx(0.05, abs=0.015)
    off = [seen_by(toy_world_model, 400, seed) for seed in range(2)]
    false = calibration(forecast(toy_world_model, [replace(drive, z=drive.z + 1.0) for drive in off]))
    assert false["latents"]["largest_gap"] > 0.1
    assert false["latents"]["log_likelihood"] < true["latents"]["log_likelihood"]


def test_a_forecast_is_of_the_next_step(toy_world_model: WorldModel) -> None:
    drive = seen_by(toy_world_model, 12)
    ending = replace(drive, episode=replace(drive.episode, terminated=True))
    found = forecast(toy_world_model, [ending])
    hidden, _ = toy_world_model.memory(drive.z[None, :-1], drive.actions[None])
    prediction = toy_world_model.memory.predict(hidden[0])
    np.testing.assert_allclose(found.progress, prediction.progress, rtol=1e-5)
    np.testing.assert_array_equal(found.made, drive.episode.progress)
    assert found.ended.tolist() == [0.0] * 11 + [1.0]
    wanted = mixture_log_likelihood(prediction.mixture, drive.z[1:])
    np.testing.assert_allclose(found.log_likelihood, wanted, rtol=1e-5)


def test_bins_are_as_by_hand() -> None:
    count = 1000
    predicted = np.repeat([0.0, 0.5], count // 2)
    made = np.concatenate([np.zeros(count // 2), np.tile([0.0, 1.0], count // 4)])
    termination = np.where(np.arange(count) < 10, 0.6, 5e-5)
    ended = (np.arange(count) < 5).astype(float)
    quantiles = np.tile((np.arange(count)[:, None] + 0.5) / count, 2)
    found = calibration(Forecasts(predicted, made, termination, ended, quantiles, np.zeros((count, 2))))
    assert found["progress"]["ratio"] == pytest.approx(1.0)
    assert found["progress"]["mean_bin_error"] == pytest.approx(0.0)
    assert [entry["steps"] for entry in found["progress"]["bins"]] == [100] * 10
    low, high = found["termination"]["bins"]
    assert (low["from"], low["to"], low["steps"], low["actual"]) == (0.0, 1e-4, 990, 0.0)
    assert (high["from"], high["to"], high["steps"], high["actual"]) == (0.5, 1.0, 10, 0.5)
    assert found["termination"]["expected_ends"] == pytest.approx(6 + 990 * 5e-5)
    rate = 0.005
    assert found["termination"]["log_loss_of_the_rate"] == pytest.approx(
        -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    )
    assert found["termination"]["log_loss"] < found["termination"]["log_loss_of_the_rate"]
    assert found["latents"]["largest_gap"] == pytest.approx(0.0, abs=1e-9)


# Open loop


def test_windows_are_pieces_of_the_drives(toy_world_model: WorldModel) -> None:
    drives = [seen_by(toy_world_model, 120), seen_by(toy_world_model, 39, seed=1), seen_by(toy_world_model, 40, seed=2)]
    windows = cut_windows(drives, 10, every=40)
    assert len(windows.z) == 4  # from 0, 40 and 80 of the first, and the whole of the third
    first = drives[0]
    torch.testing.assert_close(windows.z[1], first.z[40:81])
    torch.testing.assert_close(windows.action[1], first.actions[40:80])
    np.testing.assert_array_equal(windows.frames[1], first.episode.frames[40:81])
    np.testing.assert_array_equal(windows.progress[3], drives[2].episode.progress)


def test_a_dream_goes_on_from_the_real_frames(toy_world_model: WorldModel) -> None:
    windows = cut_windows([seen_by(toy_world_model, 60)], 20)
    dreamed, paid = dream_on(toy_world_model, windows, 1e-6, seed=0)
    assert dreamed.shape == (1, 20, 8)
    # Cold, a dream is the heaviest component's mean; its first step sees real latents alone.
    memory = toy_world_model.memory
    hidden, state = memory(windows.z[:, : BURN_IN + 1], windows.action[:, : BURN_IN + 1])
    prediction = memory.predict(hidden[:, -1])
    logits, means, _ = prediction.mixture.unbind(-3)
    wanted = means.gather(-2, logits.argmax(-2, keepdim=True)).squeeze(-2)
    torch.testing.assert_close(dreamed[:, 0], wanted, atol=0.02, rtol=0)
    torch.testing.assert_close(paid[:, 0], prediction.progress)
    second = memory.predict(memory.step(dreamed[:, 0], windows.action[:, BURN_IN + 1], state).h)
    torch.testing.assert_close(paid[:, 1], second.progress)


def test_error_curves_tell_a_good_dream_from_none(toy_world_model: WorldModel) -> None:
    found = open_loop(toy_world_model, [seen_by(toy_world_model, 300, seed) for seed in range(2)], 1e-6, horizon=10)
    assert found["windows"] == 6
    assert found["latent"]["floor"] == [0.0] * 10
    assert found["latent"]["dream"][0] < found["latent"]["other"][0]  # the world is as M says
    assert found["pixel_horizons"] == [1, 2, 5, 10]
    assert all(len(curve) == 4 for curve in found["pixel"].values())
    assert all(0 < value < 255 for curve in found["pixel"].values() for value in curve)
    assert found["progress"]["real"] == sorted(found["progress"]["real"])


def test_too_short_drives_give_no_curves(toy_world_model: WorldModel) -> None:
    assert open_loop(toy_world_model, [seen_by(toy_world_model, 20)], 1.0)["windows"] == 0


# Drives, and the whole


def test_drives_are_recorded_once_and_encoded(toy_world_model: WorldModel, tmp_path: Path) -> None:
    first = record_drives(tmp_path, {"straight_on": StraightOn}, [15_001], length=4)
    made: list[Any] = []
    again = record_drives(tmp_path, {"straight_on": lambda: made.append(1)}, [15_001], length=4)  # type: ignore[dict-item, func-returns-value]
    assert made == []
    np.testing.assert_array_equal(first[0].frames, again[0].frames)
    assert (first[0].actions == [0, 1, 0]).all()
    (seen,) = encode(toy_world_model, first, seed=0)
    assert seen.z.shape == (5, 8)
    assert not torch.equal(seen.z, seen.other_z)
    torch.testing.assert_close(seen.z, encode(toy_world_model, first, seed=0)[0].z)
    assert seen.left_world.tolist() == [0, 0, 0, 0]


def test_the_whole_is_measured_and_written(
    toy_bundle: Path, toy_world_model: WorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = WorldModel.load(toy_bundle)
    assert world.controller is not None
    policies = {"controller": world.controller, "still": bad_policies()["still"]}
    out = tmp_path / "fidelity"
    config = FidelityConfig(
        out=out, world_model=toy_bundle, episodes=2, dream_episodes=3, temperatures=(0.7, 1.0), workers=1
    )
    report = measure(config, world, policies, bad=["still"], max_episode_steps=36, horizon=5)
    assert [entry["temperature"] for entry in report["agreement"]] == [1.0, 0.7]
    assert report["bad_policies"][0]["policy"] == "still"
    assert report["open_loop"]["windows"] == 2
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    page = (out / "report.md").read_text(encoding="utf-8")
    assert f"{report['agreement'][0]['spearman']:.3f}" in page
    assert "| still |" in page
    for name in ("returns.png", "open_loop.png", "calibration.png"):
        assert f"({name})" in page
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(returns, "drive_tracks", None)  # nothing is left to drive
    again = measure(config, world, policies, bad=["still"], max_episode_steps=36, horizon=5)
    assert again["policies"] == report["policies"]
    assert again["calibration"] == report["calibration"]


def test_what_cannot_be_measured_is_refused(toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = WorldModel.load(toy_bundle)
    world.controller = None
    world.save(tmp_path / "bare")
    with pytest.raises(BundleNotFoundError, match="controller"):
        run(FidelityConfig(out=tmp_path / "out", world_model=tmp_path / "bare"))
    for wrong in ({"episodes": 1}, {"episodes": 51}, {"dream_episodes": 1}):
        with pytest.raises(ConfigError, match="expected"):
            run(FidelityConfig(out=tmp_path / "out", world_model=toy_bundle, **wrong))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputFolderError):
        run(FidelityConfig(out=tmp_path / "full", world_model=toy_bundle))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InstallationError, match="matplotlib"):
        run(FidelityConfig(out=tmp_path / "out", world_model=toy_bundle))
    assert not (tmp_path / "out").exists()
