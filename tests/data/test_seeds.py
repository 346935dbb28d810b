"""Seeds are disjoint, and those of tests are refused."""

from __future__ import annotations

import itertools

import pytest

from dreamgym.data.seeds import (
    COLLECTION_SEEDS,
    EARLIER_TEST_SEEDS,
    FIDELITY_SEEDS,
    TEST_SEEDS,
    VALIDATION_SEEDS,
    beyond_test_seeds,
    refuse_test_seeds,
)
from dreamgym.errors import SeedError


def test_groups_of_seeds_are_disjoint() -> None:
    groups = (VALIDATION_SEEDS, FIDELITY_SEEDS, EARLIER_TEST_SEEDS, TEST_SEEDS, COLLECTION_SEEDS)
    for before, after in itertools.pairwise(groups):
        assert before.stop <= after.start


@pytest.mark.parametrize("seed", [20_000, 20_099, 30_000, 30_999])
def test_test_seeds_are_refused_and_named(seed: int) -> None:
    with pytest.raises(SeedError, match=rf"{seed}.*20000\.\.20099 and 30000\.\.30999.*training"):
        refuse_test_seeds([1, seed], "training")


def test_other_seeds_are_admitted() -> None:
    refuse_test_seeds([1, 19_999, 20_100, 29_999, 31_000], "training")


def test_seed_after_the_tests_is_the_next_free_one() -> None:
    seeds = [19_999, 20_000, 20_100, 30_000, 30_500, 31_000]
    assert [beyond_test_seeds(seed) for seed in seeds] == [19_999, 20_100, 20_100, 31_000, 31_000, 31_000]
