"""The page's parts in one file, or in a folder."""

from __future__ import annotations

import re
from pathlib import Path

from dreamgym import cli
from dreamgym.web.build import page_files, single_page
from dreamgym.world_model import WorldModel


def test_scripts_in_one_file_share_no_names(toy_world_model: WorldModel) -> None:
    page = single_page(page_files(toy_world_model)).decode()
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", page, re.MULTILINE)
    assert len(names) > 30
    assert len(set(names)) == len(names)


def test_folder_has_the_page_and_is_replaced(toy_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    for _ in range(2):
        assert cli.main(["web", str(toy_bundle), "--out", str(folder)]) == 0
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert written == page_files(WorldModel.load(toy_bundle))
    assert {"index.html", "dream.safetensors", "kernel.wasm", "page.js"} <= written.keys()
    assert "kernel.c" not in written
