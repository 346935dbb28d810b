"""Which seeds of real episodes are for what: disjoint, in one place, so that nothing is trained or chosen on a test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dreamgym.errors import SeedError

__all__ = [
    "COLLECTION_SEEDS",
    "EARLIER_TEST_SEEDS",
    "FIDELITY_SEEDS",
    "TEST_SEEDS",
    "VALIDATION_SEEDS",
    "beyond_test_seeds",
    "refuse_test_seeds",
]

VALIDATION_SEEDS: Final = range(10_000, 10_064)
"""Real episodes by which checkpoints are chosen: the first 16 in every validation run, all where that is not enough."""

FIDELITY_SEEDS: Final = range(15_000, 15_100)
"""Real episodes on which dream and reality are compared."""

EARLIER_TEST_SEEDS: Final = range(20_000, 20_100)
"""Real episodes on which results were reported until now; they stay beside the new ones for comparison."""

TEST_SEEDS: Final = range(30_000, 31_000)
"""Real episodes on which results are reported, CarRacing's on the first 100. Nothing is ever chosen on them."""

COLLECTION_SEEDS: Final = range(1_000_000, 1_000_000_000)
"""Real episodes that training data may be recorded in."""

_RESERVED: Final = (EARLIER_TEST_SEEDS, TEST_SEEDS)


def refuse_test_seeds(seeds: Iterable[int], purpose: str) -> None:
    """Raise :class:`~dreamgym.errors.SeedError` if any seed is kept for tests.

    Args:
        seeds: seeds about to be used.
        purpose: what for, as it should read in the message.
    """
    reserved = sorted(seed for seed in set(seeds) if any(seed in tests for tests in _RESERVED))
    if reserved:
        raise SeedError(
            f"seeds {reserved[:3]}{'...' if len(reserved) > 3 else ''} are kept for tests "
            f"({' and '.join(f'{tests.start}..{tests.stop - 1}' for tests in _RESERVED)}) and cannot be used for "
            f"{purpose}; choose others, for instance from {COLLECTION_SEEDS.start} up"
        )


def beyond_test_seeds(seed: int) -> int:
    """The seed, or where it is a test seed, the first one after these."""
    return next((tests.stop for tests in _RESERVED if seed in tests), seed)
