"""What a configuration refuses."""

from __future__ import annotations

from dreamgym.errors import ConfigError

__all__ = ["require"]


def require(condition: bool, name: str, wanted: str, got: object) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError`, saying what was wanted of a field and what came, where not met."""
    if not condition:
        raise ConfigError(f"{name}: expected {wanted}, got {got!r}")
