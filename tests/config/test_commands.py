"""Settings of the commands that work with a bundle."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from dreamgym import config as settings
from dreamgym.config import (
    AssembleConfig,
    EncodeConfig,
    EvolveConfig,
    ImportConfig,
    MemoryConfig,
    PlayConfig,
    VisionConfig,
)
from dreamgym.errors import ConfigError

FILES: dict[type[Any], dict[str, Any]] = {
    AssembleConfig: {"vision": Path("v"), "memory": Path("m"), "latents": (Path("l"),)},
    EncodeConfig: {"vision": Path("v"), "episodes": Path("e")},
    ImportConfig: {"recordings": Path("r"), "format": "obs"},
    MemoryConfig: {"latents": (Path("l"),)},
    VisionConfig: {"episodes": (Path("e"),)},
}
OF_A_WORLD = [
    each
    for each in vars(settings).values()
    if is_dataclass(each) and {"world"} < {entry.name for entry in fields(each)}
]


@pytest.mark.parametrize("config", OF_A_WORLD)
def test_a_world_is_the_same_however_it_is_spelled(config: Any, tmp_path: Path) -> None:
    given = {**FILES.get(config, {}), **({} if config is PlayConfig else {"out": tmp_path})}
    assert config(**given, world="car_racing") == config(**given, world="CarRacing")
    with pytest.raises(ConfigError, match="nowhere"):
        config(**given, world="nowhere")


def test_label_directions_need_a_subspace(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="label_directions: expected None"):
        EvolveConfig(out=tmp_path, subspace=0, label_directions=tmp_path / "directions.safetensors")
