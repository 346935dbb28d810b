"""Public docstrings begin with a plain sentence that can be read at a glance."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.test_imports import MODULES, PUBLIC_MODULES

MOST_WORDS = 15


def summaries(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, str]]:
    """Names of public functions, classes and methods, with the first paragraphs of their docstrings."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            summary = (ast.get_docstring(node) or "").split("\n\n")[0]
            if not summary.startswith("## "):  # an environment's docstring is its manual
                yield f"{owner}{node.name}", summary
            if isinstance(node, ast.ClassDef):
                yield from summaries(node.body, f"{node.name}.")


def too_long(source: str) -> list[str]:
    return [f"{name}: {text}" for name, text in summaries(ast.parse(source).body) if len(text.split()) > MOST_WORDS]


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_summaries_are_short(module: str) -> None:
    assert not too_long(MODULES[module].read_text(encoding="utf-8"))


def test_a_long_summary_is_found() -> None:
    words = " ".join(["word"] * (MOST_WORDS + 1))
    assert too_long(f'class A:\n    def b(self):\n        """{words}."""') == [f"A.b: {words}."]
    assert not too_long(f'def a():\n    """Short.\n\n    {words}."""\ndef _b():\n    """{words}."""')
