"""The page from its sources and a bundle: a folder for a web server, or one file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dreamgym.web.dream_file import dream_file
from dreamgym.world_model import WorldModel

__all__ = ["OURS", "page_files", "single_page"]

OURS: Final = b'data-file="dream.safetensors"'
"""What no other page than one of :func:`single_page` has in it."""

_SITE: Final = Path(__file__).parent / "site"
_FONTS: Final = Path(__file__).parents[1] / "assets" / "fonts"
_MODULES: Final = (
    "tensors.js",
    "noise.js",
    "dream.js",
    "controls.js",
    "replay.js",
    "gif.js",
    "session.js",
    "view.js",
    "page.js",
)
"""The scripts, each after those that it imports from."""
_DATA: Final = ("dream.safetensors", "kernel.wasm")


def page_files(world_model: WorldModel) -> dict[str, bytes]:
    """The page as files of a folder, by name; ``index.html`` is the page."""
    sources = [_SITE / name for name in ("index.html", "page.css", "kernel.wasm", *_MODULES)]
    fonts = [path for path in sorted(_FONTS.iterdir()) if path.suffix in (".otf", ".txt")]
    files = {path.name: path.read_bytes() for path in (*sources, *fonts)}
    return {**files, "dream.safetensors": dream_file(world_model)}


def single_page(files: Mapping[str, bytes]) -> bytes:
    """The files of :func:`page_files` as one HTML file, which needs no server."""
    css = re.sub(
        r'url\("([^"]+)"\)', lambda match: f"url({_data_url(files[match[1]], 'font/otf')})", _text(files, "page.css")
    )
    scripts = "\n".join(_without_modules(_text(files, name)) for name in _MODULES)
    data = "\n".join(
        f'<script type="application/octet-stream" data-file="{name}">{_base64(files[name])}</script>' for name in _DATA
    )
    replaced = {
        '<link rel="stylesheet" href="page.css">': f"<style>\n{css}</style>",
        '<script type="module" src="page.js"></script>': f'{data}\n<script type="module">\n{scripts}</script>',
    }
    page = _text(files, "index.html")
    for tag, content in replaced.items():
        assert page.count(tag) == 1, tag
        page = page.replace(tag, content)
    return page.encode("utf-8")


def _without_modules(script: str) -> str:
    """A module's text for one script of all modules: without imports and exports."""
    return re.sub(r"^export ", "", re.sub(r"^import .*\n", "", script, flags=re.MULTILINE), flags=re.MULTILINE)


def _text(files: Mapping[str, bytes], name: str) -> str:
    return files[name].decode("utf-8")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{_base64(content)}"
