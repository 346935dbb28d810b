"""dreamgym: learned simulators of real environments, as Gymnasium environments.

Importing it registers the ids of every world, such as ``DreamCarRacing-v0`` (the dream) and ``LatentCarRacing-v0``
(reality, seen through the same world model). It loads neither torch nor pygame; the classes below are imported when
they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamgym._lazy import lazy_names as _lazy_names
from dreamgym.errors import DreamGymError
from dreamgym.registration import DREAM_ID, REAL_ID, register_envs, register_world

if TYPE_CHECKING:
    from dreamgym.controller.linear import LinearController as LinearController
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
    "register_world",
]

__version__ = "0.1.0"

__getattr__, __dir__ = _lazy_names(
    __name__,
    {
        "DreamCore": "dreamgym.dream.core",
        "LinearController": "dreamgym.controller.linear",
        "WorldModel": "dreamgym.world_model",
    },
)


register_envs()
