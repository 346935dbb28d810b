"""Every reader of files, given damaged ones: a named error or a good load, in little memory, and no code run.

A few cases of each are in every run of the tests, always the same. ``python -m tests.fuzz`` tries many.
"""

from __future__ import annotations

import resource
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import READERS, SENTINEL

EXAMPLES = 25
MEMORY_LIMIT = 1 << 30
"""Bytes that the process may grow by."""
pytestmark = pytest.mark.filterwarnings("ignore")  # NumPy warns of the odd numbers in damaged files


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_refused_by_name_or_load_well(reader: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    case = READERS[reader](tmp_path)
    loaded = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def try_many(rng: Random) -> None:
        loaded.append(case(rng))

    try_many()
    assert not (tmp_path / SENTINEL).exists()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY_LIMIT
    assert not all(loaded)  # some of the damage is noticed
