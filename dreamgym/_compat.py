"""Dependencies that can be installed and yet not work: found here once, with the remedy in the message."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from dreamgym.errors import InstallationError

__all__ = ["require_pygame"]

_PYGAME_PROJECTS = ("pygame", "pygame-ce")
_PYGAME_REMEDY = "pip uninstall -y pygame pygame-ce && pip install pygame-ce"
_checked: list[bool] = []


def require_pygame() -> None:
    """Raise a clear error unless ``import pygame`` gives a pygame that works; cheap after the first call.

    pygame and pygame-ce install into one folder, so installing both mixes their files, and uninstalling either takes
    the other's away and leaves an empty ``pygame`` that still imports.

    Raises:
        InstallationError: pygame is missing, or the two have broken each other.
    """
    if _checked:
        return
    problem = _pygame_problem()
    if problem is not None:
        raise InstallationError(_pygame_message(problem))
    _checked.append(True)


def _pygame_problem() -> str | None:
    try:
        import pygame
        from pygame import font, gfxdraw, transform

        # What is left of a broken installation imports as an empty namespace: look for what is used.
        _ = (pygame.Surface, pygame.init, font.Font, gfxdraw.aapolygon, transform.smoothscale)
    except Exception as error:  # mixed binaries raise anything from ImportError to SystemError
        return f"{type(error).__name__}: {error}"
    return None


def _pygame_message(problem: str) -> str:
    found = {project: _installed_version(project) for project in _PYGAME_PROJECTS}
    installed = [f"{project} {number}" for project, number in found.items() if number is not None]
    if not installed:
        return f"dreamgym needs pygame, which is not installed ({problem}); run: pip install pygame-ce"
    cause = "pygame and pygame-ce install into the same folder and break each other"
    return (
        f"wanted a working pygame; found {' and '.join(installed)}, and importing it failed with {problem}. {cause}; "
        f"remove both and install one: {_PYGAME_REMEDY}"
    )


def _installed_version(project: str) -> str | None:
    try:
        return version(project)
    except PackageNotFoundError:
        return None
