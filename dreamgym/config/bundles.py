"""Which world model a command works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dreamgym.config.checks import name_world

__all__ = ["BundleSettings", "WorldSettings"]


@dataclass(frozen=True, kw_only=True)
class BundleSettings:
    """The bundle."""

    world_model: Path | None = None
    """A bundle; the environment variable DREAMGYM_MODELS, then the package's own, when not given."""


@dataclass(frozen=True, kw_only=True)
class WorldSettings(BundleSettings):
    """The bundle, and the real environment."""

    world: str | None = None
    """The world, by name or as module:OBJECT; the bundle's own when not given."""

    def __post_init__(self) -> None:
        name_world(self)
