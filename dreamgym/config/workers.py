"""Where a command's work is done."""

from __future__ import annotations

from dataclasses import dataclass

from dreamgym.config.checks import require
from dreamgym.parallel import require_engine

__all__ = ["WorkerSettings"]


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How many worker processes there are, and where."""

    workers: int | None = None
    """Processes at once; when not given, one for each processor of this machine, or of the cluster."""
    engine: str = "local"
    """Where they run: local, ray:ADDRESS for a Ray cluster, or ray for the one that RAY_ADDRESS names, if any."""

    def _require_workers(self) -> None:
        require(self.workers is None or self.workers > 0, "workers", "a positive number", self.workers)
        require_engine(self.engine)
