"""The dream as a page for a browser."""

from dreamgym.web.command import run

__all__ = ["run"]
