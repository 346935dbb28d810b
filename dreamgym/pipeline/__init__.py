"""The whole procedure, from nothing to a controller, round by round."""

from dreamgym.pipeline.command import train_all

__all__ = ["train_all"]
