"""The main job in a few minutes: evolve a controller in the dream, try it in reality, film it: ``dreamgym demo``."""

from dreamgym.demo.command import run

__all__ = ["run"]
