"""Work for many processes: what the package asks of them, whichever engine has them.

Work is a pure function of (settings, item): ``build(settings)`` is called once in each worker and gives the function
from an item to its result. So results do not depend on the number of workers, and what is dear to build is built once.

An engine is a kind of :class:`Workers`, in a module of its own: :mod:`dreamgym.local_engine` for processes of this
machine, :mod:`dreamgym.ray_engine` for those of a cluster. Nothing else in the package starts any.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

from dreamgym.errors import ConfigError

__all__ = ["ENVIRONMENT", "Build", "Workers", "in_order", "pickled", "require_engine", "start"]

ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "SDL_VIDEODRIVER": "dummy",
}
"""What every worker process is started with: it has one thread, and no window."""

T = TypeVar("T")
R = TypeVar("R")
Build = Callable[[Any], Callable[[T], R]]


class Workers(Generic[T, R]):
    """Gives results of items, here one after another in this process.

    An engine overrides all of it.
    """

    def __init__(self, build: Build[T, R], settings: Any, count: int = 1) -> None:
        self._count = count
        self._build: Callable[[], Callable[[T], R]] = lambda: build(settings)
        self._work: Callable[[T], R] | None = None

    @property
    def count(self) -> int:
        """How many items are worked on at once, now."""
        return self._count

    def results(self, items: Iterable[T]) -> Iterator[tuple[int, R]]:
        """Pairs of an item's place and its result, as the results come.

        Raises:
            WorkerError: a worker died or stopped answering.
        """
        self._work = self._work or self._build()
        for place, item in enumerate(items):
            yield place, self._work(item)

    def close(self) -> None:
        """End the workers at once."""


@contextmanager
def start(
    build: Build[T, R], settings: Any, *, workers: int | None = None, engine: str = "local"
) -> Iterator[Workers[T, R]]:
    """Workers, which end with the block.

    Args:
        build: from the settings to the function from an item to its result; a module's own function.
        settings: what every item shares; picklable where there are several workers, as items and results are.
        workers: at once; None for one for each processor of the machine or the cluster. With ``"local"``, 1 works in
            this process.
        engine: ``"local"`` for processes of this machine, ``"ray"`` or ``"ray:ADDRESS"`` for those of a Ray cluster.

    Raises:
        ConfigError: fewer than one worker, an unknown engine, or what cannot be pickled.
        InstallationError: the engine is not installed.
        ClusterError: no cluster answers at the address, or it does not fit.
    """
    require_engine(engine)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: expected a positive number, got {workers}")
    pool = _pool(build, settings, workers, engine)
    try:
        yield pool
    finally:
        pool.close()


def require_engine(engine: str) -> None:
    """Refuse the name of an engine that there is not.

    Raises:
        ConfigError: neither ``"local"``, ``"ray"`` nor ``"ray:ADDRESS"``.
    """
    kind, colon, address = engine.partition(":")
    if kind not in ("local", "ray") or bool(colon) != bool(address) or (kind == "local" and address):
        raise ConfigError(f"engine: expected local, ray or ray:ADDRESS, got {engine!r}")


def _pool(build: Build[T, R], settings: Any, workers: int | None, engine: str) -> Workers[T, R]:
    if engine != "local":
        from dreamgym.ray_engine import RayWorkers

        return RayWorkers(build, settings, workers, engine.partition(":")[2])
    count = workers or os.cpu_count() or 1
    if count == 1:
        return Workers(build, settings)
    from dreamgym.local_engine import LocalWorkers

    return LocalWorkers(build, settings, count)


def pickled(build: Build[T, R], settings: Any, dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """What workers of other processes are built from.

    Raises:
        ConfigError: it cannot be pickled.
    """
    try:
        return dumps((build, settings))
    except Exception as error:
        raise ConfigError(
            f"workers: expected what can be pickled, for other processes; {error}. Use 1 worker and the local engine"
        ) from error


def in_order(workers: Workers[T, R], items: Sequence[T]) -> list[R]:
    """The results of all items, in their order."""
    return [result for _, result in sorted(workers.results(items), key=lambda pair: pair[0])]
