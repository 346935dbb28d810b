"""Changes one operator or number of a module at a time, and runs its tests: ``python -m tests.mutation``.

A change that no test notices (a survivor) is code that is not tested, or one that changes nothing that matters. Each
is tried in a forked process, and the files stay as they are. A change of a function is put into the module after one
run of its tests; what the import does is changed before it. Tests that noticed earlier changes come first, then the
quickest, and the first failure ends a try. Not part of the test suite: it takes minutes to an hour.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import inspect
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import spec_from_loader
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import IO, Any, Final

import pytest
from _pytest.runner import runtestprotocol

TARGETS: Final = {
    "mixture": ("dreamgym/memory/mixture.py", ["tests/memory/test_mixture.py"]),
    "step": (
        "dreamgym/dream/step.py",
        [f"tests/dream/test_{name}.py" for name in ("step", "core", "core_refusals", "core_repeats", "rewards")],
    ),
    "reward": ("dreamgym/dream/reward.py", ["tests/dream/test_reward.py", "tests/dream/test_rewards.py"]),
    "rule": ("dreamgym/worlds/rewards.py", ["tests/worlds/test_rewards.py"]),
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
_SECONDS: Final = 120
"""Of computing, for the tests of one change."""
_SLOW: Final = 2.0
"""Seconds of computing beyond which a test is left out."""


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


def bodies(code: CodeType) -> dict[str, CodeType]:
    """The functions of a module or class, those within functions not, by their qualified names."""
    found: dict[str, CodeType] = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= {constant.co_qualname: constant} if constant.co_flags & CO_OPTIMIZED else bodies(constant)
    return found


def _outside(code: CodeType) -> list[Any]:
    """What a module does when it is imported, its classes too, without the functions' own bodies."""
    found: list[Any] = [code.co_code, code.co_names]
    for constant in code.co_consts:
        if not isinstance(constant, CodeType):
            found.append(constant)
        elif not constant.co_flags & CO_OPTIMIZED:
            found += _outside(constant)
    return found


def functions(module: ModuleType) -> dict[str, FunctionType]:
    """A module's functions and methods by their qualified names, without what decorates them."""
    owners = [vars(module), *(vars(each) for each in vars(module).values() if isinstance(each, type))]
    found = {}
    for value in (value for owner in owners for value in owner.values()):
        function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        function = inspect.unwrap(function) if callable(function) else function
        if isinstance(function, FunctionType) and function.__module__ == module.__name__:
            found[function.__qualname__] = function
    return found


class _Session:
    """A plugin of pytest: runs the tests once, and then again, each time in a fork, for each change of a function.

    Args:
        name: the module's.
        changes: code of the changed functions by qualified name, for each change.
        sink: takes a line for each change: whether it was noticed.
    """

    def __init__(self, name: str, changes: Sequence[Mapping[str, CodeType]], sink: IO[str]) -> None:
        self._name, self._changes, self._sink = name, changes, sink
        self._noticed: Counter[str] = Counter()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of pytest's own loop, which runs every test once."""
        items, seconds = session.items, {}
        for item in items:
            started = time.process_time()
            if self._fails(item):
                raise pytest.UsageError(f"{item.nodeid} fails without any change")
            seconds[item.nodeid] = time.process_time() - started
        left_out = sorted(name for name, each in seconds.items() if each > _SLOW)
        print(f"left out, more than {_SLOW:g} s: {', '.join(left_out) or 'none'}", file=sys.stderr, flush=True)
        items = [item for item in items if seconds[item.nodeid] <= _SLOW]
        known = functions(sys.modules[self._name])
        for change in self._changes:
            items.sort(key=lambda item: (-self._noticed[item.nodeid], seconds[item.nodeid]))
            self._sink.write(f"{int(self._notices(items, known, change))}\n")
            self._sink.flush()
        return True

    @staticmethod
    def _fails(item: pytest.Item) -> bool:
        # After each test all but the session's fixtures is taken down: any test may be next.
        return any(report.failed for report in runtestprotocol(item, log=False, nextitem=item.session))

    def _notices(
        self, items: list[pytest.Item], known: Mapping[str, FunctionType], change: Mapping[str, CodeType]
    ) -> bool:
        reading, writing = os.pipe()
        process = os.fork()
        if not process:
            resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
            for name, code in change.items():
                known[name].__code__ = code
            for number, item in enumerate(items):
                if self._fails(item):
                    os.write(writing, str(number).encode())
                    os._exit(1)
            os._exit(0)
        os.close(writing)
        status = os.waitpid(process, 0)[1]
        with open(reading) as answer:
            by = answer.read()
        if by:
            self._noticed[items[int(by)].nodeid] += 1
        return os.waitstatus_to_exitcode(status) != 0


class Trial:
    """A module, and the tests that should notice a change of it."""

    def __init__(self, path: Path, tests: Sequence[str]) -> None:
        self._path, self._tests = path, tests
        self._name = ".".join(path.with_suffix("").parts)
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        self.changes = list(changes(self._tree))

    def survivors(self, drawn: Sequence[tuple[str, ast.Module]]) -> list[str]:
        """Those of the changes that no test notices."""
        within, at_import = self._sorted(drawn)
        found = [what for what, tree in at_import if not self._fails(partial(self._import, tree))]
        with tempfile.NamedTemporaryFile("w+") as sink:
            if self._fails(lambda: self._pytest([_Session(self._name, [each for _, each in within], sink)])):
                raise SystemExit(f"{self._tests} fail with {self._path} as it is")
            sink.seek(0)
            found += [what for (what, _), noticed in zip(within, sink, strict=True) if noticed == "0\n"]
        return found

    def _sorted(
        self, drawn: Sequence[tuple[str, ast.Module]]
    ) -> tuple[list[tuple[str, dict[str, CodeType]]], list[tuple[str, ast.Module]]]:
        """Changes within functions, which can be put into the module as it is, and of what its import does."""
        before = compile(self._tree, self._path, "exec", dont_inherit=True)
        within, at_import = [], []
        for what, tree in drawn:
            after = compile(tree, self._path, "exec", dont_inherit=True)
            if _outside(after) == _outside(before):
                was = bodies(before)
                within.append((what, {name: code for name, code in bodies(after).items() if code != was[name]}))
            else:
                at_import.append((what, tree))
        return within, at_import

    @staticmethod
    def _fails(work: Callable[[], int]) -> bool:
        process = os.fork()
        if not process:
            code = 3
            try:
                code = work()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != 0

    def _import(self, tree: ast.Module) -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (2 * _SECONDS, 2 * _SECONDS))
        sys.meta_path.insert(0, _Finder(self._name, self._path, tree))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        return self._pytest([])

    def _pytest(self, plugins: list[object]) -> int:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        return int(pytest.main(["-x", "-q", "-s", "-p", "no:cacheprovider", "-m", "not slow", *self._tests], plugins))


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
        trial, started = Trial(Path(TARGETS[name][0]), TARGETS[name][1]), time.monotonic()
        count, generator = len(trial.changes), random.Random(f"{name} {options.seed}")
        drawn = generator.sample(trial.changes, min(count, options.count or count))
        survivors = trial.survivors(drawn)
        for what in survivors:
            print(f"survived: {TARGETS[name][0]}, {what}", file=sys.stderr, flush=True)
        seconds, noticed = time.monotonic() - started, len(drawn) - len(survivors)
        print(f"| {name} | {count} | {len(drawn)} | {noticed} | {seconds:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
