"""What is no safetensors file is refused by name on every path that reads one, and nothing is unpickled."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dreamgym.controller.linear import LinearController
from dreamgym.errors import BundleError, BundleNotFoundError
from dreamgym.tensor_files import parse_metadata, read_content, read_tensors
from dreamgym.training import Checkpoint, load_weights


def restore_checkpoint(path: Path) -> object:
    module = nn.Linear(2, 1)
    return Checkpoint(path, module, torch.optim.Adam(module.parameters())).restore()


READERS: dict[str, Callable[[Path], object]] = {
    "tensors": read_tensors,
    "controller": LinearController.load,
    "weights": lambda path: load_weights(nn.Linear(2, 1), path),
    "checkpoint": restore_checkpoint,
}


class Evil:
    """Unpickling it makes a folder."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.sentinel),)


def torch_saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_other_kinds_of_files_are_told_and_not_unpickled(reader: Callable[[Path], object], tmp_path: Path) -> None:
    evil, path = Evil(tmp_path / "sentinel"), tmp_path / "some.safetensors"
    contents = {
        "a zip archive": torch_saved(evil),
        "a pickle": pickle.dumps(evil),
        "text, such as JSON": json.dumps([[0.1] * 867]).encode(),
        "could not read it": b"\x10" + bytes(30),
    }
    for message, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(BundleError, match=rf"some\.safetensors: expected a safetensors file.*{message}"):
            reader(path)
    assert not evil.sentinel.exists()
    pickle.loads(contents["a pickle"])
    assert evil.sentinel.exists()


@pytest.mark.skipif(os.name == "nt", reason="no devices among the files")
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_device_or_a_folder_is_refused_at_once(reader: Callable[[Path], object], tmp_path: Path) -> None:
    for target in ("/dev/zero", tmp_path):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(target)
        with pytest.raises(BundleError, match=r"link: expected a regular file"):
            reader(tmp_path / "link")


@pytest.mark.parametrize("name", ["tensors", "controller", "weights"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match=r"typo\.safetensors: expected a file"):
        READERS[name](tmp_path / "typo.safetensors")


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(100)}, tmp_path / "large")
    with pytest.raises(BundleError, match="at most 100 bytes"):
        read_content(tmp_path / "large", 100)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weights": torch.zeros(3, 4)}, r"keys \['bias', 'weights'\]; got \['weights'\]"),
        ({"weights": torch.zeros(3, 4, dtype=torch.bfloat16), "bias": torch.zeros(3)}, "weights as torch.bfloat16"),
        ({"weights": torch.zeros(3, 4), "bias": torch.full((3,), np.nan)}, "finite"),
        ({"weights": torch.zeros(3, 4), "bias": torch.zeros(4)}, "shape"),
    ],
)
def test_what_is_no_controller_is_named(tensors: dict[str, torch.Tensor], message: str, tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "driver.safetensors")
    with pytest.raises(BundleError, match=rf"driver\.safetensors.*{message}"):
        LinearController.load(tmp_path / "driver.safetensors")


def test_metadata_are_read_beside_the_tensors(tmp_path: Path) -> None:
    for metadata in ({"squash": "tanh,unit"}, None):
        save_file({"weights": torch.zeros(3)}, tmp_path / "file", metadata)
        assert parse_metadata(read_content(tmp_path / "file")) == (metadata or {})


def test_a_checkpoint_of_another_module_can_be_moved_away(tmp_path: Path) -> None:
    save_file({"weights.weight": torch.zeros(1, 2), "training_step": torch.tensor(3)}, tmp_path / "checkpoint")
    with pytest.raises(BundleError, match=r"(?s)cannot go on from .*checkpoint.*; put back a good copy, or move it"):
        restore_checkpoint(tmp_path / "checkpoint")
    assert restore_checkpoint(tmp_path / "missing") == 0
