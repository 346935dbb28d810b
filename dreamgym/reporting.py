"""What results are shown by: tables of text and of Markdown, and where a result came from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from tabulate import tabulate

from dreamgym import __version__
from dreamgym.files import file_sha256, to_json
from dreamgym.world_model import PACKAGED, WorldModel
from dreamgym.worlds.base import World

__all__ = ["markdown_table", "provenance", "text_table"]


# Cells as they were formatted, the first column to the left and the others to the right.
_CELLS: Final[dict[str, Any]] = {"disable_numparse": True, "stralign": "right", "colalign": ("left",)}


def text_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells in columns, the first of text and the others of numbers."""
    return str(tabulate(rows, tablefmt="plain", **_CELLS))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    return str(tabulate(rows, header, "pipe", **_CELLS))


def provenance(
    config: Any, world: World | None, world_model: WorldModel | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Where a result came from.

    Command, configuration, versions, reward and score rules, the bundle with its hashes.

    A bundle of the package is called that: where somebody has it says nothing to others.

    Args:
        config: the command's configuration.
        world: the world that was played; None where only its dream is known.
        world_model: the bundle; None where none was used.
        folder: the bundle's.
    """
    found = {
        "command": " ".join(["dreamgym", *sys.argv[1:]]),
        "config": to_json(config),
        "versions": {
            "dreamgym": __version__,
            "torch": torch.__version__,
            **({} if world is None else world.recorded_versions()),
        },
        "score_rule": "" if world is None else world.score.rule,
    }
    if world_model is None:
        return found
    packaged = folder is not None and folder.parent == PACKAGED.parent
    return {
        **found,
        "reward_threshold": world_model.rewards.threshold,
        "world_model": {
            "folder": "the package" if packaged else str(folder),
            "card_sha256": None if folder is None else file_sha256(folder / "card.json"),
            "sha256": world_model.card.get("sha256"),
        },
    }
