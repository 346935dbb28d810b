"""Bundles that are damaged, of another version or made to do harm are refused, with the file that is to blame."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamgym.errors import BundleError, BundleNotFoundError, BundleVersionError
from dreamgym.world_model import WorldModel
from dreamgym.world_model.files import read_bundle
from tests.support.bundles import save_former_bundle

FILES = ("vision.safetensors", "memory.safetensors", "starts.safetensors", "controller.safetensors")


def edit_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def bless(folder: Path, name: str) -> None:
    """Make the card agree with a file that was changed, so that only the contents can give it away."""
    card = json.loads((folder / "card.json").read_text())
    card["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(copied_bundle: Path, name: str) -> None:
    (copied_bundle / name).unlink()
    with pytest.raises(BundleNotFoundError, match=name):
        WorldModel.load(copied_bundle)


@pytest.mark.parametrize("name", FILES)
def test_truncated_or_flipped_file_is_named(copied_bundle: Path, name: str) -> None:
    content = (copied_bundle / name).read_bytes()
    for size in (0, 1, 7, 8, 9, len(content) // 2, len(content) - 1):
        (copied_bundle / name).write_bytes(content[:size])
        with pytest.raises(BundleError, match=name):
            WorldModel.load(copied_bundle)
    for position in (0, 8, 20, len(content) // 2, len(content) - 1):
        flipped = bytearray(content)
        flipped[position] ^= 0x10
        (copied_bundle / name).write_bytes(bytes(flipped))
        with pytest.raises(BundleError, match=f"{name}.*SHA-256"):
            WorldModel.load(copied_bundle)
    (copied_bundle / name).write_bytes(content)
    WorldModel.load(copied_bundle)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2**40) + b"{" * 64,
        struct.pack("<Q", 100) + b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}'.ljust(104),
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 64) + b"[" * 64,
    ],
)
def test_hostile_safetensors_with_a_matching_hash(copied_bundle: Path, content: bytes) -> None:
    (copied_bundle / "memory.safetensors").write_bytes(content)
    bless(copied_bundle, "memory.safetensors")
    with pytest.raises(BundleError, match=r"memory\.safetensors"):
        WorldModel.load(copied_bundle)


@pytest.mark.parametrize(
    ("name", "key", "change", "message"),
    [
        ("memory", "bias", lambda t: t.half(), "bfloat16 or torch.float32 .*float16"),
        ("vision", "mean.bias", lambda t: t.float(), "float16.*float32"),
        ("memory", "bias", lambda t: t[:-1], r"\(48,\).*\(47,\)"),
        ("memory", "recurrent_weight", lambda t: t * float("nan"), "finite"),
        ("vision", "opening.weight", lambda t: t / 0, "finite"),
        ("vision", "opening.weight", lambda t: t[:-1], r"\(3200, 8\).*\(3199, 8\)"),
        ("vision", "opening.weight", lambda t: t.bfloat16(), "float16.*bfloat16"),
        ("starts", "c", lambda t: t.float(), "float16.*float32"),
        ("starts", "z", lambda t: t.half(), "float32.*float16"),
        ("starts", "h", lambda t: t[:, :-1], r"\(10, 12\).*\(10, 11\)"),
        ("starts", "h", lambda t: t + 2, "within"),
        ("starts", "progress", lambda t: t + 1, "expected progress at most 1"),
        ("starts", "z", lambda t: t[:0], "expected h as"),
        ("starts", "at_start", lambda t: t.float(), "bool"),
        ("controller", "weights", lambda t: t[:, 1:], r"\(3, 20\).*\(3, 19\)"),
        ("memory", "bias", None, "missing keys .*bias"),
    ],
)
def test_wrong_contents_with_a_matching_hash(
    copied_bundle: Path, name: str, key: str, change: Callable[[torch.Tensor], torch.Tensor] | None, message: str
) -> None:
    path = copied_bundle / f"{name}.safetensors"
    tensors = load_file(path)
    value = tensors.pop(key)
    if change is not None:
        tensors[key] = change(value).contiguous()
    save_file(tensors, path)
    bless(copied_bundle, path.name)
    with pytest.raises(BundleError, match=message) as caught:
        WorldModel.load(copied_bundle)
    assert path.name in str(caught.value)


def test_unexpected_key_is_named(copied_bundle: Path) -> None:
    path = copied_bundle / "memory.safetensors"
    save_file({**load_file(path), "extra": torch.zeros(1)}, path)
    bless(copied_bundle, path.name)
    with pytest.raises(BundleError, match=r"unexpected keys .*extra"):
        WorldModel.load(copied_bundle)


@pytest.mark.parametrize("version", [3, 4])
def test_contents_are_those_of_the_format_on_the_card(copied_bundle: Path, version: int) -> None:
    edit_card(copied_bundle, format_version=version)
    with pytest.raises(BundleError, match=r"vision\.safetensors: missing keys .*expand.* unexpected keys .*opening"):
        WorldModel.load(copied_bundle)


@pytest.mark.parametrize("name", ["vision", "memory", "starts"])
def test_damage_in_a_former_format_is_named(toy_world_model: WorldModel, tmp_path: Path, name: str) -> None:
    folder = save_former_bundle(toy_world_model, 4, tmp_path / "former")
    path = folder / f"{name}.safetensors"
    tensors = load_file(path)
    key = {"vision": "expand.weight", "memory": "bias", "starts": "h"}[name]
    save_file(tensors | {key: tensors[key].bfloat16()}, path)
    bless(folder, path.name)
    with pytest.raises(BundleError, match=rf"{name}.*{key}.*got torch.bfloat16"):
        WorldModel.load(folder)


@pytest.mark.parametrize(
    "changes", [{"format_version": 1}, {"format_version": 6}, {"world": "CartPole-v1"}, {"preprocess_version": 99}]
)
def test_other_world_or_version(copied_bundle: Path, changes: dict[str, Any]) -> None:
    edit_card(copied_bundle, **changes)
    ((key, value),) = changes.items()
    with pytest.raises(BundleVersionError, match=f"{key}.*{value}"):
        WorldModel.load(copied_bundle, world="CarRacing")


KEY = {"label": "left", "keys": ["a"], "number": 0, "value": 1.0, "on": None, "off": 2.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 10**12},
        {"hidden_size": 60000},
        {"latent_size": "8"},
        {"mixtures": 0},
        {"temperature": None},
        {"temperature": 0},
        {"temperature": 10**400},  # JSON has whole numbers of any length
        {"latent_noise": 10**400},
        {"rewards": {"unit": 10**400}},
        {"actions": {"threshold": 10**400}},
        {"actions": {"low": [-1.0, 0.0, float("nan")]}},
        {"actions": {"low": ["a", "b", "c"]}},
        {"actions": {"low": [2.0, 2.0, 2.0]}},
        {"actions": {"names": [1, 2, 3]}},
        {"actions": {"box": "yes"}},
        {"actions": {"keys": [KEY | {"on": 10**400}]}},
        {"actions": {"keys": [KEY | {"off": "quick"}]}},
        {"actions": {"keys": [KEY | {"number": 3}]}},
        {"actions": {"keys": [KEY | {"keys": [5]}]}},
        {"rewards": {"unit": -1.0}},
        {"rewards": {"unit": True}},
        {"rewards": {"head": "of state"}},
        {"rewards": {"price": 1.0}},
        {"rewards": None},
        {"actions": None},
        {"actions": {"low": [-1.0]}},
        {"actions": {"rule": "import os"}},
        {"fps": 0},
        {"max_episode_steps": "long"},
        {"sha256": []},
    ],
)
def test_wrong_numbers_on_the_card(copied_bundle: Path, changes: dict[str, Any]) -> None:
    card = json.loads((copied_bundle / "card.json").read_text())
    parts = {
        name: {**card[name], **value} for name, value in changes.items() if name in card and isinstance(value, dict)
    }
    edit_card(copied_bundle, **changes | parts)
    with pytest.raises(BundleError):
        WorldModel.load(copied_bundle)


def test_a_key_of_the_cards_form_is_taken(copied_bundle: Path) -> None:
    card = json.loads((copied_bundle / "card.json").read_text())
    edit_card(copied_bundle, actions={**card["actions"], "keys": [KEY]})
    (key,) = WorldModel.load(copied_bundle).actions.keys
    assert (key.label, key.on, key.off) == ("left", float("inf"), 2.0)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_broken_card(copied_bundle: Path, content: bytes) -> None:
    (copied_bundle / "card.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"card\.json"):
        WorldModel.load(copied_bundle)


class Evil:
    """Unpickling it writes a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self.sentinel),)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_unpickled(copied_bundle: Path, tmp_path: Path, name: str) -> None:
    sentinel = tmp_path / "sentinel"
    evil = pickle.dumps(Evil(sentinel))
    (copied_bundle / name).write_bytes(evil)
    bless(copied_bundle, name)
    with pytest.raises(BundleError, match=name):
        WorldModel.load(copied_bundle)
    torch.save(Evil(sentinel), copied_bundle / name)
    bless(copied_bundle, name)
    with pytest.raises(BundleError, match=name):
        WorldModel.load(copied_bundle)
    assert not sentinel.exists()
    pickle.loads(evil)
    assert sentinel.exists()


@pytest.mark.skipif(os.name == "nt", reason="no pipes nor devices among the files")
@pytest.mark.parametrize("name", ["card.json", "memory.safetensors"])
@pytest.mark.parametrize("kind", ["zero", "pipe", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(copied_bundle: Path, name: str, kind: str) -> None:
    path = copied_bundle / name
    path.unlink()
    if kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(BundleError, match=rf"{name}.*regular file"):
        read_bundle(copied_bundle)


def test_a_file_over_the_limit_is_refused(copied_bundle: Path) -> None:
    with open(copied_bundle / "card.json", "r+b") as file:
        file.truncate((1 << 22) + 1)
    with pytest.raises(BundleError, match="at most 4194304 bytes"):
        WorldModel.load(copied_bundle)
