"""Files are whole or not there, and an output folder belongs to one run."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from dreamgym import files
from dreamgym.config import WebConfig
from dreamgym.controller.linear import LinearController
from dreamgym.errors import OutputFolderError
from dreamgym.files import (
    append_line,
    atomic_write,
    claim_folder,
    lock_folder,
    read_log,
    read_object,
    remove_leftovers,
    write_files,
    write_json,
)


@dataclass(frozen=True)
class Config:
    out: Path
    steps: int = 3
    workers: int = 1


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("old")

    def write_half() -> None:
        with atomic_write(tmp_path / "kept.txt") as temporary:
            temporary.write_text("half")
            assert (tmp_path / "kept.txt").read_text() == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert names(tmp_path) == {"kept.txt"}
    assert (tmp_path / "kept.txt").read_text() == "old"


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '[^']*weights\.bin'$"):
        files.write_bytes(tmp_path / "weights.bin", b"1234")
    assert names(tmp_path) == set()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_files_have_the_permissions_of_the_umask(toy_controller: LinearController, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        toy_controller.save(tmp_path / "controller.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "controller.safetensors").stat().st_mode) == 0o644


@pytest.fixture
def toy_controller() -> LinearController:
    return LinearController.from_parameters([0.0] * 15)  # type: ignore[arg-type]


def test_a_folder_that_was_only_begun_can_be_claimed_again(tmp_path: Path) -> None:
    (tmp_path / ".config.json.123.tmp.json").write_text('{"st')
    claim_folder(tmp_path, Config(tmp_path))
    assert {name for name in names(tmp_path) if name != ".lock"} == {"config.json"}


def test_temporary_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    claim_folder(tmp_path, Config(tmp_path))
    (tmp_path / ".mean.safetensors.1.tmp.safetensors").write_text("half")
    (tmp_path / "mean.safetensors").write_text("whole")
    claim_folder(tmp_path, Config(tmp_path))
    assert {name for name in names(tmp_path) if name != ".lock"} == {"config.json", "mean.safetensors"}


def test_temporary_files_below_are_removed_but_for_those_of_a_folder_with_a_lock(tmp_path: Path) -> None:
    for name in ("episodes", "vision"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".a.npz.1.tmp.npz").touch()
        (tmp_path / name / "a.npz").touch()
    (tmp_path / "vision" / ".lock").touch()
    with lock_folder(tmp_path):
        pass
    assert names(tmp_path / "episodes") == {"a.npz"}
    assert names(tmp_path / "vision") == {".lock", ".a.npz.1.tmp.npz", "a.npz"}


def test_files_that_a_killed_process_was_writing_are_written_again(tmp_path: Path) -> None:
    for name in (".page.html.123.tmp.html", ".dream.js.9.tmp.js"):
        (tmp_path / name).write_text("half")
    write_files(tmp_path, {"page.html": b"page", "dream.js": b"dream"})
    assert names(tmp_path) == {"page.html", "dream.js"}
    (tmp_path / ".other.html.1.tmp.html").touch()
    with pytest.raises(OutputFolderError, match=r"holds other things \(\.other\.html"):
        write_files(tmp_path, {"page.html": b"page", "dream.js": b"dream"})


def test_leftovers_of_other_files_stay(tmp_path: Path) -> None:
    others = {".run.json.2.json.7.tmp.json", ".run.json.part.7.tmp.part", ".a.json.7.tmp.json", "run.json"}
    for name in (*others, ".run.json.7.tmp.json", ".run.json.88.tmp.json"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "run.json")
    assert names(tmp_path) == others
    remove_leftovers(tmp_path / "none" / "run.json")


def test_another_process_cannot_claim_a_folder_while_it_is_held(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dreamgym.files import claim_folder; "
        "from dreamgym.config import WebConfig; folder = Path(sys.argv[1])\n"
        "with claim_folder(folder, WebConfig(out=folder)): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputFolderError, match="another process"):
            claim_folder(tmp_path, Config(tmp_path))
        other.kill()
    claim_folder(tmp_path, WebConfig(out=tmp_path))  # a killed process holds nothing


def test_a_folder_below_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderError, match="below a file"):
        claim_folder(tmp_path / "file" / "run", Config(tmp_path / "file" / "run"))


def test_a_run_goes_on_with_the_same_inputs_alone(tmp_path: Path) -> None:
    config = Config(tmp_path)
    with claim_folder(tmp_path, config, inputs={"world_model_sha256": "aa"}):
        write_json(tmp_path / "result.json", 1)
    claim_folder(tmp_path, config, inputs={"world_model_sha256": "aa"})
    with pytest.raises(OutputFolderError, match="world_model_sha256: 'aa' there, 'bb' now"):
        claim_folder(tmp_path, config, inputs={"world_model_sha256": "bb"})


def test_inputs_that_are_gone_are_not_missed(tmp_path: Path) -> None:
    for given in ({"data_sha256": "aa"}, {"data_sha256": None}):
        with claim_folder(tmp_path, Config(tmp_path), inputs=given):
            write_json(tmp_path / "result.json", 1)
    with pytest.raises(OutputFolderError, match="data_sha256: 'aa' there, 'bb' now"):
        claim_folder(tmp_path, Config(tmp_path), inputs={"data_sha256": "bb"})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_appending_to_a_full_disk_names_the_file() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        append_line(Path("/dev/full"), "a line")


def test_a_run_from_before_its_inputs_were_recorded_goes_on(tmp_path: Path) -> None:
    with claim_folder(tmp_path, Config(tmp_path)):
        write_json(tmp_path / "result.json", 1)
    claim_folder(tmp_path, Config(tmp_path, workers=2), may_differ=("workers",), inputs={"world_model_sha256": "bb"})


def test_a_foreign_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(OutputFolderError, match="something else"):
        claim_folder(tmp_path, Config(tmp_path))
    assert names(tmp_path) == {"thesis.tex"}


@pytest.mark.skipif(os.name == "nt", reason="neither pipes nor devices among the files")
def test_records_and_logs_are_regular_files(tmp_path: Path) -> None:
    """Opening a pipe would wait for ever, and reading a device would fill the memory."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for path in tmp_path.iterdir():
        with pytest.raises(OutputFolderError, match=f"{path.name}: expected a text file"):
            read_object(path)
        with pytest.raises(OutputFolderError, match=f"{path.name}: expected a text file"):
            read_log(path, lambda entry, _: entry, "")
    (tmp_path / "pipe").rename(tmp_path / "config.json")
    with pytest.raises(OutputFolderError, match=r"config\.json: expected a text file"):
        claim_folder(tmp_path, Config(tmp_path))


@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", "5", '{"a": ', "\udcff"])
def test_a_record_is_a_json_object(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(OutputFolderError, match=r"config\.json: expected a JSON object"):
        claim_folder(tmp_path, Config(tmp_path))


def test_a_record_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_TEXT_LIMIT", 8)
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert read_object(tmp_path / "config.json") == {"a": 1}
    (tmp_path / "config.json").write_text('{"a": 12}')
    with pytest.raises(OutputFolderError, match="at most 8 letters"):
        read_object(tmp_path / "config.json")
