"""Worlds that are described by looking at CarRacing-v3; it is made when this is imported."""

from __future__ import annotations

from dreamgym.worlds.base import World

__all__ = ["GREY", "RACING"]

RACING = World.from_env("CarRacing-v3", name="Racing")
GREY = World.from_env("CarRacing-v3", name="GreyRacing", grey=True)
