"""The parts of a world that a bundle's card holds, as JSON values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from dreamgym.errors import ConfigError
from dreamgym.worlds.actions import ActionSet, Key
from dreamgym.worlds.rewards import RewardRule

__all__ = ["actions_from_card", "rewards_from_card", "to_card"]


def to_card(part: ActionSet | RewardRule) -> dict[str, Any]:
    """A part of a world as JSON values; infinities as None."""
    return dict(_plain(dataclasses.asdict(part)))


def actions_from_card(entry: Mapping[str, Any]) -> ActionSet:
    """The inverse of :func:`to_card` for actions.

    Raises:
        ConfigError: entries that are missing, unknown or of another form.
    """
    try:
        renamed = {"effort": "penalty"}  # in bundles that were made before
        values = {renamed.get(name, name): _tuples(value) for name, value in entry.items()}
        keys = tuple(Key(**{**key, "on": _rate(key["on"]), "off": _rate(key["off"])}) for key in values["keys"])
        return ActionSet(**{**values, "keys": keys})
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ConfigError(f"actions: expected the entries of an ActionSet, got {entry!r} ({error})") from error


def rewards_from_card(entry: Mapping[str, Any]) -> RewardRule:
    """The inverse of :func:`to_card` for the reward rule.

    Raises:
        ConfigError: entries that are missing, unknown or of another form.
    """
    try:
        return RewardRule(**entry)
    except TypeError as error:
        raise ConfigError(f"rewards: expected the entries of a RewardRule, got {entry!r} ({error})") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isinf(value) else value


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return {key: _tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


def _rate(value: float | None) -> float:
    return math.inf if value is None else float(value)
