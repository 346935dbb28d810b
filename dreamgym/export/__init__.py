"""A dream for other runtimes: its constants and weights, and ONNX files: ``dreamgym export``."""

from dreamgym.export.command import run

__all__ = ["run"]
