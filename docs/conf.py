"""Sphinx configuration: ``sphinx-build -W docs docs/_build`` from the repository's root, with the extra ``docs``."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "110"  # the width of the commands' help
os.environ["NO_COLOR"] = "1"
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import dreamgym
from dreamgym import cli
from dreamgym.files import write_files
from dreamgym.web.build import page_files
from dreamgym.world_model import PACKAGED, WorldModel

project = "dreamgym"
author = "dreamgym authors"
project_copyright = author
release = version = dreamgym.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "examples", "jupyter_execute"]
html_theme = "furo"
html_title = "dreamgym"
html_static_path = ["_static"]
html_css_files = ["style.css"]

# The tutorial is executed once, and again when its code or how long it trains changes.
TUTORIAL_SECONDS = os.environ.get("DREAMGYM_TUTORIAL_SECONDS", "120")
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / f".jupyter_cache-{TUTORIAL_SECONDS}")
nb_execution_timeout = 1800  # seconds a cell; a slow core takes ten minutes for the longest
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_output_stderr = "remove"  # progress bars
myst_heading_anchors = 3
autodoc_typehints = "none"  # signatures would be wider than the page; docstrings say shapes and types
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False


def docstring(path: str) -> str:
    """The docstring of ``module:Class``, Markdown with a few of Sphinx's roles in it."""
    module, name = path.split(":")
    text = inspect.cleandoc(getattr(import_module(module), name).__doc__)
    text = re.sub(r":(class|meth|func|mod):`", r"{py:\1}`", text)
    text = re.sub(r"``([^`\n]+)``", r"`\1`", text)
    return re.sub(r"\s*# doctest: \+\w+", "", text)


def command_help(name: str) -> str:
    """What ``dreamgym NAME --help`` prints, as a block."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        cli.main([*name.split(), "--help"])
    body = "\n".join(line.rstrip() for line in output.getvalue().splitlines())
    return f"```text\n{body}\n```"


def all_commands(_: str) -> str:
    """A section for each command."""
    return "\n\n".join(
        f"## dreamgym {name}\n\n{command.summary[0].upper()}{command.summary[1:]}.\n\n{command_help(name)}"
        for name, command in cli.COMMANDS.items()
    )


GENERATED: dict[str, Callable[[str], str]] = {"docstring": docstring, "commands": all_commands}


def fill_in(app: Any, name: str, source: list[str]) -> None:
    """Replace ``<!-- docstring: module:Class -->`` and ``<!-- commands: all -->`` by what the code says."""
    pattern = re.compile(rf"<!-- ({'|'.join(GENERATED)}): (\S+) -->")
    source[0] = pattern.sub(lambda match: GENERATED[match[1]](match[2]), source[0])


def mend(app: Any, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Point to the page of an environment, whose docstring is Markdown; and let ``|z|`` be an absolute value."""
    if lines and lines[0].startswith("## "):
        lines[:] = [
            "Its manual is a page of its own: :doc:`environment`, :doc:`real_environment`, :doc:`any_world`.",
            "",
        ]
    lines[:] = [re.sub(r"\|([a-z])\|", r"\|\1\|", line) for line in lines]


def write_pages(app: Any, error: Exception | None) -> None:
    """The shipped dreams as pages for a browser, below ``dream/``: nothing of them is committed."""
    if error is None and app.builder.format == "html":
        for bundle in sorted(PACKAGED.parent.glob("*/card.json")):
            folder = Path(app.outdir) / "dream" / bundle.parent.name.replace("_", "-")
            write_files(folder, page_files(WorldModel.load(bundle.parent)))


def setup(app: Any) -> None:
    app.connect("build-finished", write_pages)
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", mend)
