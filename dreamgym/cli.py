"""The command line: each command is a configuration dataclass and the stage that runs it.

Both are imported when their command is called, so that ``dreamgym --help`` answers at once. Policy for the whole
process is set here, before torch is imported, and nowhere else.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple, get_type_hints

from dreamgym.errors import DreamGymError

__all__ = ["COMMANDS", "Command", "main", "set_process_policy"]

EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell reports it
EXIT_BROKEN_PIPE: Final = 141  # 128 + SIGPIPE: the reader, such as head, has seen enough

_EXTRAS: Final = {
    "PIL": "train",
    "imageio": "train",
    "imageio_ffmpeg": "train",
    "matplotlib": "train",
    "tqdm": "train",
    "sb3_contrib": "sb3",
    "stable_baselines3": "sb3",
}
# Failures of the place a command was told to work in, not of the program: one line says enough.
_USER_ERRNOS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


# glibc's names for the environment, and the numbers that mallopt knows them by.
_MALLOC_POLICY: Final = {
    "MALLOC_TRIM_THRESHOLD_": (-1, 2_000_000_000),
    "MALLOC_TOP_PAD_": (-2, 256 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * 2**20),
}


class Command(NamedTuple):
    """One command: ``module.run(config)``, with the configuration read from the command line."""

    config: str
    """Name of the dataclass in :mod:`dreamgym.config`."""
    module: str
    """Where the stage's ``run`` is."""
    summary: str
    positional: str | None = None
    """The one field given without its name."""


COMMANDS: Final = {
    "collect": Command("CollectConfig", "dreamgym.recording", "record frames of the real world"),
    "train vision": Command("VisionConfig", "dreamgym.vision.train", "train V on recorded frames"),
    "train memory": Command("MemoryConfig", "dreamgym.memory.train", "train M on V's latents"),
    "train all": Command(
        "PipelineConfig", "dreamgym.pipeline.command", "from nothing to V, M, dream and driver, resumable"
    ),
    "evolve": Command("EvolveConfig", "dreamgym.dream_trials", "evolve a controller in the dream"),
    "evaluate": Command(
        "EvaluateConfig", "dreamgym.evaluate", "score a controller in the dream and in reality", positional="controller"
    ),
    "fidelity": Command("FidelityConfig", "dreamgym.fidelity", "measure how far dream and reality agree"),
    "demo": Command("DemoConfig", "dreamgym.demo", "evolve a driver in the dream, then drive the real track with it"),
    "play": Command("PlayConfig", "dreamgym.play", "drive yourself: in reality, in the dream, from one into the other"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; ``sys.argv[1:]`` when None.

    Returns:
        The exit code: 0, 2 for an error of the user's making (one line on stderr), 130 after Ctrl-C. Errors in the
        arguments themselves leave through ``SystemExit(2)``, as in argparse.
    """
    try:
        try:
            return _dispatch(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _stdout_is_broken():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at exit
        return EXIT_BROKEN_PIPE


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else EXIT_ERROR
    if arguments[0] == "--version":
        from dreamgym import __version__

        print(f"dreamgym {__version__}")
        return 0
    words = 2 if arguments[0] == "train" else 1
    name = " ".join(arguments[:words])
    if name == "train" or (words == 2 and arguments[1] in ("-h", "--help")):
        print(_help("train"))
        return 0 if len(arguments) > 1 else EXIT_ERROR
    if name not in COMMANDS:
        return _fail(f"unknown command {name!r}{_suggestion(name)}; see dreamgym --help")
    return _run(name, arguments[words:])


def _run(name: str, arguments: list[str]) -> int:
    set_process_policy()
    try:
        config = _parse(name, arguments)
        import_module(COMMANDS[name].module).run(config)
    except KeyboardInterrupt:
        print(f"dreamgym {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except DreamGymError as error:
        return _fail(str(error), name)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(f"needs {error.name}, which is not installed; run: pip install 'dreamgym[{extra}]'", name)
    except OSError as error:
        if error.errno not in _USER_ERRNOS:
            raise
        return _fail(str(error), name)
    return 0


def _parse(name: str, arguments: list[str]) -> Any:
    import tyro

    command = COMMANDS[name]
    config_class = getattr(import_module("dreamgym.config"), command.config)
    form = _with_positional(config_class, command.positional) if command.positional else config_class
    config = tyro.cli(form, prog=f"dreamgym {name}", args=arguments)
    return config_class(**{entry.name: getattr(config, entry.name) for entry in dataclasses.fields(config_class)})


def _with_positional(config_class: type[Any], name: str) -> type[Any]:
    """The same dataclass with one field marked for tyro, so that the configurations need not know of tyro."""
    import tyro

    wanted: Any = get_type_hints(config_class, include_extras=True)[name]
    marked = Annotated[wanted, tyro.conf.Positional, tyro.conf.arg(metavar=name.upper())]
    default = next(entry.default for entry in dataclasses.fields(config_class) if entry.name == name)
    return dataclasses.make_dataclass(
        config_class.__name__,
        [(name, marked, dataclasses.field(default=default))],
        bases=(config_class,),
        frozen=True,
        namespace={"__doc__": config_class.__doc__},
    )


def set_process_policy() -> None:
    """Set what must be set before torch and pygame are loaded; what the user set in the environment stays."""
    # Threads that spin while they wait make small batches a hundred times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if sys.platform == "linux":
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed: training takes the same large blocks in every step, and to get them as
    fresh pages costs more than some of the arithmetic on them. musl, which has no such settings, is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for name, (number, value) in _MALLOC_POLICY.items():
        if name not in os.environ:
            mallopt(number, value)


def _stdout_is_broken() -> bool:
    try:
        print(flush=True)  # flushing alone says nothing where stdout is not buffered
    except BrokenPipeError:
        return True
    return False


def _help(prefix: str = "") -> str:
    program = f"dreamgym {prefix}".strip()
    shown = {name: command for name, command in COMMANDS.items() if name.startswith(prefix)}
    width = max(map(len, shown))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in shown.items()]
    about = [] if prefix else ["A learned CarRacing: train in the dream, drive in reality.", ""]
    return "\n".join(
        [f"usage: {program} COMMAND [options]", "", *about, "commands:", *lines, "", "options of one: --help after it"]
    )


def _suggestion(name: str) -> str:
    close = get_close_matches(name, COMMANDS, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _fail(message: str, name: str = "") -> int:
    print(f"{f'dreamgym {name}'.strip()}: error: {message}", file=sys.stderr)
    return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
