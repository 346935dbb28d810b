"""The engine ``ray``: work on a cluster. Nothing else in the package knows Ray.

Build and settings are put into Ray's object store once. Every item is a task on one processor, so that Ray itself
starts an item anew where its worker or its machine died, and uses machines that join. An item that takes far longer
than the others did is given out a second time where a processor is idle: its worker may hang, or Ray may still wait for
a machine that is gone. Since results are functions of settings and item alone, none of that changes them.
"""

from __future__ import annotations

import itertools
import os
import pickle
import platform
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any, Final, NamedTuple, TypeVar

from dreamgym import __version__
from dreamgym.errors import ClusterError, InstallationError, WorkerError
from dreamgym.parallel import ENVIRONMENT, Build, Workers, pickled

__all__ = ["PATIENCE_SECONDS", "RayWorkers"]

PATIENCE_SECONDS = 20.0
"""An item is given out again not before so long, nor before thrice the longest time that an item took so far."""

_RETRIES: Final = 20
"""How often one item may lose its worker: machines may go at any time, but an item may also be what kills them."""
_ANSWER_SECONDS: Final = 5.0
_GONE_SECONDS: Final = 120.0
"""How long a cluster may take to notice that one of its machines is gone: some 15 s as a rule."""
_CHECK_SECONDS: Final = 1.0
_SAME: Final = "install the same packages, in the same versions, on all of them"

T = TypeVar("T")
R = TypeVar("R")


class _Given(NamedTuple):
    """An item that is being worked on."""

    place: int
    item: Any
    since: float


class RayWorkers(Workers[T, R]):
    """Processes of a Ray cluster.

    Args:
        build: see :func:`dreamgym.parallel.start`.
        settings: likewise; they and the items must hold what they need, since machines may not share files.
        limit: how many items at once; None for as many as the cluster has processors, at any time.
        address: of the cluster, as ``ray.init`` takes it; where empty, that of the environment variable RAY_ADDRESS,
            or else a Ray that is started on this machine and ends with the workers.

    Raises:
        InstallationError: Ray is not installed.
        ClusterError: no cluster answers, or it has another version of Ray or Python.
        ConfigError: what cannot be pickled.
    """

    def __init__(self, build: Build[T, R], settings: Any, limit: int | None, address: str) -> None:
        self._ray = _require_ray()
        self._limit = limit
        self._connected = not self._ray.is_initialized()
        if self._connected:
            _connect(self._ray, address or os.environ.get("RAY_ADDRESS", ""), limit)
        try:
            # Ray's own pickle takes what a script defines by value: a worker has another script.
            self._settings = self._ray.put(pickled(build, settings, self._ray.cloudpickle.dumps))
        except BaseException:
            self.close()
            raise
        options: dict[str, Any] = {"num_cpus": 1, "max_retries": _RETRIES, "name": "dreamgym"}
        if not self._connected:  # else workers would also do what the caller gives to Ray, with their threads
            options["runtime_env"] = {"env_vars": dict(ENVIRONMENT)}
        self._call = self._ray.remote(**options)(_calling(_versions(), dict(ENVIRONMENT)))
        self._longest = 0.0

    @property
    def count(self) -> int:
        """How many items are worked on at once: it changes with the cluster."""
        return min(self._processors, self._limit or self._processors)

    @property
    def _processors(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    @property
    def _at_once(self) -> int:
        """How many items to give out: two a worker, so that each has its next at hand, where Ray itself bounds them."""
        there = self._processors
        return self._limit if self._limit and self._limit < there else 2 * there

    def results(self, items: Iterable[T]) -> Iterator[tuple[int, R]]:
        """See :meth:`Workers.results`; no more items are taken than can soon be worked on."""
        waiting, running = enumerate(items), dict[Any, _Given]()
        at_once, checked = self._at_once, time.monotonic()
        try:
            while True:
                for place, item in itertools.islice(waiting, max(0, at_once - len(running))):
                    running[self._give(item)] = _Given(place, item, time.monotonic())
                if not running:
                    return
                done, _ = self._ray.wait(list(running), timeout=_CHECK_SECONDS)
                for ref in done:
                    if (given := running.pop(ref, None)) is not None:
                        result = self._get(ref)
                        self._settle(given, running)
                        yield given.place, result
                if time.monotonic() - checked > _CHECK_SECONDS:
                    at_once, checked = self._at_once, time.monotonic()
                    self._give_again(running)
        finally:
            self._cancel(running)

    def _give(self, item: T) -> Any:
        # In a list, since a worker need not fetch it each time. As bytes, since reading it may load numpy.
        return self._call.remote([self._settings], self._ray.cloudpickle.dumps(item))

    def _get(self, ref: Any) -> R:
        errors = self._ray.exceptions
        try:
            result: R = self._ray.get(ref)
            return result
        except errors.RayTaskError as error:
            if isinstance(error.cause, ModuleNotFoundError):
                raise ClusterError(f"engine: {error.cause} on a machine of the cluster; {_SAME}") from error
            raise error.cause from error
        except errors.RayError as error:
            raise WorkerError(
                f"a worker of the cluster was lost {_RETRIES + 1} times with the same item, or what it needs was: "
                f"{_line(error)}. Out of memory is the usual cause; run the same command again to go on"
            ) from error

    def _settle(self, given: _Given, running: dict[Any, _Given]) -> None:
        """Drop the other task that has the same item, if any."""
        self._longest = max(self._longest, time.monotonic() - given.since)
        others = {ref: other for ref, other in running.items() if other.place == given.place}
        for ref in others:
            del running[ref]
        self._cancel(others)

    def _give_again(self, running: dict[Any, _Given]) -> None:
        """Have idle processors do again what takes suspiciously long."""
        now, patience = time.monotonic(), max(PATIENCE_SECONDS, 3 * self._longest)
        late = [given for given in running.values() if now - given.since > patience]
        if not late:
            return
        twice = {given.place for given in running.values() if given.since > now - patience}
        idle = int(self._ray.available_resources().get("CPU", 0))
        for given in late[:idle]:
            if given.place not in twice:
                running[self._give(given.item)] = _Given(given.place, given.item, now)

    def _cancel(self, running: Iterable[Any]) -> None:
        for ref in running:
            with suppress(Exception):  # the cluster may be gone
                self._ray.cancel(ref, force=True)

    def close(self) -> None:
        """Leave the cluster, which ends what still runs for this process."""
        if self._connected:
            self._ray.shutdown()
            self._connected = False


def _require_ray() -> Any:
    # Ray 2.50 waits a minute for a machine that is gone before it gives its work to another. Read as Ray is imported.
    os.environ.setdefault("RAY_raylet_rpc_server_reconnect_timeout_s", "1")
    try:
        return import_module("ray")
    except ImportError as error:
        raise InstallationError('the engine "ray" needs Ray; pip install "dreamgym[cluster]"') from error


def _connect(ray: Any, address: str, limit: int | None) -> None:
    _require_answer(address)
    _await_end_of_gone(address)
    alone = {"address": "local", "num_cpus": limit, "include_dashboard": False}
    options: dict[str, Any] = {"address": address} if address else alone
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints at what a later Ray will do
            # Else dying machines would fill the screen with their state; an error of a worker is raised here anyway.
            ray.init(**options, logging_level="warning", log_to_driver=False)
    except Exception as error:
        where = f"the Ray cluster at {address}" if address else "a Ray of this machine"
        raise ClusterError(
            f"engine: {where} cannot be used: {_line(error)}. The machine that runs this command must belong to the "
            "cluster (ray start --address=...)"
        ) from error


def _require_answer(address: str) -> None:
    """Refuse an address at which nothing listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"engine: no Ray cluster answers at {address} ({error}). Start one there by: ray start --head --port={port}"
        ) from error


def _await_end_of_gone(address: str) -> None:
    """Wait while the cluster takes what is gone for a machine at this address of ours.

    Ray connects to any such machine, as after ``ray stop --force`` and ``ray start``, and would end this process.
    """
    if address.startswith("ray://") or not address.rpartition(":")[2].isdecimal():
        return
    deadline = time.monotonic() + _GONE_SECONDS
    with suppress(ImportError, AttributeError):  # no public function tells it before ray.init
        raylet = import_module("ray._raylet")
        state = raylet.GlobalStateAccessor(raylet.GcsClientOptions.create(address, None, True, False))
        while (
            state.connect()  # else reading the table would end this process
            and time.monotonic() < deadline
            and not all(
                _answers(node["NodeManagerAddress"], node["NodeManagerPort"])
                for node in state.get_node_table()
                if node["Alive"] and _is_here(node["NodeManagerAddress"])
            )
        ):
            time.sleep(_CHECK_SECONDS)


def _is_here(host: str) -> bool:
    try:
        with socket.socket() as free:
            free.bind((host, 0))
        return True
    except OSError:
        return False


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_ANSWER_SECONDS).close()
        return True
    except OSError:
        return False


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _versions() -> dict[str, str]:
    """What must agree for the same bits."""
    torch = metadata.version("torch").partition("+")[0]
    return {"Python": ".".join(platform.python_version_tuple()[:2]), "torch": torch, "dreamgym": __version__}


# In a worker.


def _calling(wanted: dict[str, str], environment: dict[str, str]) -> Callable[[list[Any], bytes], Any]:
    """What a worker runs; Ray carries it by value, so that it runs where dreamgym is missing or another one, too."""

    def call(settings: list[Any], item: bytes) -> Any:
        import importlib
        import os

        os.environ.update(environment)  # before numpy and torch are loaded
        return importlib.import_module("dreamgym.ray_engine").call(wanted, settings[0], item)

    return call


def call(wanted: dict[str, str], settings: Any, item: bytes) -> Any:
    """Do one item, in a worker.

    Raises:
        ClusterError: the versions here are others than the driver's.
    """
    _require_versions(tuple(wanted.items()))
    return _built(settings)(pickle.loads(item))  # noqa: S301 - the driver's, just made


@lru_cache(maxsize=1)
def _require_versions(wanted: tuple[tuple[str, str], ...]) -> None:
    here = _versions()
    other = [f"{name} {here[name]} instead of {version}" for name, version in wanted if here[name] != version]
    if other:
        raise ClusterError(f"engine: {socket.gethostname()}, a machine of the cluster, has {', '.join(other)}; {_SAME}")


@lru_cache(maxsize=2)  # an evolution and its validation runs take turns
def _built(settings: Any) -> Callable[[Any], Any]:
    build, shared = pickle.loads(import_module("ray").get(settings))  # noqa: S301 - the driver's, just made
    work: Callable[[Any], Any] = build(shared)
    return work
