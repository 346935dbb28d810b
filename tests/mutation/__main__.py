"""Changes one operator or number of a module at a time, and runs its tests: ``python -m tests.mutation``.

A change that no test notices (a survivor) is code that is not tested, or one that changes nothing that matters. Each
is tried in a forked process; the files stay as they are. Not part of the test suite: it takes minutes to hours.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

TARGETS: Final = {
    "mixture": ("dreamgym/memory/mixture.py", ["tests/memory/test_mixture.py"]),
    "step": ("dreamgym/dream/step.py", ["tests/dream/test_step.py", "tests/dream/test_core.py"]),
    "reward": ("dreamgym/dream/reward.py", ["tests/dream/test_reward.py", "tests/dream/test_rewards.py"]),
    "episodes": ("dreamgym/data/episodes.py", ["tests/data/test_episodes.py"]),
    "files": ("dreamgym/world_model/files.py", ["tests/world_model/test_files.py", "tests/world_model/test_damage.py"]),
}
"""A module by name, and the tests that should notice a change of it."""
_SWAPS: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_PRELOADED: Final = ("torch", "gymnasium", "numba", "safetensors.torch", "pygame")
_SECONDS: Final = 900
"""For the tests of one change."""


class _Mutator(ast.NodeTransformer):
    """Makes the n-th change of those that there are, and says what it was."""

    def __init__(self, number: int) -> None:
        self.count, self.number, self.what = 0, number, ""

    def _is_due(self, node: ast.AST, what: str) -> bool:
        self.count += 1
        if self.count - 1 != self.number:
            return False
        self.what = f"line {getattr(node, 'lineno', 0)}: {what}"
        return True

    def _swapped(self, node: Any, operator: ast.AST) -> ast.AST:
        other = _SWAPS.get(type(operator))
        if other is not None and self._is_due(node, f"{type(operator).__name__} became {other.__name__}"):
            return other()
        return operator

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        node.op = self._swapped(node, node.op)  # type: ignore[assignment]
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        node.op = self._swapped(node, node.op)  # type: ignore[assignment]
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        node.ops = [self._swapped(node, operator) for operator in node.ops]  # type: ignore[misc]
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not | ast.USub | ast.Invert) and self._is_due(node, f"no {type(node.op).__name__}"):
            return node.operand
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool):
            changed: Any = not node.value
        elif isinstance(node.value, int | float):
            changed = node.value + 1
        else:
            return node
        if self._is_due(node, f"{node.value!r} became {changed!r}"):
            return ast.copy_location(ast.Constant(changed), node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:  # what is written of types changes nothing
            node.value = self.visit(node.value)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        returns, node.returns = node.returns, None
        found = self.generic_visit(node)
        node.returns = returns
        return found


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._name, self._path, self._tree = name, path, tree

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        spec = spec_from_loader(name, self, origin=str(self._path))
        if spec is not None:
            spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, self._path, "exec"), module.__dict__)


def changes(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """Every change of a module: what it is, and the module with it."""
    number = 0
    while True:
        mutator, changed = _Mutator(number), copy.deepcopy(tree)
        changed = ast.fix_missing_locations(mutator.visit(changed))
        if not mutator.what:
            return
        yield mutator.what, changed
        number += 1


def notices(path: Path, tree: ast.Module, tests: Sequence[str]) -> bool:
    """Whether the tests fail with a changed module, or never end."""
    process = os.fork()
    if not process:
        signal.alarm(_SECONDS)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        name = ".".join(path.with_suffix("").parts)
        sys.meta_path.insert(0, _Finder(name, path, tree))
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests])))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != 0


def main() -> int:
    """Print survivors, and a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--modules", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--count", type=int, help="changes of a module, drawn at random; all when not given")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in _PRELOADED:  # once, and not in every process
        importlib.import_module(name)
    print("| module | changes | tried | noticed | seconds |\n|---|---|---|---|---|", flush=True)
    for name in options.modules:
        path, tests = Path(TARGETS[name][0]), TARGETS[name][1]
        tree, started = ast.parse(path.read_text(encoding="utf-8")), time.monotonic()
        if notices(path, tree, tests):
            raise SystemExit(f"{tests} fail with {path} as it is")
        found = list(changes(tree))
        drawn = random.Random(f"{name} {options.seed}").sample(found, min(len(found), options.count or len(found)))
        noticed = 0
        for what, changed in drawn:
            if notices(path, changed, tests):
                noticed += 1
            else:
                print(f"survived: {path}, {what}", file=sys.stderr, flush=True)
        seconds = time.monotonic() - started
        print(f"| {name} | {len(found)} | {len(drawn)} | {noticed} | {seconds:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
