"""Dependencies that can be installed and yet not work: found here once, with the remedy in the message."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from dreamgym.errors import InstallationError

__all__ = ["require_box2d", "require_pygame"]


class _Module(NamedTuple):
    """A module that several projects install into one folder."""

    name: str
    projects: tuple[str, ...]
    wanted: str
    """The project to install."""
    use: Callable[[], object]
    """Touches what is used of it: what is left of a broken installation imports as an empty namespace."""


def _use_pygame() -> object:
    import pygame
    from pygame import font, gfxdraw, transform

    return pygame.Surface, pygame.init, font.Font, gfxdraw.aapolygon, transform.smoothscale


def _use_box2d() -> object:
    import Box2D
    from Box2D import b2

    return Box2D.b2World, b2.contactListener, b2.fixtureDef, b2.polygonShape, b2.revoluteJointDef


# As in pyproject.toml.
_BOX2D: Final = "ufal-pybox2d" if sys.version_info >= (3, 14) or platform.machine() == "aarch64" else "box2d"
_MODULES: Final = {
    "pygame": _Module("pygame", ("pygame", "pygame-ce"), "pygame-ce", _use_pygame),
    "Box2D": _Module("Box2D", ("box2d", "box2d-py", "ufal-pybox2d"), _BOX2D, _use_box2d),
}
_checked: set[str] = set()


def require_pygame() -> None:
    """Raise a clear error unless ``import pygame`` gives a pygame that works; cheap after the first call.

    pygame and pygame-ce install into one folder, so installing both mixes their files, and uninstalling either takes
    the other's away and leaves an empty ``pygame`` that still imports.

    Raises:
        InstallationError: pygame is missing, or the two have broken each other.
    """
    _require(_MODULES["pygame"])


def require_box2d() -> None:
    """Raise a clear error unless ``import Box2D`` gives a Box2D that works, as :func:`require_pygame` does.

    Raises:
        InstallationError: Box2D is missing, or two of its bindings have broken each other.
    """
    _require(_MODULES["Box2D"])


def _require(module: _Module) -> None:
    if module.name in _checked:
        return
    try:
        module.use()
    except Exception as error:  # mixed binaries raise anything from ImportError to SystemError
        raise InstallationError(_message(module, f"{type(error).__name__}: {error}")) from error
    _checked.add(module.name)


def _message(module: _Module, problem: str) -> str:
    found = {project: _installed_version(project) for project in module.projects}
    installed = [f"{project} {number}" for project, number in found.items() if number is not None]
    if not installed:
        return f"dreamgym needs {module.name}, which is not installed ({problem}); run: pip install {module.wanted}"
    return (
        f"wanted a working {module.name}; found {' and '.join(installed)}, and importing it failed with {problem}. "
        f"{' and '.join(module.projects)} install into the same folder and break each other; remove all and install "
        f"one: pip uninstall -y {' '.join(module.projects)} && pip install {module.wanted}"
    )


def _installed_version(project: str) -> str | None:
    try:
        return version(project)
    except PackageNotFoundError:
        return None
