"""Settings of an import."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dreamgym.config import ImportConfig
from dreamgym.errors import ConfigError


def test_a_range_needs_both_ends() -> None:
    with pytest.raises(ConfigError, match="action_low"):
        ImportConfig(recordings=Path("a"), out=Path("b"), format="obs", action_low=-2.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"missing_reward": math.nan},
        {"action_low": -math.inf, "action_high": 1.0},
        {"action_low": 0.0, "action_high": 0.0},
    ],
)
def test_numbers_that_no_recording_can_have_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        ImportConfig(recordings=Path("a"), out=Path("b"), format="obs", **settings)
