"""Damage to files: to bytes, to JSON, to the header of a safetensors file, to arrays and their archives.

Each function draws from a :class:`random.Random`: a seeded one, or hypothesis's, which can make a case smaller.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["any_json", "damaged_array", "damaged_bytes", "damaged_json", "damaged_npz", "damaged_safetensors"]

_NUMBERS: Final = (0, 1, -1, 7, 255, 65536, 2**31, 2**63, -(2**64), 10**400, 0.5, -0.0, 1e-320, 1e308)
_ODD: Final = (None, True, False, float("nan"), float("inf"), -float("inf"), "", "\ud800", "\x00", "a" * 300)
_TYPES: Final = ("u1", "i8", "f2", "f4", "f8", "c8", "?", "S4", "U4", "M8[s]", "V3", ">f4")
_MEMBER_LENGTH: Final = 400
"""Bytes of an array's file that are damaged: its header, and some of its numbers."""


def any_json(rng: Random, depth: int = 3) -> Any:
    """A JSON value of any kind, odd ones as often as common ones."""
    kind = rng.randrange(6 if depth else 4)
    if kind == 4:
        return [any_json(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 5:
        return {any_text(rng): any_json(rng, depth - 1) for _ in range(rng.randrange(4))}
    return (rng.choice(_NUMBERS), rng.choice(_ODD), any_text(rng), rng.randrange(-999, 999))[kind]


def any_text(rng: Random) -> str:
    """Up to eight characters, of which some are odd."""
    return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x11000)))) for _ in range(rng.randrange(9)))


def damaged_bytes(rng: Random, content: bytes) -> bytes:
    """The content cut off, with bytes changed, taken out, put in or repeated, up to three times."""
    for _ in range(rng.randint(1, 3)):
        first = rng.randint(0, len(content))
        last = min(len(content), first + rng.choice((1, 2, 8, 100, 10_000)))
        kind = rng.randrange(6)
        if kind == 0 and first < len(content):  # one bit
            put, last = bytes([content[first] ^ (1 << rng.randrange(8))]), first + 1
        elif kind == 1:  # a number of four bytes, as lengths are
            put, last = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, rng.randrange(2**32))).to_bytes(4, "little"), first + 4
        else:
            put = (b"", content[:last], content[first:last] * 2, rng.randbytes(rng.randrange(17)))[kind - 2]
        content = content[:first] + put + (b"" if rng.randrange(6) == 0 else content[last:])
    return content


def damaged_json(rng: Random, value: Any) -> Any:
    """A JSON object with an entry, at any depth, replaced, renamed or taken out."""
    changed = json.loads(json.dumps(value))
    inner = changed
    while True:
        key = rng.choice(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
        if not (isinstance(inner[key], dict | list) and inner[key] and rng.randrange(3)):
            break
        inner = inner[key]
    old = inner.pop(key)
    kind = rng.choice(("replace", "replace", "rename", "remove", "scale"))
    if isinstance(inner, list):
        if kind != "remove":
            inner.insert(key, any_json(rng))
    elif kind == "rename":
        inner[any_text(rng)] = old
    elif kind == "scale" and isinstance(old, int | float):
        inner[key] = rng.choice((-old, old + 1, old * 10**6, 0, 2**63, str(old)))
    elif kind != "remove":
        inner[key] = any_json(rng)
    return changed


def damaged_safetensors(rng: Random, content: bytes) -> bytes:
    """A safetensors file with another header, or with damaged bytes in its header or anywhere."""
    length = int.from_bytes(content[:8], "little")
    kind = rng.randrange(4)
    if kind == 0:
        return damaged_bytes(rng, content)
    if kind == 1:
        return damaged_bytes(rng, content[: 8 + length]) + content[8 + length :]
    if kind == 2:  # the numbers alone: NaN and infinity among them
        body = damaged_bytes(rng, content[8 + length :])
        return content[: 8 + length] + body[: len(content) - 8 - length].ljust(len(content) - 8 - length, b"\xff")
    header = json.dumps(damaged_json(rng, json.loads(content[8 : 8 + length]))).encode()
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def damaged_array(rng: Random, like: NDArray[Any]) -> NDArray[Any]:
    """An array of another type, shape or content than the given one."""
    kind = rng.choice(("dtype", "shape", "numbers", "numbers", "part"))
    if kind == "dtype":
        with np.errstate(all="ignore"):
            return np.zeros(like.shape, rng.choice(_TYPES)) if rng.randrange(2) else like.astype(rng.choice(_TYPES[:6]))
    if kind == "shape":
        return np.zeros([rng.randrange(8) for _ in range(rng.randrange(6))], like.dtype)
    if kind == "part" and like.ndim:
        return like[rng.randint(0, len(like)) :]
    changed = np.array(like)
    if changed.size and changed.dtype.kind in "fiu":
        wrong = rng.choice((np.nan, np.inf, -1e30, 100.0) if changed.dtype.kind == "f" else (0, 1, 127))
        with np.errstate(over="ignore"):
            changed.reshape(-1)[rng.randrange(changed.size)] = wrong
    return changed


def damaged_npz(rng: Random, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An npz of the arrays, with one of them changed, missing, under another name, damaged in its header, or twice."""
    members = {name: _npy(array) for name, array in arrays.items()}
    name = rng.choice(sorted(members))
    kind = rng.choice(("array", "array", "meta", "bytes", "name", "missing", "besides"))
    if kind == "meta" and "meta" in arrays:
        meta = json.loads(arrays["meta"].tobytes())
        changed = any_json(rng) if rng.randrange(4) == 0 else damaged_json(rng, meta)
        members["meta"] = _npy(np.frombuffer(json.dumps(changed).encode(), np.uint8))
    elif kind == "bytes":
        content = members[name]
        members[name] = damaged_bytes(rng, content[:_MEMBER_LENGTH]) + content[_MEMBER_LENGTH:]
    elif kind == "name":
        members[rng.choice((any_text(rng), f"label_{any_text(rng)}", "../frames", "label_motion"))] = members.pop(name)
    elif kind == "missing":
        del members[name]
    elif kind == "besides":
        members[rng.choice((any_text(rng), "label_motion", "missed"))] = _npy(damaged_array(rng, arrays[name]))
    else:
        members[name] = _npy(damaged_array(rng, arrays[name]))
    return _zipped(rng, members)


def _npy(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, array, allow_pickle=False)
    return content.getvalue()


def _zipped(rng: Random, members: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            entry = zipfile.ZipInfo(f"{name}.npy".encode("utf-8", "replace").decode())
            archive.writestr(entry, member, rng.choice(methods), 1)
    return content.getvalue()
