"""pygame and pygame-ce in one environment: the error names what is there and the remedy."""

from __future__ import annotations

import sys
import types
from importlib.metadata import PackageNotFoundError

import pytest

from dreamgym import _compat
from dreamgym.errors import DreamGymError, InstallationError
from dreamgym.worlds.car_racing.world import CAR_RACING


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compat, "_checked", set())


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(project: str) -> str:
        try:
            return versions[project.replace("-", "_")]
        except KeyError:
            raise PackageNotFoundError(project) from None

    monkeypatch.setattr(_compat, "version", version)


def leave_an_empty_pygame(monkeypatch: pytest.MonkeyPatch) -> None:
    """What uninstalling either of the two leaves of the other: a folder that imports and holds nothing of use."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pygame"]:
        monkeypatch.delitem(sys.modules, name)
    empty = types.ModuleType("pygame")
    empty.__path__ = []
    monkeypatch.setitem(sys.modules, "pygame", empty)


def test_working_pygame_passes() -> None:
    _compat.require_pygame()
    _compat.require_box2d()
    assert _compat._checked == {"pygame", "Box2D"}


def test_broken_pair_names_both_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_an_empty_pygame(monkeypatch)
    installed(monkeypatch, pygame="2.6.1", pygame_ce="2.5.8")
    with pytest.raises(InstallationError) as raised:
        _compat.require_pygame()
    message = str(raised.value)
    assert "pygame 2.6.1 and pygame-ce 2.5.8" in message
    assert "pip uninstall -y pygame pygame-ce && pip install pygame-ce" in message
    assert isinstance(raised.value, DreamGymError)
    assert isinstance(raised.value, ImportError)
    with pytest.raises(InstallationError):  # a failure is not remembered as a success
        _compat.require_pygame()


def test_one_left_over_after_the_other_was_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_an_empty_pygame(monkeypatch)
    installed(monkeypatch, pygame_ce="2.5.8")
    with pytest.raises(InstallationError, match=r"found pygame-ce 2\.5\.8, .*remove all and install one"):
        _compat.require_pygame()


def test_broken_box2d_names_its_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Box2D", types.ModuleType("Box2D"))
    installed(monkeypatch, box2d="2.3.10", ufal_pybox2d="2.3.10.5")
    with pytest.raises(InstallationError, match=r"found box2d 2\.3\.10 and ufal-pybox2d .*pip uninstall -y box2d"):
        CAR_RACING.make_env()


def test_missing_pygame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    installed(monkeypatch)
    with pytest.raises(InstallationError, match=r"not installed .* run: pip install pygame-ce"):
        _compat.require_pygame()
