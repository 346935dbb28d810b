"""What is installed is what is in the tree: wheel, sdist, and the wheel that an sdist gives."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import dreamgym

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "dreamgym", "wrappers")


def project() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def build(kind: str, source: Path, out: Path) -> Path:
    """Build with setuptools' own hooks, in a process of its own; nothing is downloaded."""
    out.mkdir(parents=True, exist_ok=True)
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    finished = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    (built,) = out.iterdir()
    return built


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def package_files(wheel: Path) -> set[str]:
    return {name for name in names_in(wheel) if name.startswith("dreamgym/")}


def tree_files(root: Path) -> set[str]:
    """What a wheel should hold of the package, as the tree has it."""
    dreamgym, wrappers = root / "dreamgym", root / "wrappers"
    link = dreamgym / "wrappers"
    modules = {path for path in dreamgym.rglob("*.py") if link not in path.parents}
    assets = {path for path in (dreamgym / "assets").rglob("*") if path.is_file()}
    assets |= set((dreamgym / "web" / "site").iterdir())
    own = {str(path.relative_to(root).as_posix()) for path in modules | assets | {dreamgym / "py.typed"}}
    return own | {f"dreamgym/wrappers/{path.relative_to(wrappers).as_posix()}" for path in wrappers.rglob("*.py")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, so that building writes nothing into it, with a file of assets there for sure."""
    folder = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(path, folder / name)
    canary = folder / "dreamgym" / "assets" / "canary" / "card.json"
    canary.parent.mkdir(parents=True)
    canary.write_text("{}")
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_of_sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sdist = build("sdist", source, tmp_path_factory.mktemp("sdist"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        # Python's early 3.11 releases have no filters; the archive is our own.
        archive.extractall(unpacked, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (folder,) = unpacked.iterdir()
    return build("wheel", folder, tmp_path_factory.mktemp("wheel_of_sdist"))


def test_packages_list_is_the_tree() -> None:
    tool = project()["tool"]
    assert isinstance(tool, dict)
    folders = {path.parent for path in (ROOT / "dreamgym").rglob("__init__.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders} | {"dreamgym.wrappers"}
    assert set(tool["setuptools"]["packages"]) == found


def test_version_is_one() -> None:
    assert f"version: {dreamgym.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_constraints_pin_every_dependency_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    assert not [pin for pin in pins.values() if "+" in pin]
    metadata = project()["project"]
    assert isinstance(metadata, dict)
    extras = metadata["optional-dependencies"]
    wanted = [*metadata["dependencies"], *extras["sb3"], *extras["train"], *extras["onnx"], *extras["dev"]]
    names = {re.split(r"[\[<>=;]", requirement)[0] for requirement in wanted}
    # ufal-pybox2d stands in for box2d where there is no wheel of it.
    assert names - pins.keys() == {"dreamgym", "ufal-pybox2d"}


def test_readme_has_the_two_commands_and_ci_runs_the_second() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len([line for line in readme if line.startswith("python3 -m venv") and line.endswith("dreamgym demo")]) == 1
    assert len([line for line in readme if line.startswith("python3 -m venv") and line.endswith("pytest")]) == 1
    assert "grep -E '^python3 -m venv .*pytest$' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_wrappers_is_a_link_to_the_top_level_folder() -> None:
    link = ROOT / "dreamgym" / "wrappers"
    assert link.is_symlink()
    assert link.resolve() == (ROOT / "wrappers").resolve()


def test_wheel_holds_the_tree(source: Path, wheel: Path) -> None:
    assert package_files(wheel) == tree_files(source)
    assert {"dreamgym/py.typed", "dreamgym/assets/canary/card.json", "dreamgym/wrappers/__init__.py"} <= names_in(wheel)
    assert not [name for name in names_in(wheel) if name.startswith(("wrappers/", "tests/"))]


def test_wheel_of_sdist_is_the_wheel(wheel: Path, wheel_of_sdist: Path) -> None:
    assert names_in(wheel_of_sdist) == names_in(wheel)


def test_wheel_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        scripts = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "License-Expression: MIT" in archive.read(metadata).decode()
        assert "dreamgym = dreamgym.cli:main" in archive.read(scripts).decode()


def test_wheel_works_beside_somebody_elses_wrappers(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    (elsewhere / "wrappers").mkdir(parents=True)
    (elsewhere / "wrappers" / "__init__.py").write_text("mine = True\n")
    code = (
        "import sys; sys.path.insert(1, sys.argv[1])\n"
        "import wrappers, dreamgym, dreamgym.wrappers\n"
        "print(wrappers.mine, dreamgym.__file__, dreamgym.wrappers.__file__)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(installed)], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    mine, package, wrappers = finished.stdout.split()
    assert mine == "True"
    assert Path(package) == installed / "dreamgym" / "__init__.py"
    assert Path(wrappers) == installed / "dreamgym" / "wrappers" / "__init__.py"
