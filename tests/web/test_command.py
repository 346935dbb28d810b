"""``dreamgym web``: one file or a folder, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dreamgym import cli
from dreamgym.web.build import page_files, single_page
from dreamgym.world_model import WorldModel


def test_one_file_has_everything_in_it(toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["web", str(toy_bundle), "--out", str(tmp_path / "new" / "dream.html")]) == 0
    page = (tmp_path / "new" / "dream.html").read_text(encoding="utf-8")
    assert "open it in a browser" in capsys.readouterr().out
    assert not re.search(r'(src|href)="(?!data:|https://worldmodels)', page)
    assert not re.search(r"^(import|export) ", page, re.MULTILINE)
    assert "url(data:font/otf" in page


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


@pytest.mark.parametrize("name", ["site", "dream.html"])
def test_another_folder_is_left_alone(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").touch()
    assert cli.main(["web", str(toy_bundle), "--out", str(tmp_path / name)]) == 2
    assert "choose" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / name).iterdir()] == ["thesis.tex"]


def test_damaged_bundle_is_named(copied_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (copied_bundle / "memory.safetensors").open("r+b") as file:
        file.write(b"\xff")
    assert cli.main(["web", str(copied_bundle), "--out", str(tmp_path / "dream.html")]) == 2
    assert "memory.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "dream.html").exists()
