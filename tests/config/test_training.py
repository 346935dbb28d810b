"""Settings of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgym.config import MemorySettings, VisionConfig
from dreamgym.errors import ConfigError


@pytest.mark.parametrize("name", ["latent_size", "hidden_units", "mixtures", "sequence_length"])
def test_a_size_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        MemorySettings(**{name: 0})
    with pytest.raises(ConfigError, match="latents"):
        VisionConfig(episodes=(), out=Path("vision"), latents=0)
