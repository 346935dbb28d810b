"""What a configuration refuses."""

from __future__ import annotations

import math
from typing import Any, Final

from dreamgym.errors import ConfigError
from dreamgym.worlds.registry import canonical

__all__ = ["name_world", "require", "require_not_negative", "require_positive", "require_seed"]

SEEDS: Final = 2**62
"""Seeds are less: a run counts on from its seed, and a tensor holds integers below twice as many."""


def require(condition: bool, name: str, wanted: str, got: object) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError`, saying what was wanted of a field and what came, where not met."""
    if not condition:
        raise ConfigError(f"{name}: expected {wanted}, got {got!r}")


def name_world(config: Any) -> None:
    """Spell a configuration's world in the one way.

    Runs in another spelling are then the same runs.

    Raises:
        ConfigError: there is no such world.
    """
    if config.world is not None:
        object.__setattr__(config, "world", canonical(config.world))


def require_positive(config: object, *names: str) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError` where a field of a configuration is not above zero and finite."""
    for name in names:
        require(0 < getattr(config, name) < math.inf, name, "a positive number", getattr(config, name))


def require_seed(config: Any) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError` where the seed, or one counted on from it, is none for torch."""
    require(0 <= config.seed < SEEDS, "seed", f"0 to {SEEDS - 1}", config.seed)


def require_not_negative(config: object, *names: str) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError` where a field of a configuration is below zero, infinite or NaN."""
    for name in names:
        require(0 <= getattr(config, name) < math.inf, name, "0 or more", getattr(config, name))
