"""Settings of the commands that work with a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgym.config import DemoConfig, EvolveConfig, FidelityConfig
from dreamgym.errors import ConfigError


@pytest.mark.parametrize("config", [DemoConfig, EvolveConfig, FidelityConfig])
def test_a_world_is_the_same_however_it_is_spelled(
    config: type[DemoConfig | EvolveConfig | FidelityConfig], tmp_path: Path
) -> None:
    assert config(out=tmp_path, world="car_racing") == config(out=tmp_path, world="CarRacing")


def test_label_directions_need_a_subspace(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="label_directions: expected None"):
        EvolveConfig(out=tmp_path, subspace=0, label_directions=tmp_path / "directions.safetensors")
