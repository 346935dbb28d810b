"""Settings of an import."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgym.config import ImportConfig
from dreamgym.errors import ConfigError


def test_a_range_needs_both_ends() -> None:
    with pytest.raises(ConfigError, match="action_low"):
        ImportConfig(recordings=Path("a"), out=Path("b"), format="obs", action_low=-2.0)
