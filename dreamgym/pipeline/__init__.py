"""The whole procedure, from nothing to a driver, round by round."""

from dreamgym.pipeline.command import train_all

__all__ = ["train_all"]
