"""dreamgym: a learned CarRacing as a Gymnasium environment.

Importing it registers ``DreamCarRacing-v0`` (the dream) and ``LatentCarRacing-v0`` (reality, seen through the same
world model), and loads neither torch nor pygame; the classes below are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dreamgym.errors import DreamGymError
from dreamgym.registration import DREAM_ID, REAL_ID, register_envs

if TYPE_CHECKING:
    from dreamgym.control.linear import LinearController as LinearController
    from dreamgym.dream.core import DreamCore as DreamCore
    from dreamgym.world_model import WorldModel as WorldModel

__all__ = [
    "DREAM_ID",
    "REAL_ID",
    "DreamCore",
    "DreamGymError",
    "LinearController",
    "WorldModel",
    "__version__",
    "register_envs",
]

__version__ = "0.1.0"

_LAZY = {
    "DreamCore": "dreamgym.dream.core",
    "LinearController": "dreamgym.control.linear",
    "WorldModel": "dreamgym.world_model",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_envs()
