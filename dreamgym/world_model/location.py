"""Where the bundle is that a command or an environment opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dreamgym.errors import BundleError, BundleNotFoundError
from dreamgym.world_model.files import CARD, read_card
from dreamgym.worlds.registry import find

__all__ = ["MODELS_VARIABLE", "PACKAGED", "locate"]

MODELS_VARIABLE: Final = "DREAMGYM_MODELS"
"""Environment variable with the folder of the bundle to use where none is given."""

PACKAGED: Final = Path(__file__).parents[1] / "assets" / find().slug
"""The folder of the package's own bundle."""


def locate(path: str | Path | None = None, world: str | None = None) -> Path:
    """The folder of the bundle: the argument, else the variable ``DREAMGYM_MODELS``, else the package's own.

    Args:
        path: the argument.
        world: whose bundle is meant; the variable is passed over where it names another world's. None for any, and
            of the package's the default world's.

    Raises:
        BundleNotFoundError: when there is no ``card.json`` there; the message lists what was looked at.
    """
    given = os.environ.get(MODELS_VARIABLE)
    if path is not None:
        folder, source = Path(path), "the argument"
    elif given and not _is_of_another(Path(given), world):
        folder, source = Path(given), f"the environment variable {MODELS_VARIABLE}"
    else:
        folder = PACKAGED if world is None else PACKAGED.with_name(find(world).slug)
        source = "the package"
    # A save that was killed between its two renames leaves the old bundle under the second name.
    previous = folder.absolute().with_name(f".{folder.absolute().name}.previous")
    for candidate in (folder, previous):
        if (candidate / "card.json").is_file():
            return candidate
    if source == "the package" and folder != PACKAGED:
        raise BundleNotFoundError(
            f"no world model of {world} is in the package; train one with `dreamgym train all --world {world}` and "
            f"name its folder as world_model, or in the environment variable {MODELS_VARIABLE}"
        )
    raise BundleNotFoundError(
        f"expected a world model (a folder with card.json) at {folder}, named by {source}; found none. Looked in: "
        f"argument {path}, {MODELS_VARIABLE}={given}, package {PACKAGED}. Pass world_model=FOLDER, set "
        f"{MODELS_VARIABLE}, or make one with `dreamgym train all`"
    )


def _is_of_another(folder: Path, world: str | None) -> bool:
    """Whether a card there names another world; what is damaged is left to its reader."""
    try:
        name = read_card(folder / CARD).get("world")
    except BundleError:
        return False
    if world is None or world == name:
        return False
    wanted = find(world)
    return isinstance(name, str) and name not in (wanted.name, wanted.env_id)  # the oldest cards have the env's id
