"""The command line: each command is a configuration dataclass and the stage that runs it.

Both are imported when their command is called, so that ``dreamgym --help`` answers at once. Policy for the whole
process (:mod:`dreamgym.process_policy`) is set before that, and nowhere else.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_type_hints

from dreamgym.errors import DreamGymError
from dreamgym.process_policy import (
    Terminated,
    plain_warnings,
    prepare_streams,
    set_process_policy,
    stdout_is_broken,
    tidy_termination,
)

__all__ = ["COMMANDS", "Command", "main"]

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
    prepare_streams()
    try:
        try:
            return _dispatch(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not stdout_is_broken():
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
        with plain_warnings(name), tidy_termination():
            config = _parse(name, arguments)
            import_module(COMMANDS[name].module).run(config)
    except KeyboardInterrupt:
        print(f"dreamgym {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Terminated:
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
