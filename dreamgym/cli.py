"""The command line: each command is a configuration dataclass and the stage that runs it.

Both are imported when their command is called, so that ``dreamgym --help`` answers at once. Policy for the whole
process is set here, before torch is imported, and nowhere else.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_type_hints

from dreamgym.errors import DreamGymError

__all__ = ["COMMANDS", "Command", "main", "set_process_policy"]

EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell reports it
EXIT_TERMINATED: Final = 143  # 128 + SIGTERM
EXIT_BROKEN_PIPE: Final = 141  # 128 + SIGPIPE: the reader, such as head, has seen enough

_EXTRAS: Final = {
    "PIL": "train",
    "imageio": "train",
    "imageio_ffmpeg": "train",
    "matplotlib": "train",
    "onnx": "onnx",
    "tqdm": "train",
    "scipy": "train",
    "sb3_contrib": "sb3",
    "stable_baselines3": "sb3",
}
# Failures of the place a command was told to work in, not of the program: one line says enough.
_USER_ERRNOS: Final = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,  # as a file in /proc
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}


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
    "collect": Command("CollectConfig", "dreamgym.collect.command", "record episodes of a real environment"),
    "import": Command(
        "ImportConfig",
        "dreamgym.collect.import_recordings",
        "make episodes of recordings from elsewhere",
        positional="recordings",
    ),
    "train vision": Command("VisionConfig", "dreamgym.vision.train", "train V on recorded frames"),
    "train memory": Command("MemoryConfig", "dreamgym.memory.train", "train M on V's latents"),
    "train all": Command(
        "PipelineConfig", "dreamgym.pipeline.command", "from nothing to V, M, dream and controller, resumable"
    ),
    "encode": Command("EncodeConfig", "dreamgym.vision.encode_dataset", "encode recorded frames with V"),
    "assemble": Command("AssembleConfig", "dreamgym.world_model.build", "make a world model of V and M"),
    "evolve": Command("EvolveConfig", "dreamgym.evolve.command", "evolve a controller in the dream"),
    "evaluate": Command(
        "EvaluateConfig", "dreamgym.evaluate", "score a controller in the dream and in reality", positional="controller"
    ),
    "fidelity": Command("FidelityConfig", "dreamgym.fidelity", "measure how far dream and reality agree"),
    "demo": Command("DemoConfig", "dreamgym.demo", "evolve a controller in the dream, then play reality with it"),
    "export": Command(
        "ExportConfig", "dreamgym.export", "write V, M and C as ONNX files for other runtimes", positional="world_model"
    ),
    "web": Command("WebConfig", "dreamgym.web", "make a page that dreams in a browser", positional="world_model"),
    "play": Command("PlayConfig", "dreamgym.play", "play in reality, in the dream, or from one into the other"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; ``sys.argv[1:]`` when None.

    Returns:
        The exit code: 0, 2 for an error of the user's making (one line on stderr), 130 after Ctrl-C, 143 after
        SIGTERM. Errors in the arguments themselves leave through ``SystemExit(2)``, as in argparse.
    """
    _prepare_streams()
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


def _prepare_streams() -> None:
    """Give a process that was started without streams (``>&-``) empty ones, and let all of them take any text."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for ±


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
        with _plain_warnings(name), _tidy_termination():
            config = _parse(name, arguments)
            import_module(COMMANDS[name].module).run(config)
    except KeyboardInterrupt:
        print(f"dreamgym {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except _Terminated:
        print(f"dreamgym {name}: terminated", file=sys.stderr)
        return EXIT_TERMINATED
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


class _Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def _tidy_termination() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does, so that workers end and nothing unfinished is left."""

    def stop(*_: object) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _plain_warnings(name: str) -> Iterator[None]:
    """Show a warning that is meant for the user as one line, without the place in the code that it came from."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if category is UserWarning:
            print(f"dreamgym {name}: warning: {message}", file=sys.stderr)
        else:
            before(message, category, *place, **options)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _parse(name: str, arguments: list[str]) -> Any:
    import tyro

    command = COMMANDS[name]
    config_class = getattr(import_module("dreamgym.config"), command.config)
    if ":" in (_said(arguments, "world") or ""):
        sys.path.append(str(Path.cwd()))  # the user's own module, as for python -m
    form = _with_positional(config_class, command.positional) if command.positional else config_class
    config = tyro.cli(form, prog=f"dreamgym {name}", args=arguments, **_of_world(config_class, arguments))
    return config_class(**{entry.name: getattr(config, entry.name) for entry in dataclasses.fields(config_class)})


def _of_world(config_class: type[Any], arguments: list[str]) -> dict[str, Any]:
    """The default settings of the world that the arguments name, for commands that have such."""
    import tyro

    if not hasattr(config_class, "of"):
        return {}
    unsaid = dataclasses.MISSING
    fields = dataclasses.fields(config_class)
    required = [entry.name for entry in fields if entry.default is unsaid and entry.default_factory is unsaid]
    choices = {entry.name: _said(arguments, entry.name) for entry in fields if entry.name in ("world", "recording")}
    return {"default": config_class.of(**choices, **dict.fromkeys(required, tyro.MISSING))}


def _said(arguments: list[str], name: str) -> str | None:
    """What follows an option; the parser itself is made of the defaults that it decides."""
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option == f"--{name}":
            return value if equals else next(iter(arguments[place + 1 :]), None)
    return None


def _with_positional(config_class: type[Any], name: str) -> type[Any]:
    """The same dataclass with one field marked for tyro, so that the configurations need not know of tyro."""
    import tyro

    wanted: Any = get_type_hints(config_class, include_extras=True)[name]
    default = next(entry.default for entry in dataclasses.fields(config_class) if entry.name == name)
    shown = name.upper() if default is dataclasses.MISSING else f"[{name.upper()}]"
    marked = Annotated[wanted, tyro.conf.Positional, tyro.conf.arg(metavar=shown)]
    return dataclasses.make_dataclass(
        config_class.__name__,
        [(name, marked, dataclasses.field(default=default))],
        bases=(config_class,),
        frozen=True,
        namespace={"__doc__": config_class.__doc__},
    )


def set_process_policy() -> None:
    """Set what must be set before torch and pygame are loaded.

    What the user set in the environment stays.
    """
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
    about = [] if prefix else ["Learned simulators of real environments: train in the dream, play in reality.", ""]
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
