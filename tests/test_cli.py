"""The command line: help from the dataclasses, one clear line for a user's error, exit codes."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dreamgym import cli, config
from dreamgym.errors import ConfigError, OutputFolderError

Stage = Callable[[Any], object]


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """Do a sample."""

    source: Path | None = None
    """Where from."""
    count: int = 3
    """How many."""

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"count: expected 0 or more, got {self.count}")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage], None]:
    """Put a stage of one's own behind ``dreamgym demo``."""

    def install(run: Stage) -> None:
        module = types.ModuleType("sample_stage")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "sample_stage", module)
        monkeypatch.setattr(config, "SampleConfig", SampleConfig, raising=False)
        monkeypatch.setitem(cli.COMMANDS, "demo", cli.Command("SampleConfig", "sample_stage", "sample", "source"))

    for name in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "PYGAME_HIDE_SUPPORT_PROMPT"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # what main sets is undone after the test
        monkeypatch.delenv(name)
    return install


def test_config_reaches_the_stage(stage: Callable[[Stage], None]) -> None:
    seen: list[object] = []
    stage(seen.append)
    assert cli.main(["demo", "--count", "5", "here.txt"]) == 0
    assert seen == [SampleConfig(Path("here.txt"), 5)]
    assert type(seen[0]) is SampleConfig


def test_positional_may_be_left_out(stage: Callable[[Stage], None]) -> None:
    seen: list[object] = []
    stage(seen.append)
    assert cli.main(["demo"]) == 0
    assert seen == [SampleConfig()]


def test_policy_is_set_before_the_stage_and_leaves_the_users(
    stage: Callable[[Stage], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str | None] = {}
    stage(lambda _: seen.update(omp=os.environ.get("OMP_WAIT_POLICY"), kmp=os.environ.get("KMP_BLOCKTIME")))
    monkeypatch.setenv("KMP_BLOCKTIME", "7")
    assert cli.main(["demo"]) == 0
    assert seen == {"omp": "PASSIVE", "kmp": "7"}


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (OutputFolderError("runs/a holds something else"), 2, "dreamgym demo: error: runs/a holds something else"),
        (KeyboardInterrupt(), 130, "dreamgym demo: interrupted"),
        (ModuleNotFoundError("no", name="imageio.v3"), 2, "pip install 'dreamgym[train]'"),
        (OSError(errno.ENOSPC, "No space left on device", "x.npz"), 2, "No space left on device"),
    ],
)
def test_expected_errors_are_one_line(
    stage: Callable[[Stage], None],
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    line: str,
) -> None:
    def run(_: object) -> None:
        raise raised

    stage(run)
    assert cli.main(["demo"]) == code
    printed = capsys.readouterr()
    assert line in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize("raised", [ValueError("a bug"), ModuleNotFoundError("no", name="numpyy"), OSError(5, "I/O")])
def test_unexpected_errors_keep_their_traceback(stage: Callable[[Stage], None], raised: Exception) -> None:
    def run(_: object) -> None:
        raise raised

    stage(run)
    with pytest.raises(type(raised)):
        cli.main(["demo"])


@pytest.mark.parametrize("arguments", [["--count", "-1"], ["--count", "many"], ["--cuont", "1"], ["a", "b"]])
def test_bad_arguments_exit_2(
    stage: Callable[[Stage], None], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    seen: list[object] = []
    stage(seen.append)
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", *arguments])
    assert stop.value.code == 2
    assert capsys.readouterr().err
    assert seen == []


def test_unknown_command_suggests_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evolv"]) == 2
    assert "did you mean 'evolve'" in capsys.readouterr().err
    assert cli.main(["train", "visoin"]) == 2
    assert "did you mean 'train vision'" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), ([], 2)])
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> None:
    assert cli.main(arguments) == code
    printed = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert name in printed
        assert command.summary in printed


@pytest.mark.parametrize(("arguments", "code"), [(["train", "--help"], 0), (["train"], 2)])
def test_help_of_train(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> None:
    assert cli.main(arguments) == code
    printed = capsys.readouterr().out
    assert "train memory" in printed
    assert "collect" not in printed


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_is_made_from_the_dataclass(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([*name.split(), "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    positional = cli.COMMANDS[name].positional
    for entry in dataclasses.fields(getattr(config, cli.COMMANDS[name].config)):
        shown = entry.name.upper() if entry.name == positional else f"--{entry.name.replace('_', '-')}"
        assert shown in printed


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_its_stage(name: str) -> None:
    assert callable(import_module(cli.COMMANDS[name].module).run)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import dreamgym

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dreamgym {dreamgym.__version__}\n"


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; from dreamgym import cli\n"
        "try: cli.main(['evaluate', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pygame'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("arguments", [["--help"], ["evolve", "--help"]])
def test_a_reader_that_stops_early_gets_no_traceback(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    finished = subprocess.run(
        [sys.executable, "-m", "dreamgym.cli", *arguments], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (finished.returncode, finished.stderr) == (141, "")


def test_a_broken_pipe_of_the_stages_own_is_not_hidden(stage: Callable[[Stage], None]) -> None:
    def run(_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "a worker's pipe")

    stage(run)
    with pytest.raises(BrokenPipeError, match="worker"):
        cli.main(["demo"])
