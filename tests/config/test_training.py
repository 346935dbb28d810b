"""Settings of a training."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest

from dreamgym.config import (
    AssembleConfig,
    DemoConfig,
    EncodeConfig,
    EvolveConfig,
    EvolveSettings,
    MemoryConfig,
    MemorySettings,
    PlayConfig,
    VisionConfig,
    VisionSettings,
)
from dreamgym.errors import ConfigError


@pytest.mark.parametrize("name", ["latent_size", "hidden_units", "mixtures", "sequence_length"])
def test_a_size_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        MemorySettings(**{name: 0})
    with pytest.raises(ConfigError, match="latents"):
        VisionConfig(episodes=(), out=Path("vision"), latents=0)
    with pytest.raises(ConfigError, match="latents"):
        EncodeConfig(episodes=Path("episodes"), vision=Path("v"), out=Path("latents"), latents=0)


@pytest.mark.parametrize("seed", [-1, 2**62, 2**64])
def test_a_seed_that_torch_does_not_take_is_refused(seed: int) -> None:
    files = {"out": Path("out"), "vision": Path("v"), "memory": Path("m"), "latents": ()}
    for config in (
        partial(VisionConfig, out=Path("out"), episodes=()),
        partial(MemoryConfig, out=Path("out"), latents=()),
        partial(AssembleConfig, **files),
        partial(EvolveConfig, out=Path("out")),
        DemoConfig,
        PlayConfig,
    ):
        with pytest.raises(ConfigError, match="seed: expected 0 to"):
            config(seed=seed)
        assert config(seed=2**62 - 1).seed == 2**62 - 1


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
def test_rates_and_step_sizes_are_positive_and_finite(value: float) -> None:
    for settings, name in (
        (VisionSettings, "learning_rate"),
        (MemorySettings, "learning_rate"),
        (EvolveSettings, "sigma"),
        (partial(AssembleConfig, out=Path("w"), vision=Path("v"), memory=Path("m"), latents=()), "temperature"),
    ):
        with pytest.raises(ConfigError, match=f"{name}: expected a positive number, got {value}"):
            settings(**{name: value})


def test_progress_may_go_without_a_limit() -> None:
    assert EvolveSettings(progress_limit=math.inf).progress_limit == math.inf
    with pytest.raises(ConfigError, match="progress_limit"):
        EvolveSettings(progress_limit=math.nan)
