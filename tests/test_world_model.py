"""The bundle: what is saved is what is loaded, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamgym import bundle, world_model
from dreamgym.errors import BundleError, BundleNotFoundError, BundleVersionError, OutputFolderError
from dreamgym.world_model import MODELS_VARIABLE, StartBank, WorldModel, locate

FILES = ("vision.safetensors", "memory.safetensors", "starts.safetensors", "controller.safetensors")


@pytest.fixture
def copied(toy_bundle: Path, tmp_path: Path) -> Path:
    """A bundle to damage."""
    return Path(shutil.copytree(toy_bundle, tmp_path / "bundle"))


def edit_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def bless(folder: Path, name: str) -> None:
    """Make the card agree with a file that was changed, so that only the contents can give it away."""
    card = json.loads((folder / "card.json").read_text())
    card["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def test_round_trip(toy_world_model: WorldModel, toy_bundle: Path) -> None:
    loaded = WorldModel.load(toy_bundle)
    for name, value in toy_world_model.memory.state_dict().items():
        assert torch.equal(loaded.memory.state_dict()[name], value), name
    for name, value in toy_world_model.vision.state_dict().items():
        assert torch.equal(loaded.vision.state_dict()[name], value.half().float()), name
    for name, value in vars(toy_world_model.starts).items():
        assert torch.equal(getattr(loaded.starts, name), value), name
    assert loaded.controller is not None
    assert toy_world_model.controller is not None
    np.testing.assert_array_equal(loaded.controller.parameters, toy_world_model.controller.parameters)
    assert (loaded.temperature, loaded.latent_noise, loaded.lap_units) == (1.0, 0.5, 40.0)
    assert loaded.card["world"] == "CarRacing-v3"
    assert set(loaded.card["sha256"]) == set(FILES)
    assert not any(parameter.requires_grad for parameter in loaded.memory.parameters())
    assert not loaded.vision.training


def test_saving_what_was_loaded_changes_no_byte(toy_bundle: Path, tmp_path: Path) -> None:
    WorldModel.load(toy_bundle).save(tmp_path / "again")
    for name in (*FILES, "card.json"):
        assert (tmp_path / "again" / name).read_bytes() == (toy_bundle / name).read_bytes(), name


def test_controller_may_be_absent(toy_world_model: WorldModel, tmp_path: Path) -> None:
    toy = toy_world_model
    WorldModel(toy.vision, toy.memory, toy.starts, None, toy.card).save(tmp_path / "bundle")
    loaded = WorldModel.load(tmp_path / "bundle")
    assert loaded.controller is None
    assert loaded.card["controller"] is None


def test_load_leaves_the_global_generator_alone(toy_bundle: Path) -> None:
    before = torch.get_rng_state()
    WorldModel.load(toy_bundle)
    assert torch.equal(torch.get_rng_state(), before)


def test_locate_prefers_argument_then_variable_then_package(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [shutil.copytree(toy_bundle, tmp_path / name) for name in ("variable", "package")]
    monkeypatch.setattr(world_model, "_PACKAGED", others[1])
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    assert locate() == others[1]
    monkeypatch.setenv(MODELS_VARIABLE, str(others[0]))
    assert locate() == others[0]
    assert locate(toy_bundle) == toy_bundle
    assert WorldModel.load().card["world"] == "CarRacing-v3"


def test_not_found_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(BundleNotFoundError, match="elsewhere") as caught:
        WorldModel.load()
    assert MODELS_VARIABLE in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        WorldModel.load(tmp_path / "nothing_here")


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleNotFoundError, match=name):
        WorldModel.load(copied)


@pytest.mark.parametrize("name", FILES)
def test_truncated_or_flipped_file_is_named(copied: Path, name: str) -> None:
    content = (copied / name).read_bytes()
    for size in (0, 1, 7, 8, 9, len(content) // 2, len(content) - 1):
        (copied / name).write_bytes(content[:size])
        with pytest.raises(BundleError, match=name):
            WorldModel.load(copied)
    for position in (0, 8, 20, len(content) // 2, len(content) - 1):
        flipped = bytearray(content)
        flipped[position] ^= 0x10
        (copied / name).write_bytes(bytes(flipped))
        with pytest.raises(BundleError, match=f"{name}.*SHA-256"):
            WorldModel.load(copied)
    (copied / name).write_bytes(content)
    WorldModel.load(copied)


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
def test_hostile_safetensors_with_a_matching_hash(copied: Path, content: bytes) -> None:
    (copied / "memory.safetensors").write_bytes(content)
    bless(copied, "memory.safetensors")
    with pytest.raises(BundleError, match=r"memory\.safetensors"):
        WorldModel.load(copied)


@pytest.mark.parametrize(
    ("name", "key", "change", "message"),
    [
        ("memory", "bias", lambda t: t.half(), "float32.*float16"),
        ("vision", "mean.bias", lambda t: t.float(), "float16.*float32"),
        ("memory", "bias", lambda t: t[:-1], r"\(48,\).*\(47,\)"),
        ("memory", "recurrent_weight", lambda t: t * float("nan"), "finite"),
        ("vision", "expand.weight", lambda t: t / 0, "finite"),
        ("starts", "h", lambda t: t[:, :-1], r"\(8, 12\).*\(8, 11\)"),
        ("starts", "h", lambda t: t + 2, "within"),
        ("starts", "progress", lambda t: t + 1, "within"),
        ("starts", "z", lambda t: t[:0], "expected h as"),
        ("starts", "at_line", lambda t: t.float(), "bool"),
        ("controller", "weights", lambda t: t[:, 1:], r"\(3, 20\).*\(3, 19\)"),
        ("memory", "bias", None, "missing keys .*bias"),
    ],
)
def test_wrong_contents_with_a_matching_hash(
    copied: Path, name: str, key: str, change: Callable[[torch.Tensor], torch.Tensor] | None, message: str
) -> None:
    path = copied / f"{name}.safetensors"
    tensors = load_file(path)
    value = tensors.pop(key)
    if change is not None:
        tensors[key] = change(value).contiguous()
    save_file(tensors, path)
    bless(copied, path.name)
    with pytest.raises(BundleError, match=message) as caught:
        WorldModel.load(copied)
    assert path.name in str(caught.value)


def test_unexpected_key_is_named(copied: Path) -> None:
    path = copied / "memory.safetensors"
    save_file({**load_file(path), "extra": torch.zeros(1)}, path)
    bless(copied, path.name)
    with pytest.raises(BundleError, match=r"unexpected keys .*extra"):
        WorldModel.load(copied)


@pytest.mark.parametrize("changes", [{"format_version": 2}, {"world": "CartPole-v1"}, {"preprocess_version": 99}])
def test_other_world_or_version(copied: Path, changes: dict[str, Any]) -> None:
    edit_card(copied, **changes)
    ((key, value),) = changes.items()
    with pytest.raises(BundleVersionError, match=f"{key}.*{value}"):
        WorldModel.load(copied)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 10**12},
        {"hidden_size": 60000},
        {"latent_size": "8"},
        {"mixtures": 0},
        {"temperature": None},
        {"temperature": 0},
        {"lap_units": -1.0},
        {"lap_units": True},
        {"sha256": []},
    ],
)
def test_wrong_numbers_on_the_card(copied: Path, changes: dict[str, Any]) -> None:
    edit_card(copied, **changes)
    with pytest.raises(BundleError):
        WorldModel.load(copied)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_broken_card(copied: Path, content: bytes) -> None:
    (copied / "card.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"card\.json"):
        WorldModel.load(copied)


class Evil:
    """Unpickling it writes a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self.sentinel),)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_unpickled(copied: Path, tmp_path: Path, name: str) -> None:
    sentinel = tmp_path / "sentinel"
    evil = pickle.dumps(Evil(sentinel))
    (copied / name).write_bytes(evil)
    bless(copied, name)
    with pytest.raises(BundleError, match=name):
        WorldModel.load(copied)
    torch.save(Evil(sentinel), copied / name)
    bless(copied, name)
    with pytest.raises(BundleError, match=name):
        WorldModel.load(copied)
    assert not sentinel.exists()
    pickle.loads(evil)
    assert sentinel.exists()


def test_save_refuses_a_folder_of_other_things(toy_world_model: WorldModel, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputFolderError, match=r"thesis\.tex"):
        toy_world_model.save(tmp_path)
    with pytest.raises(OutputFolderError, match="file"):
        toy_world_model.save(tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_save_refuses_numbers_that_are_not_finite(toy_world_model: WorldModel, copied: Path) -> None:
    toy = toy_world_model
    starts = StartBank(**{**vars(toy.starts), "c": toy.starts.c * float("nan")})
    with pytest.raises(BundleError, match=r"starts.*NaN.*c"):
        WorldModel(toy.vision, toy.memory, starts, None, toy.card).save(copied)
    assert WorldModel.load(copied).controller is not None


@pytest.mark.parametrize("call", range(1, 7))
def test_full_disk_leaves_the_old_bundle(
    toy_world_model: WorldModel, copied: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    calls = []

    def fsync(_: int) -> None:
        calls.append(1)
        if len(calls) == call:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle.os, "fsync", fsync)
    changed = WorldModel(toy_world_model.vision, toy_world_model.memory, toy_world_model.starts, None, {"note": "new"})
    if call <= 5:  # four files and their folder; the sixth comes after the replacement, and is no reason to fail
        with pytest.raises(BundleError, match="No space left"):
            changed.save(copied)
    else:
        changed.save(copied)
    monkeypatch.undo()
    if call <= 5:
        assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    WorldModel.load(copied)
    assert sorted(path.name for path in copied.parent.iterdir() if "staging" in path.name) == []


KILL_AT_EVERY_BOUNDARY = """
import os, pathlib, signal, sys, torch
from dreamgym import bundle
from dreamgym.world_model import locate

folder = pathlib.Path(sys.argv[1])
names = [bundle.VISION, bundle.MEMORY, bundle.STARTS]

def save(value):
    bundle.write_bundle(folder, {"value": value}, {name: {"x": torch.tensor([value])} for name in names})

def read():
    card, tensors = bundle.read_bundle(locate(folder))
    assert all(part["x"].item() == card["value"] for part in tensors.values()), "a mixture"
    return card["value"]

def killed_at(boundary, value):
    child = os.fork()
    if child == 0:
        count = 0
        def counted(function):
            def call(*arguments, **options):
                nonlocal count
                count += 1
                if count == boundary:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)
            return call
        for name in ("fsync", "replace", "mkdir", "unlink", "rmdir", "open"):
            setattr(os, name, counted(getattr(os, name)))
        save(value)
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0

save(0.0)
seen, boundary = set(), 1
while killed_at(boundary, float(boundary)):
    found = read()
    assert found in (0.0, float(boundary)), found
    seen.add(found == 0.0)
    save(0.0)
    assert read() == 0.0
    boundary += 1
assert read() == float(boundary)
assert seen == {True, False}, "kills on both sides of the replacement"
leftovers = [path.name for path in folder.parent.iterdir() if path != folder]
assert not leftovers, leftovers
print(boundary)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_boundary_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", KILL_AT_EVERY_BOUNDARY, str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 10
