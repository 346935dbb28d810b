"""The command line: help from the dataclasses, one clear line for a user's error, exit codes."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dreamgym import cli, config
from dreamgym.errors import ConfigError, OutputFolderError
from tests.support.processes import running, wait_until

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
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x.gif"), 2, "Is a directory"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/x"), 2, "No such file or directory"),
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
        required = entry.default is dataclasses.MISSING
        named = entry.name.upper() if required else f"[{entry.name.upper()}]"
        shown = named if entry.name == positional else f"--{entry.name.replace('_', '-')}"
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
        [sys.executable, "-m", "dreamgym", *arguments], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (finished.returncode, finished.stderr) == (141, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["evolve", "--out", "run", "--seed", "-1"],
        ["demo", "--seed", "-1"],
        ["train", "vision", "--episodes", "data", "--out", "run", "--seed", "-1"],
        ["train", "memory", "--latents", "data", "--out", "run", "--seed", "-1"],
        ["collect", "--out", "run", "--seed", "-1"],
        ["evaluate", "--workers", "0"],
    ],
)
def test_numbers_out_of_range_are_refused_before_anything(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(arguments)
    except SystemExit as error:  # in a dataclass that tyro makes
        code = int(error.code or 0)
    assert code == 2 and f"got {arguments[-1]}" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="the shell of POSIX")
@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), (">&- 2>&-", 0), ("2>&-", 0)])
def test_streams_may_be_closed(redirection: str, code: int) -> None:
    command = f"exec {sys.executable} -m dreamgym.cli --version {redirection}"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == code


def test_an_ascii_terminal_gets_a_table_too() -> None:
    script = "from dreamgym import cli; cli._dispatch = lambda _: print('909 ± 5') or 0; raise SystemExit(cli.main())"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert done.stdout == b"909 ? 5\n"


def test_a_broken_pipe_of_the_stages_own_is_not_hidden(stage: Callable[[Stage], None]) -> None:
    def run(_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "a worker's pipe")

    stage(run)
    with pytest.raises(BrokenPipeError, match="worker"):
        cli.main(["demo"])


def test_a_folder_that_no_folder_can_be_made_in_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("looks for a place that takes no folders in /proc")
    assert cli.main(["collect", "--out", "/proc/x", "--frames", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "dreamgym collect: error: /proc/x cannot be made; choose another output folder"
    )


@pytest.mark.filterwarnings("always")
def test_a_warning_for_the_user_is_one_line(stage: Callable[[Stage], None], capsys: pytest.CaptureFixture[str]) -> None:
    stage(lambda _: warnings.warn("unpickling runs code", stacklevel=2))
    assert cli.main(["demo"]) == 0
    assert capsys.readouterr().err == "dreamgym demo: warning: unpickling runs code\n"


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_termination_ends_the_stage_as_ctrl_c_does(
    stage: Callable[[Stage], None], capsys: pytest.CaptureFixture[str]
) -> None:
    tidied: list[bool] = []

    def run(_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            tidied.append(True)

    stage(run)
    assert cli.main(["demo"]) == 143
    assert tidied and capsys.readouterr().err == "dreamgym demo: terminated\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_terminated_workers_leave_nothing_to_complain_of(toy_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dreamgym.cli", "evolve", "--world-model", str(toy_bundle), "--workers", "2"]
    command += ["--out", str(tmp_path / "run"), "--generations", "1000", "--population", "4", "--rollouts", "2"]
    with running(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert wait_until((tmp_path / "run" / "generations.jsonl").exists, 600)
        process.terminate()
        _, printed = process.communicate(timeout=300)
    assert process.returncode == 143
    assert "leaked" not in printed and "Traceback" not in printed
    assert printed.splitlines()[-1] == "dreamgym evolve: terminated"
