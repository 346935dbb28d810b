"""Settings of the commands that work with a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dreamgym.config import (
    AssembleConfig,
    DemoConfig,
    EvaluateConfig,
    EvolveConfig,
    ExportConfig,
    FidelityConfig,
    ImportConfig,
    PlayConfig,
    WebConfig,
)
from dreamgym.errors import ConfigError

OTHERS: dict[Any, dict[str, Path]] = {
    AssembleConfig: {"vision": Path("v"), "memory": Path("m"), "latents": (Path("l"),)},
    ImportConfig: {"recordings": Path("r"), "format": "obs"},
}


@pytest.mark.parametrize(
    "config",
    [
        AssembleConfig,
        DemoConfig,
        EvaluateConfig,
        EvolveConfig,
        ExportConfig,
        FidelityConfig,
        ImportConfig,
        PlayConfig,
        WebConfig,
    ],
)
def test_a_world_is_the_same_however_it_is_spelled(config: Any, tmp_path: Path) -> None:
    settings = {**OTHERS.get(config, {}), **({} if config is PlayConfig else {"out": tmp_path})}
    assert config(**settings, world="car_racing") == config(**settings, world="CarRacing")
    with pytest.raises(ConfigError, match="nowhere"):
        config(**settings, world="nowhere")


def test_label_directions_need_a_subspace(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="label_directions: expected None"):
        EvolveConfig(out=tmp_path, subspace=0, label_directions=tmp_path / "directions.safetensors")
