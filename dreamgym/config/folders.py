"""A configuration beside the results it led to: JSON files, and output folders that belong to one run."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from dreamgym.errors import OutputFolderError

__all__ = ["claim_folder", "to_json", "whole_lines", "write_json", "write_text"]


def to_json(config: Any, beside: Path | None = None) -> dict[str, Any]:
    """A config dataclass as plain JSON values; paths become strings, relative to the folder ``beside`` if given."""
    return {entry.name: _plain(getattr(config, entry.name), beside) for entry in dataclasses.fields(config)}


def _defaults(config: Any, beside: Path) -> dict[str, Any]:
    """What :func:`to_json` gives for settings where nothing is said."""
    fields = dataclasses.fields(config)
    made = {entry.name: entry.default_factory() for entry in fields if callable(entry.default_factory)}
    given = {entry.name: entry.default for entry in fields if entry.default is not dataclasses.MISSING}
    return {name: _plain(value, beside) for name, value in {**given, **made}.items()}


def _plain(value: Any, beside: Path | None) -> Any:
    if isinstance(value, Path):
        return str(value) if beside is None else Path(os.path.relpath(value, beside)).as_posix()
    if isinstance(value, tuple | list):
        return [_plain(item, beside) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, beside) for key, item in value.items()}
    return value


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def whole_lines(path: Path) -> list[str]:
    """Lines of a file that is appended to, none if it is missing; a last line that was cut off is taken out of it."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if whole != lines:
        write_text(path, "".join(whole))
    return whole


def claim_folder(folder: Path, config: Any, *, may_differ: tuple[str, ...] = ()) -> None:
    """Make an output folder this run's own, or go on in it if the same run began there.

    Writes ``config.json``, with paths relative to the folder, so that a run may be moved or gone on with from
    elsewhere. A run that began before there was a setting has its default. A folder that holds other things, or a run
    with another configuration, is left alone, unless there is nothing of it but ``config.json``.

    Args:
        folder: the output folder.
        config: the stage's config dataclass.
        may_differ: fields that may have changed since the run began, such as the number of workers.

    Raises:
        OutputFolderError: if the folder belongs to something else, or is none.
    """
    path = folder / "config.json"
    wanted = {"stage": type(config).__name__, **to_json(config, folder)}
    if folder.exists() and not folder.is_dir():
        raise OutputFolderError(f"{folder} is a file; choose an empty output folder")
    if path.exists():
        found = {**_defaults(config, folder), **_recorded(path)}
        changed = [
            f"{key}: {found.get(key)!r} there, {value!r} now"
            for key, value in wanted.items()
            if key not in may_differ and key != "out" and found.get(key) != value
        ]
        untouched = found.get("stage") == wanted["stage"] and list(folder.iterdir()) == [path]
        if changed and not untouched:
            raise OutputFolderError(
                f"{folder} holds a run with another configuration ({'; '.join(changed)}); "
                "choose another output folder, or the same configuration to go on"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise OutputFolderError(
            f"{folder} holds something else and no run's config.json; choose an empty output folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)


def _recorded(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise OutputFolderError(f"{path} is no run's configuration ({error}); choose an empty output folder") from error
