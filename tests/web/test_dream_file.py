"""The bundle as the page reads it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dreamgym.web.dream_file import dream_file
from dreamgym.world_model import WorldModel
from tests.support.browser import run_script
from tests.support.page_dreams import SOURCES


def test_file_is_the_same_each_time(toy_world_model: WorldModel) -> None:
    assert dream_file(toy_world_model) == dream_file(toy_world_model)


@pytest.mark.parametrize(("cut", "message"), [(5, "cut short"), (400, "cut short"), (-3, "damaged at")])
def test_damaged_file_is_named(toy_world_model: WorldModel, tmp_path: Path, cut: int, message: str) -> None:
    shutil.copytree(SOURCES, tmp_path / "site")
    (tmp_path / "site" / "dream.safetensors").write_bytes(dream_file(toy_world_model)[:cut])
    script = """
    const { readTensors } = await import("./tensors.js");
    const bytes = new Uint8Array(await (await fetch("dream.safetensors")).arrayBuffer());
    try { readTensors(bytes); return "read"; } catch (error) { return error.message; }
    """
    assert message in run_script(tmp_path / "site", script, tmp_path / "profile")
