"""Worlds by name, and what names none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dreamgym.errors import ConfigError
from dreamgym.worlds.registry import find, names, register


@pytest.mark.parametrize(("name", "message"), [("car-Racing", "letters"), ("carRacing", "spelling"), ("", "letters")])
def test_a_name_that_would_mean_another_world_or_no_id_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        register(replace(find("doom-take-cover"), name=name))
    assert "carRacing" not in names()


@pytest.mark.parametrize("world", ["no_such_module:WORLD", ":", ".relative:WORLD", "math:", "", 5])
def test_what_names_no_world_is_refused(world: Any) -> None:
    with pytest.raises(ConfigError, match="module:OBJECT"):
        find(world)


@pytest.mark.parametrize(("source", "error"), [("x = = 1", "SyntaxError"), ("raise RuntimeError('boom')", "boom")])
def test_a_module_that_fails_is_refused_by_its_own_error(
    source: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_world.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"failing_world:WORLD.*{error}"):
        find("failing_world:WORLD")
