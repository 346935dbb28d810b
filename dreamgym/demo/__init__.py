"""The main job in a few minutes: evolve a driver in the dream, drive reality with it, film it: ``dreamgym demo``."""

from dreamgym.demo.command import run

__all__ = ["run"]
