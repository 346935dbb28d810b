"""Which track seeds are for what: disjoint, in one place, so that no test track is ever trained or chosen on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dreamgym.errors import SeedError

__all__ = ["COLLECTION_SEEDS", "FIDELITY_SEEDS", "TEST_SEEDS", "VALIDATION_SEEDS", "refuse_test_seeds"]

VALIDATION_SEEDS: Final = range(10_000, 10_064)
"""Real tracks on which checkpoints are chosen: the first 16 in every look, all where that is not enough."""

FIDELITY_SEEDS: Final = range(15_000, 15_100)
"""Real tracks on which dream and reality are compared."""

TEST_SEEDS: Final = range(20_000, 20_100)
"""Real tracks on which results are reported. Nothing is ever chosen on them."""

COLLECTION_SEEDS: Final = range(1_000_000, 1_000_000_000)
"""Real tracks that training data may be recorded on."""


def refuse_test_seeds(seeds: Iterable[int], purpose: str) -> None:
    """Raise :class:`~dreamgym.errors.SeedError` if any seed is a test track's.

    Args:
        seeds: seeds about to be used.
        purpose: what for, as it should read in the message.
    """
    reserved = sorted(set(seeds) & set(TEST_SEEDS))
    if reserved:
        raise SeedError(
            f"seeds {reserved[:3]}{'...' if len(reserved) > 3 else ''} are test tracks "
            f"({TEST_SEEDS.start}..{TEST_SEEDS.stop - 1}) and cannot be used for {purpose}; "
            f"choose others, for instance from {COLLECTION_SEEDS.start} up"
        )
