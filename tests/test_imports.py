"""Imports go one way, `import dreamgym` is light, and what is public can be imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import dreamgym
from dreamgym import errors

ROOT = Path(__file__).parents[1]

# First to last; a module may import from its own layer and from earlier ones.
LAYERS = (
    {"errors", "_compat", "_lazy", "process_policy"},
    {"files", "local_engine", "parallel", "ray_engine", "tensor_files", "threads"},
    {"worlds"},
    {"registration", "config"},
    {"data"},
    {"training"},
    {"vision"},
    {"memory"},
    {"controller"},
    {"world_model"},
    {"reporting"},
    {"dream"},
    {"wrappers"},
    {"collect", "evolve", "evaluate", "fidelity"},
    {"export"},
    {"pipeline", "demo", "play", "web"},
    {"cli"},
    {"__main__"},
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def module_files() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = {}
    for folder, package in ((ROOT / "dreamgym", "dreamgym"), (ROOT / "wrappers", "dreamgym.wrappers")):
        for path in folder.rglob("*.py"):
            inside = path.relative_to(folder).with_suffix("").parts
            if inside[0] == "wrappers" and package == "dreamgym":
                continue  # the symbolic link
            names = [package, *(part for part in inside if part != "__init__")]
            files[".".join(names)] = path
    return files


MODULES = module_files()
PUBLIC_MODULES = sorted(name for name in MODULES if not any(part.startswith("_") for part in name.split(".")))


def imported_modules(source: str, module: str = "dreamgym.cli") -> Iterator[str]:
    """Dotted names of dreamgym's own modules that a source text imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "dreamgym")


def backward_imports(module: str, source: str) -> list[str]:
    """The imports of a module that go against the layers."""
    rank = RANKS[module.split(".")[1]]
    bad = []
    for name in imported_modules(source, module):
        part = name.split(".")[1] if "." in name else ""
        if part == "__version__":
            continue
        if RANKS.get(part, len(LAYERS)) > rank:  # the package's root, which reaches everything, ranks last
            bad.append(name)
    return bad


def test_one_module_alone_knows_ray() -> None:
    knowing = {
        name for name, path in MODULES.items() if re.search(r"import ray\b|import_module\(.ray\b", path.read_text())
    }
    assert knowing == {"dreamgym.ray_engine"}


def test_every_module_has_a_layer() -> None:
    parts = {name.split(".")[1] for name in MODULES if "." in name}
    assert parts <= RANKS.keys(), "give a new module its place in LAYERS"


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"dreamgym"}))
def test_imports_go_down_the_layers(module: str) -> None:
    assert backward_imports(module, MODULES[module].read_text(encoding="utf-8")) == []


def names_a_world(module: str, source: str) -> list[str]:
    """The imports of one world's own modules, where a module is no part of a world."""
    if module.startswith("dreamgym.worlds."):
        return []
    own = {"dreamgym.worlds.car_racing", "dreamgym.worlds.doom_take_cover"}
    return [name for name in imported_modules(source, module) if ".".join(name.split(".")[:3]) in own]


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"dreamgym"}))
def test_worlds_are_asked_for_by_the_registry_alone(module: str) -> None:
    assert names_a_world(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_the_walk_sees_an_import_of_one_world() -> None:
    source = "from dreamgym.worlds.car_racing.world import CAR_RACING\nfrom dreamgym.worlds import doom_take_cover"
    assert len(names_a_world("dreamgym.collect.collect", source)) == 2
    assert names_a_world("dreamgym.worlds.car_racing.players", source) == []


@pytest.mark.parametrize(
    ("module", "source", "bad"),
    [
        ("dreamgym.vision.vae", "from dreamgym.memory.mdn_rnn import MDNRNN", 1),
        ("dreamgym.controller.linear", "def f():\n    import dreamgym.dream.core", 1),
        ("dreamgym.worlds.car_racing.scripted_drivers", "from dreamgym import WorldModel", 1),
        ("dreamgym.worlds.car_racing.scripted_drivers", "import dreamgym", 1),
        ("dreamgym.dream.env", "from dreamgym.dream import core\nfrom dreamgym.errors import ActionError", 0),
        ("dreamgym.worlds.car_racing.world", "from dreamgym import __version__", 0),
    ],
)
def test_the_walk_sees_a_backward_import(module: str, source: str, bad: int) -> None:
    assert len(backward_imports(module, source)) == bad


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_public_module_imports_and_has_what_it_exports(module: str) -> None:
    loaded = import_module(module)
    assert loaded.__doc__
    exported = getattr(loaded, "__all__", [])
    assert len(set(exported)) == len(exported)
    for name in exported:
        assert getattr(loaded, name) is not None


def test_root_exports_every_public_name() -> None:
    public = {
        name
        for name, value in vars(dreamgym).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    } - {"annotations", "Any", "TYPE_CHECKING", "import_module"}
    assert public - set(dreamgym.__all__) == set()
    assert set(dreamgym.__all__) <= set(dir(dreamgym))


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'WorldModle'"):
        _ = dreamgym.WorldModle


def test_every_error_is_exported_and_of_the_tree() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert classes == set(errors.__all__)
    for name in classes:
        assert issubclass(getattr(errors, name), errors.DreamGymError)


def run_python(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_import_loads_neither_torch_nor_pygame() -> None:
    code = "import sys, dreamgym; print(sorted({'torch', 'pygame', 'Box2D', 'tyro', 'cma'} & sys.modules.keys()))"
    assert run_python(code).strip() == "[]"


def test_import_takes_little_time_where_gymnasium_is_there() -> None:
    code = (
        # The process's own time, in that of Gymnasium: neither a busy machine nor a slow one counts.
        "import time; start = time.process_time(); import gymnasium; begin = time.process_time(); import dreamgym\n"
        "print((time.process_time() - begin) / (begin - start))\n"
        "assert 'DreamCarRacing-v0' in gymnasium.registry and 'LatentCarRacing-v0' in gymnasium.registry"
    )
    assert min(float(run_python(code)) for _ in range(3)) < 1.5


def test_registered_ids_name_real_classes() -> None:
    from dreamgym import registration

    limits = {
        registration.DREAM_ID: 1000,
        registration.REAL_ID: 1000,
        "DreamDoomTakeCover-v0": 2100,
        "LatentDoomTakeCover-v0": 2100,
        registration.ANY_DREAM_ID: None,
        registration.ANY_LATENT_ID: None,
    }
    for env_id, limit in limits.items():
        spec = dreamgym.registration.gym.spec(env_id)
        assert spec.max_episode_steps == limit
        for entry_point in (spec.entry_point, spec.vector_entry_point):
            assert isinstance(entry_point, str)
            module, _, name = entry_point.partition(":")
            assert isinstance(getattr(import_module(module), name), type)


def test_wrappers_refuse_another_name() -> None:
    code = "import sys; sys.path.insert(0, '.')\ntry: import wrappers\nexcept ImportError as error: print(error)"
    assert "wanted 'dreamgym.wrappers'" in run_python(code)
