"""The trained V and M, and the bundle of files that they are kept in."""

from __future__ import annotations

from dreamgym.world_model.location import MODELS_VARIABLE, PACKAGED, locate
from dreamgym.world_model.parts import StartBank
from dreamgym.world_model.world_model import WorldModel

__all__ = ["MODELS_VARIABLE", "PACKAGED", "StartBank", "WorldModel", "locate"]
