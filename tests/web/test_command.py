"""``dreamgym web``: one file or a folder, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dreamgym import cli


def test_one_file_has_everything_in_it(toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["web", str(toy_bundle), "--out", str(tmp_path / "new" / "dream.html")]) == 0
    page = (tmp_path / "new" / "dream.html").read_text(encoding="utf-8")
    assert "open it in a browser" in capsys.readouterr().out
    assert not re.search(r'(src|href)="(?!data:|https://worldmodels)', page)
    assert not re.search(r"^(import|export) ", page, re.MULTILINE)
    assert "url(data:font/otf" in page


@pytest.mark.parametrize("name", ["site", "dream.html"])
def test_another_folder_is_left_alone(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").touch()
    assert cli.main(["web", str(toy_bundle), "--out", str(tmp_path / name)]) == 2
    assert "choose" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / name).iterdir()] == ["thesis.tex"]


def test_another_file_is_left_alone_and_a_page_replaced(toy_bundle: Path, tmp_path: Path) -> None:
    mine, page = tmp_path / "index.html", tmp_path / "dream.html"
    mine.write_text("<!doctype html><title>Mine</title>")
    assert cli.main(["web", str(toy_bundle), "--out", str(mine)]) == 2
    assert mine.read_text() == "<!doctype html><title>Mine</title>"
    for _ in range(2):
        assert cli.main(["web", str(toy_bundle), "--out", str(page)]) == 0


def test_damaged_bundle_is_named(copied_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (copied_bundle / "memory.safetensors").open("r+b") as file:
        file.write(b"\xff")
    assert cli.main(["web", str(copied_bundle), "--out", str(tmp_path / "dream.html")]) == 2
    assert "memory.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "dream.html").exists()
