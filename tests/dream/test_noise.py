"""The counter-based noise: its definition, its independence, its distributions."""

from __future__ import annotations

import math

import pytest
import torch

from dreamgym.dream.noise import fold_seed, normals, row_keys, uniforms

MASK_64 = (1 << 64) - 1
MASK_32 = (1 << 32) - 1
GOLDEN = [[2256928, 15871413, 2366185], [12104952, 299014, 14043785]]  # in units of 2**-24


def splitmix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & MASK_64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK_64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK_64
    return value ^ (value >> 31)


def reference(seed: int, episode: int, counter: int) -> float:
    """The same in Python's integers, written down a second time."""
    key = splitmix(splitmix(seed) ^ (episode * 0x9E3779B97F4A7C15 & MASK_64))
    bits = (counter & MASK_32) ^ (key & MASK_32)
    bits = (bits ^ bits >> 17) * 0xED5AD4BB & MASK_32
    bits ^= key >> 32
    bits = (bits ^ bits >> 11) * 0xAC4C1B51 & MASK_32
    bits = (bits ^ bits >> 15) * 0x31848BAB & MASK_32
    bits ^= bits >> 14
    return (bits >> 8) / 2**24


def draw(seeds: torch.Tensor, episodes: torch.Tensor, counters: torch.Tensor) -> torch.Tensor:
    return uniforms(row_keys(seeds, episodes), counters.to(torch.int32))


def test_follows_its_definition_in_whole_numbers() -> None:
    seeds = [0, 1, 2**31, 2**63 - 1, 123456789]
    episodes = [0, 1, 7, 10**6, 0]
    counters = torch.tensor([-5, -1, 0, 1, 64, 65 * 1000, 2**31 - 1])
    got = draw(torch.tensor(seeds), torch.tensor(episodes), counters)
    for row, (seed, episode) in enumerate(zip(seeds, episodes, strict=True)):
        expected = [reference(seed, episode, counter) for counter in counters.tolist()]
        assert got[row].tolist() == expected


def test_golden_values() -> None:
    """Pinned: a change here changes every rollout of every seed."""
    got = draw(torch.tensor([0, 42]), torch.tensor([0, 3]), torch.arange(3))
    assert (got * 2**24).long().tolist() == GOLDEN


def test_uniform_in_distribution_and_range() -> None:
    draws = draw(torch.arange(1000), torch.zeros(1000, dtype=torch.int64), torch.arange(500))
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts = torch.histc(draws, bins=64, min=0.0, max=1.0)
    expected = draws.numel() / 64
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 63 + 5 * math.sqrt(2 * 63)


@pytest.mark.parametrize("axis", ["counter", "row", "episode", "lag"])
def test_neighbours_do_not_correlate(axis: str) -> None:
    """Seeds, episodes and counters in sequence are how the dream uses them."""
    count = 300
    seeds, zeros, counters = torch.arange(count), torch.zeros(count, dtype=torch.int64), torch.arange(count)
    base = draw(seeds, zeros, counters)
    other = {
        "counter": lambda: draw(seeds, zeros, counters + 1),
        "row": lambda: draw(seeds + 1, zeros, counters),
        "episode": lambda: draw(seeds, zeros + 1, counters),
        "lag": lambda: draw(seeds, zeros, counters + 65),
    }[axis]()
    correlation = torch.corrcoef(torch.stack([base.flatten(), other.flatten()]))[0, 1]
    assert correlation.abs() < 5 / count  # five standard errors of count**2 pairs


def test_streams_of_different_rows_do_not_meet() -> None:
    draws = draw(torch.arange(200), torch.zeros(200, dtype=torch.int64), torch.arange(65))
    assert len({tuple(row) for row in draws.tolist()}) == 200


def test_normals_have_normal_moments() -> None:
    uniform = draw(torch.arange(4000), torch.zeros(4000, dtype=torch.int64), torch.arange(64))
    normal = normals(uniform).double()
    assert normal.shape == (4000, 64)
    size = normal.numel()
    assert abs(float(normal.mean())) < 5 / math.sqrt(size)
    assert abs(float(normal.var()) - 1.0) < 5 * math.sqrt(2 / size)
    assert abs(float((normal**4).mean()) - 3.0) < 5 * math.sqrt(96 / size)
    within = float((normal.abs() < 1.0).double().mean())
    assert abs(within - math.erf(math.sqrt(0.5))) < 5 * math.sqrt(0.25 / size)
    pairs = torch.corrcoef(torch.stack([normal[:, :32].flatten(), normal[:, 32:].flatten()]))[0, 1]
    assert abs(float(pairs)) < 5 / math.sqrt(size / 2)


def test_normals_are_finite_at_the_ends() -> None:
    ends = torch.tensor([[0.0, 1.0 - 2.0**-24, 0.5, 0.25]])
    assert torch.isfinite(normals(ends)).all()
    assert normals(ends).abs().max() < 5.8


def test_fold_seed_keeps_small_seeds_and_tells_large_ones_apart() -> None:
    assert [fold_seed(seed) for seed in (0, 1, 2**63 - 1)] == [0, 1, 2**63 - 1]
    large = [2**63, 2**63 + 1, 2**64, 2**100, 2**128 - 1]
    folded = [fold_seed(seed) for seed in large]
    assert all(0 <= seed < 2**63 for seed in folded)
    assert len(set(folded)) == len(large)
