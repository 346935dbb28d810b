"""What results are shown by: tables of text and of Markdown, and where a result came from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from dreamgym import __version__
from dreamgym.files import file_sha256, to_json
from dreamgym.world_model import PACKAGED, WorldModel
from dreamgym.worlds.base import World

__all__ = ["markdown_table", "provenance", "text_table"]


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


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
