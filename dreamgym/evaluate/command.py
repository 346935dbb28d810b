"""The command ``dreamgym evaluate``."""

from __future__ import annotations

from dreamgym.config import EvaluateConfig


def run(config: EvaluateConfig) -> None:
    """The command ``dreamgym evaluate``."""
    raise NotImplementedError
