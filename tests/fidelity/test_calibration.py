"""Calibration of what M says, on cases made by hand and on worlds that M describes exactly by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamgym.fidelity.calibration import Forecasts, calibration, forecast
from dreamgym.memory.mixture import mixture_cdf, mixture_log_likelihood, sample_mixture
from dreamgym.world_model import WorldModel
from tests.support.episodes_by_hand import seen_by


def begins(count: int) -> NDArray[np.float64]:
    """Where an episode of so many steps begins."""
    return (np.arange(count) == 0).astype(float)


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
    true = calibration(forecast(toy_world_model, [seen_by(toy_world_model, 400, seed) for seed in range(2)]), 50)
    assert true["steps"] == 800
    assert true["latents"]["largest_gap"] < 0.02
    assert true["latents"]["below_5_percent"] == pytest.approx(0.05, abs=0.015)
    off = [seen_by(toy_world_model, 400, seed) for seed in range(2)]
    false = calibration(forecast(toy_world_model, [replace(played, z=played.z + 1.0) for played in off]), 50)
    assert false["latents"]["largest_gap"] > 0.1
    assert false["latents"]["log_likelihood"] < true["latents"]["log_likelihood"]


def test_a_forecast_is_of_the_next_step(toy_world_model: WorldModel) -> None:
    played = seen_by(toy_world_model, 12)
    ending = replace(played, episode=replace(played.episode, terminated=True))
    found = forecast(toy_world_model, [ending])
    hidden, _ = toy_world_model.memory(played.z[None, :-1], played.actions[None])
    prediction = toy_world_model.memory.predict(hidden[0])
    np.testing.assert_allclose(found.progress, prediction.reward, rtol=1e-5)
    np.testing.assert_array_equal(found.made, played.progress)
    assert found.ended.tolist() == [0.0] * 11 + [1.0]
    lap = replace(played, episode=replace(played.episode, terminated=True, complete=True))
    assert not forecast(toy_world_model, [lap]).ended.any()
    wanted = mixture_log_likelihood(prediction.mixture, played.z[1:])
    np.testing.assert_allclose(found.log_likelihood, wanted, rtol=1e-5)


def test_bins_are_as_by_hand() -> None:
    count = 1000
    predicted = np.repeat([0.0, 0.5], count // 2)
    made = np.concatenate([np.zeros(count // 2), np.tile([0.0, 1.0], count // 4)])
    termination = np.where(np.arange(count) < 10, 0.6, 5e-5)
    ended = (np.arange(count) < 5).astype(float)
    quantiles = np.tile((np.arange(count)[:, None] + 0.5) / count, 2)
    found = calibration(
        Forecasts(predicted, made, termination, ended, quantiles, np.zeros((count, 2)), begins(count)), 50
    )
    assert found["progress"]["ratio"] == pytest.approx(1.0)
    assert found["progress"]["error_of_total"] == pytest.approx(0.0)
    assert found["progress"]["mean_bin_error"] == pytest.approx(0.0)
    assert [entry["steps"] for entry in found["progress"]["bins"]] == [100] * 10
    low, high = found["termination"]["bins"]
    assert (low["from"], low["to"], low["steps"], low["actual"]) == (0.0, 1e-4, 990, 0.0)
    assert (high["from"], high["to"], high["steps"], high["actual"]) == (0.5, 1.0, 10, 0.5)
    assert found["termination"]["expected_terminations"] == pytest.approx(6 + 990 * 5e-5)
    rate = 0.005
    assert found["termination"]["log_loss_of_the_rate"] == pytest.approx(
        -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    )
    assert found["termination"]["log_loss"] < found["termination"]["log_loss_of_the_rate"]
    assert found["latents"]["largest_gap"] == pytest.approx(0.0, abs=1e-9)


def test_seconds_are_of_one_episode_each() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(31, 60, 40)
    rates = rng.uniform(0.0, 1.0, 40)
    made = [rate + 0.1 * rng.standard_normal(length) for rate, length in zip(rates, lengths, strict=True)]
    expected = [np.full(length, rate) for rate, length in zip(rates, lengths, strict=True)]

    def explained(order: NDArray[np.int64]) -> float:
        columns = [np.concatenate([each[index] for index in order]) for each in (expected, made)]
        nothing, latents = np.zeros(len(columns[0])), np.zeros((len(columns[0]), 2))
        starts = np.concatenate([begins(lengths[index]) for index in order])
        found = calibration(Forecasts(*columns, nothing, nothing, latents, latents, starts), 25)
        return float(found["progress"]["explained"])

    assert explained(np.arange(40)) == pytest.approx(explained(rng.permutation(40)), abs=1e-12)


def test_a_quantile_above_one_by_rounding_is_counted() -> None:
    torch.manual_seed(0)
    parameters = torch.stack([torch.randn(2000, 5, 8), torch.randn(2000, 5, 8), torch.full((2000, 5, 8), -3.0)], dim=1)
    quantiles = mixture_cdf(parameters, 2.0 * torch.randn(2000, 8))
    assert quantiles.min() >= 0.0 and quantiles.max() == 1.0


def test_the_error_of_the_sum_is_a_share_of_what_was_paid_and_charged() -> None:
    made = np.tile([3.0, -2.0], 300)  # 1 a pair
    nothing = np.zeros(600)
    forecasts = Forecasts(np.tile([3.5, -2.0], 300), made, nothing, nothing, *[np.zeros((600, 2))] * 2, begins(600))
    progress = calibration(forecasts, 20)["progress"]
    assert (progress["ratio"], progress["error_of_total"]) == (pytest.approx(1.5), pytest.approx(0.5 / 5.0))
    assert progress["explained"] is None  # seconds of 20 steps all pay the same
    assert progress["window"] == 20


def test_a_second_lap_is_no_error_of_progress(toy_world_model: WorldModel) -> None:
    played = seen_by(toy_world_model, 40)
    rewards = np.where(np.arange(40) < 20, 1000.0 / 20, 0.0).astype(np.float32) - np.float32(0.1)
    nearly = replace(played, episode=replace(played.episode, rewards=rewards, total_units=20))
    found = forecast(toy_world_model, [nearly])
    assert found.made[:20].tolist() == [1.0] * 20
    assert np.isnan(found.made[20:]).all()
    progress = calibration(found, 50)["progress"]
    assert progress["actual_total"] == 20
    assert progress["predicted_total"] == pytest.approx(found.progress[:20].sum())
    assert sum(entry["steps"] for entry in progress["bins"]) == 20
