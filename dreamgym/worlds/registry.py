"""Worlds by name."""

from __future__ import annotations

import re
from typing import Final

from dreamgym.errors import ConfigError
from dreamgym.worlds.base import World, import_world

__all__ = [
    "BUILT_IN",
    "DEFAULT",
    "canonical",
    "described",
    "find",
    "find_registered",
    "names",
    "register",
    "require_described",
    "require_new",
]

BUILT_IN: Final = {
    "CarRacing": "dreamgym.worlds.car_racing.world:CAR_RACING",
    "DoomTakeCover": "dreamgym.worlds.doom_take_cover.world:DOOM_TAKE_COVER",
}
"""The package's own worlds, and where they are described."""

_entries: dict[str, World | str] = dict(BUILT_IN)

DEFAULT: Final = "CarRacing"
"""The world that is meant where none is named."""


def names() -> list[str]:
    """Names of the registered worlds, in the order of their registration."""
    return list(_entries)


def register(world: World) -> None:
    """Add a world, or replace the one of its name.

    Raises:
        ConfigError: its name cannot be part of an id, or is another spelling of a registered one.
    """
    _require_name(world.name)
    other = next((name for name in _entries if _spelling(name) == _spelling(world.name)), world.name)
    if other != world.name:
        raise ConfigError(f"name: {world.name} is another spelling of the world {other}; choose another name")
    _entries[world.name] = world


def require_new(name: str) -> None:
    """Refuse a name that no world of a user's own can have.

    It cannot be part of an id, or one of the package's worlds has it in some spelling.

    Raises:
        ConfigError: it is such a name.
    """
    _require_name(name)
    if _spelling(name) in map(_spelling, BUILT_IN):
        raise ConfigError(f"name: {name} is a world of the package; choose another name")


def _require_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]+", name):
        raise ConfigError(
            f"name: expected letters and digits, for the ids Dream<name>-v0 and Latent<name>-v0; got {name!r}"
        )


def find(world: World | str | None = None) -> World:
    """A world by its name, its env id, or ``module:OBJECT``.

    The name may be in any spelling: CarRacing, car-racing, car_racing.

    Args:
        world: a description is given back as it is; None is :data:`DEFAULT`. A module is imported, so a name with a
            colon must come from the user and never from a file.

    Raises:
        ConfigError: there is no such world, or the module has none.
    """
    if isinstance(world, World):
        return world
    wanted = DEFAULT if world is None else world
    if not isinstance(wanted, str):
        raise ConfigError(f"world: expected a name, module:OBJECT or a World, got {wanted!r}")
    return import_world(wanted) if ":" in wanted else find_registered(wanted)


def canonical(world: str) -> str:
    """The one spelling of a world's name, or ``module:OBJECT`` as it is.

    Raises:
        ConfigError: there is no such world.
    """
    return world if ":" in world else find_registered(world).name


def find_registered(wanted: str) -> World:
    """As :func:`find`, for names that come from a file.

    Nothing but registered worlds are found, and no module is imported.

    Raises:
        ConfigError: there is no such world.
    """
    for name in _entries:
        if _spelling(name) == _spelling(wanted):
            return _entry(name)
    for name in _entries:
        if _entry(name).env_id == wanted:
            return _entry(name)
    raise ConfigError(
        f"world: expected one of {names()} or a description as module:OBJECT, got {wanted!r}; "
        "name a world of your own as module:OBJECT, or register it with dreamgym.worlds.registry.register"
    )


def described(wanted: str | None, recorded: str) -> World | None:
    """The description of a bundle's world; None where unknown.

    The one that the user named, or the registered one.

    Args:
        wanted: a name or ``module:OBJECT`` from the user; None for none.
        recorded: the name in the bundle, from which nothing is imported.

    Raises:
        ConfigError: the user named a world that is not there.
    """
    if wanted is not None:
        return find(wanted)
    try:
        return find_registered(recorded)
    except ConfigError:  # a dream needs no description
        return None


def require_described(wanted: str | None, recorded: str) -> World:
    """As :func:`described`.

    Raises:
        ConfigError: there is no description.
    """
    world = described(wanted, recorded)
    if world is None:
        raise ConfigError(
            f"world: the real {recorded} is not known here, only its dream; name its description as module:OBJECT"
        )
    return world


def _spelling(name: str) -> str:
    return re.sub(r"[-_ ]", "", name).lower()


def _entry(name: str) -> World:
    entry = _entries[name]
    if isinstance(entry, str):
        entry = _entries[name] = import_world(entry)
    return entry
