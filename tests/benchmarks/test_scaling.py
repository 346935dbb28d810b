"""The reckoning of larger clusters: limits that are known without a simulation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scaling import Costs, collecting, evolving

FREE = Costs(
    frames_a_second=500.0,
    frame_bytes=2000.0,
    variation=0.0,
    task_seconds=0.0,
    byte_seconds=0.0,
    network_bytes_a_second=1e18,
    latency_seconds=0.0,
    dream_steps_a_second={1: 10_000.0, 16: 100_000.0, 1024: 160_000.0},
    update_seconds=0.0,
)


@pytest.mark.parametrize("cores", [1, 4])
def test_workers_alone_record_in_proportion_to_their_number(cores: int) -> None:
    outcome = collecting(FREE, cores, frames=600_000)
    assert outcome.seconds == pytest.approx(600_000 / 500 / cores, rel=0.01)
    assert outcome.workers_busy == pytest.approx(1.0, abs=0.01)
    assert outcome.bottleneck == "workers"


def test_a_slow_network_bounds_recording_however_many_workers() -> None:
    slow = replace(FREE, network_bytes_a_second=1e6)
    few, many = (collecting(slow, cores, frames=600_000) for cores in (64, 256))
    assert many.seconds == pytest.approx(600_000 * 2000 / 1e6, rel=0.02)
    assert many.seconds == pytest.approx(few.seconds, rel=0.02)
    assert many.bottleneck == "driver"


def test_a_generation_is_as_long_as_its_longest_share() -> None:
    alone, sixteen = evolving(FREE, 1, generations=10), evolving(FREE, 16, generations=10)
    assert alone.seconds == pytest.approx(10 * 1024 * 1000 / 160_000)
    assert sixteen.seconds == pytest.approx(10 * FREE.dream_seconds(64))
    assert evolving(FREE, 128, generations=10).seconds == evolving(FREE, 64, generations=10).seconds
    uneven = evolving(replace(FREE, variation=0.3), 16, generations=50)
    assert uneven.seconds / 50 > 1.2 * sixteen.seconds / 10


def test_more_candidates_than_workers_wait_for_the_driver() -> None:
    costly = replace(FREE, task_seconds=0.05)
    outcome = evolving(costly, 64, generations=10)
    assert outcome.seconds >= 10 * 64 * 0.05
    assert outcome.driver_busy > 0.9
