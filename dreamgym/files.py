"""A configuration beside the results it led to: JSON files, and output folders that belong to one run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from filelock import FileLock, Timeout

from dreamgym.errors import EpisodeFileError, OutputFolderError

__all__ = [
    "append_line",
    "atomic_write",
    "claim_folder",
    "file_sha256",
    "foreign",
    "lock_folder",
    "make_folder",
    "read_log",
    "read_object",
    "read_text",
    "remove_leftovers",
    "require_nothing_else",
    "to_json",
    "whole_lines",
    "write_bytes",
    "write_files",
    "write_json",
    "write_text",
]

T = TypeVar("T")

_TEMPORARY: Final = ".tmp"
_LOCK: Final = ".lock"
_CONFIG: Final = "config.json"
_TEXT_LIMIT: Final = 1 << 28
"""Bytes of a log or record: a million lines of 250."""
_FORMER_NAMES: Final = {
    "effort": "action_penalty",
    "pace_limit": "progress_limit",
    "missed_cost": "event_penalty",
    "dreamed_ends": "dreamed_terminations",
    "validation_tracks": "validation_episodes",
    "tracks": "episodes",
}
"""Of settings in the configuration of runs that began before they were renamed."""


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        OutputFolderError: it is a file, or lies below one, or in a place that holds no folders.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # such as in /proc
        raise OutputFolderError(f"{folder} cannot be made; choose another output folder") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputFolderError(f"{folder} is a file or lies below a file; choose another output folder") from error


def to_json(config: Any, beside: Path | None = None) -> dict[str, Any]:
    """A config dataclass as plain JSON values.

    Paths become strings, relative to the folder ``beside`` if given. A field of a dataclass within it has a name as the
    command line gives it: ``evolve.sigma``.
    """
    return _flat({entry.name: getattr(config, entry.name) for entry in dataclasses.fields(config)}, beside)


def _flat(values: Mapping[str, Any], beside: Path | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner: dict[str, Any] | None = None
        if dataclasses.is_dataclass(value):
            inner = to_json(value, beside)
        elif isinstance(value, dict) and any(map(dataclasses.is_dataclass, value.values())):
            inner = _flat(value, beside)
        if inner is None:
            found[name] = _plain(value, beside)
        else:
            found |= {f"{name}.{key}": item for key, item in inner.items()}
    return found


def _defaults(config: Any, beside: Path) -> dict[str, Any]:
    """What :func:`to_json` gives for settings where nothing is said."""
    fields = dataclasses.fields(config)
    made = {entry.name: entry.default_factory() for entry in fields if callable(entry.default_factory)}
    given = {entry.name: entry.default for entry in fields if entry.default is not dataclasses.MISSING}
    return _flat({**given, **made}, beside)


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
    write_bytes(path, text.encode("utf-8"))


def foreign(folder: Path, ours: Collection[str]) -> list[str]:
    """What a folder holds besides, by name: neither ours nor what file managers leave anywhere."""
    names = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
    return [name for name in names if name not in ours and name not in (".DS_Store", "Thumbs.db", "desktop.ini")]


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into a folder, each atomically, over those of the same names from before.

    What a killed process left of writing them is removed.

    Raises:
        OutputFolderError: the folder holds other things, or is none.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputFolderError(f"expected a folder to write to, got the file {folder}; choose another name")
    for name in contents:
        remove_leftovers(folder / name)
    others = foreign(folder, contents)
    if others:
        raise OutputFolderError(f"{folder} holds other things ({', '.join(others[:3])}); choose an empty or new folder")
    make_folder(folder)
    for name, content in contents.items():
        write_bytes(folder / name, content)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file at once: readers find the old or the new one.

    Yields the temporary file to write, beside the target and of its suffix. It takes the target's place at the end of
    the block, once it is on the disk; after an error nothing is left of it. A killed process leaves it behind:
    :func:`claim_folder` and :func:`remove_leftovers` remove it.

    Raises:
        OSError: the disk is full, say; it names the target.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # a full disk is reported without a name
            error.filename = str(path)
            if error.filename2 is not None:
                error.filename2 = None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of writing a file.

    No other process may be writing it.
    """
    before, after = f".{path.name}.", f"{_TEMPORARY}{path.suffix}"
    for stale in path.parent.glob(f".*{_TEMPORARY}*"):
        if stale.name.startswith(before) and stale.name.removeprefix(before).removesuffix(after).isdigit():
            stale.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def append_line(path: Path, line: str) -> None:
    """Append a line of text to a file.

    Raises:
        OSError: the disk is full, say; it names the file.
    """
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk is reported without a name
        raise


def file_sha256(path: Path | None) -> str | None:
    """SHA-256 of a regular file, in hexadecimal; None where there is none."""
    if path is None or not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """The text of a regular file.

    Raises:
        OutputFolderError: it is a folder, a pipe or a device, or too large.
        UnicodeDecodeError: it is no text.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait, reading a device may never end
        raise OutputFolderError(f"{path}: expected a text file, got a folder, a pipe or a device; choose another name")
    with open(path, encoding="utf-8") as file:
        text = file.read(_TEXT_LIMIT + 1)
    if len(text) > _TEXT_LIMIT:
        raise OutputFolderError(f"{path}: expected a text of at most {_TEXT_LIMIT} letters, got more")
    return text


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file that a command wrote.

    Raises:
        OutputFolderError: there is none in it.
    """
    try:
        found = json.loads(read_text(path))
    except (RecursionError, ValueError) as error:
        raise OutputFolderError(f"{path}: expected a JSON object ({error}); choose another output") from error
    if not isinstance(found, dict):
        raise OutputFolderError(f"{path}: expected a JSON object, got {type(found).__name__}; choose another output")
    return found


def whole_lines(path: Path) -> list[str]:
    """Lines of a file that is appended to, none if it is missing.

    A last line that was cut off is taken out of the file.
    """
    if not path.exists():
        return []
    lines = read_text(path).splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if whole != lines:
        write_text(path, "".join(whole))
    return whole


def read_log(path: Path, parse: Callable[[Any, int], T], remedy: str) -> list[T]:
    """What a parser makes of each line of a JSONL file; see :func:`whole_lines`.

    Args:
        path: the file; a missing one has no lines.
        parse: from a line's value and number to what is wanted, or to any error of a wrong value.
        remedy: what else to do than to put back a good copy.

    Raises:
        EpisodeFileError: the file is damaged.
    """
    try:
        return [parse(json.loads(line), number) for number, line in enumerate(whole_lines(path))]
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise EpisodeFileError(f"{path} is damaged ({error}); put back a good copy, or {remedy}") from error


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder until the block ends.

    Temporary files of a killed one are removed.

    Raises:
        OutputFolderError: it is a file or below one, or another process holds it.
    """
    make_folder(folder)
    try:
        held = FileLock(folder / _LOCK).acquire(blocking=False)
    except Timeout as error:
        raise OutputFolderError(
            f"{folder} is being written by another process; wait for its end, or choose another output folder"
        ) from error
    with held:
        for stale in _temporaries(folder):
            stale.unlink()
        yield


def _temporaries(folder: Path) -> list[Path]:
    """Temporary files in a folder and those below it, but for those that have a lock of their own."""
    found: list[Path] = []
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not Path(place, name, _LOCK).exists()]
        found += [Path(place, name) for name in names if name.startswith(".") and _TEMPORARY in name]
    return found


def claim_folder(
    folder: Path, config: Any, *, may_differ: tuple[str, ...] = (), inputs: Mapping[str, str | None] | None = None
) -> AbstractContextManager[object]:
    """Claim an output folder, or go on where the same run began.

    Writes ``config.json``, with paths relative to the folder, so that a run may be moved or gone on with from
    elsewhere. A run that began before there was a setting has its default. A folder that holds other things, or a run
    with another configuration, is left alone, unless there is nothing of it but ``config.json``. Temporary files of a
    killed process are removed.

    Args:
        folder: the output folder.
        config: the stage's config dataclass.
        may_differ: fields that may have changed since the run began, such as the number of workers.
        inputs: SHA-256 by name of the files that the run reads, or versions, which must be the same when it goes on;
            None for what is not there any more, which a finished run does not miss.

    Returns:
        A context manager: no other process can claim the folder before its block ends.

    Raises:
        OutputFolderError: the folder belongs to something else, is none, or another process writes to it.
    """
    _require_own(folder)
    with ExitStack() as stack:
        stack.enter_context(lock_folder(folder))
        found = _recorded(folder / _CONFIG)
        hashes = {name: value or found.get(name) for name, value in (inputs or {}).items()}
        hashes = {name: value for name, value in hashes.items() if value is not None}
        wanted = {"stage": type(config).__name__, **to_json(config, folder), **hashes}
        # Another world's run has no setting for what the default world records.
        unsaid = {name: value for name, value in _defaults(config, folder).items() if name in wanted}
        _require_same(folder, wanted, {**unsaid, **hashes, **found}, {*may_differ, "out"})
        write_json(folder / _CONFIG, wanted)
        return stack.pop_all()


def _require_own(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputFolderError(f"{folder} is a file; choose an empty output folder")
    if folder.exists() and not (folder / _CONFIG).exists():
        require_nothing_else(folder, f"run's {_CONFIG}")


def require_nothing_else(folder: Path, missing: str) -> None:
    """Raise :class:`~dreamgym.errors.OutputFolderError` where a folder that lacks its record holds anything."""
    if _visible(folder):
        raise OutputFolderError(f"{folder} holds something else and no {missing}; choose an empty output folder")


def _require_same(folder: Path, wanted: Mapping[str, Any], found: Mapping[str, Any], may_differ: set[str]) -> None:
    if not (folder / _CONFIG).exists():
        return
    stage = found.get("stage")
    if stage != wanted["stage"]:
        raise OutputFolderError(f"{folder} holds a run of {stage}, expected one of {wanted['stage']}; choose another")
    changed = [
        f"{key}: {found.get(key)!r} there, {value!r} now"
        for key, value in wanted.items()
        if key not in may_differ and found.get(key) != value
    ]
    changed += [
        f"{key}: {value!r} there, no such setting now"
        for key, value in found.items()
        if key not in wanted and not key.endswith("_sha256")
    ]
    untouched = _visible(folder) == [_CONFIG]
    if changed and not untouched:
        raise OutputFolderError(
            f"{folder} holds a run with another configuration ({'; '.join(changed)}); "
            "choose another output folder, or the same configuration to go on"
        )


def _visible(folder: Path) -> list[str]:
    return [name for name in foreign(folder, ()) if not name.startswith(".")]


def _renamed(setting: str) -> str:
    stage, dot, name = setting.rpartition(".")
    return f"{stage}{dot}{_FORMER_NAMES.get(name, name)}"


def _recorded(path: Path) -> dict[str, Any]:
    return {_renamed(name): value for name, value in read_object(path).items()} if path.exists() else {}
