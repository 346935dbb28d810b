"""Measures what a Ray cluster costs: rates against processes of this machine, bytes, and what a dead machine costs.

    python -m benchmarks.cluster [rates] [one_machine] [full_rates] [overheads] [death] [memory]

A cluster of two machines is shown on this one, which should have two processors and be quiet. It writes
``docs/experiments/benchmarks/cluster.json``, from which ``python -m benchmarks.scaling`` reckons larger ones.
"""

from __future__ import annotations

import os

# Before Ray is loaded: a full machine is not what is measured.
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")

import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Timer
from typing import Any, Final
from unittest import mock

import numpy as np
import torch

from benchmarks import machine
from benchmarks.scaling import FOLDER
from dreamgym import parallel
from dreamgym.collect.collect import PlannedEpisode, collect, plan
from dreamgym.config import CollectConfig, EvolveConfig
from dreamgym.controller.cma_es import Evolution
from dreamgym.data.episodes import episode_paths
from dreamgym.evolve.dream_rollouts import DreamTrials
from dreamgym.files import write_bytes, write_json

_STORE: Final = 200 << 20
_ROUNDS: Final = 2
_FRAMES: Final = 1000  # of each worker
_LENGTH: Final = 100
_STEPS: Final = 60
_FULL_ROUNDS: Final = 6
_FULL_FRAMES: Final = 10_000
_FULL_LENGTH: Final = 1000
_FULL_STEPS: Final = 1000
_TRIALS: Final = 8
_MEMORY_FRAMES: Final = 10_000_000
_FRAME_BYTES: Final = 2031  # measured
_SAMPLED: Final = 200 << 20


@contextmanager
def _cluster(machines: int) -> Iterator[Any]:
    """A head without processors, and machines of one."""
    from ray.cluster_utils import Cluster

    made = Cluster(True, head_node_args={"num_cpus": 0, "object_store_memory": _STORE, "include_dashboard": False})
    for _ in range(machines):
        made.add_node(num_cpus=1, object_store_memory=_STORE)
    try:
        yield made
    finally:
        made.shutdown()


def _collecting(engine: str, workers: int, frames: int, length: int = _LENGTH) -> tuple[float, float, float]:
    """Frames a second once every worker has ended an episode, frames for each second of this process's own, and bytes
    a frame.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = CollectConfig(
            out=Path(folder) / "run",
            frames=frames,
            lengths=(length,),
            workers=workers,
            engine=engine,
            mix={"follower": 1},
        )
        begun = time.process_time()
        lengths = {planned.file_name: planned.length for planned in plan(config)}
        shards = sorted(episode_paths(collect(config)), key=lambda path: path.stat().st_mtime_ns)
        own = sum(lengths.values()) / (time.process_time() - begun)
        times = [path.stat().st_mtime_ns / 1e9 for path in shards]
        timed = shards[workers:-workers]
        rate = sum(lengths[path.name] for path in timed) / (times[-workers - 1] - times[workers - 1])
        return rate, own, sum(path.stat().st_size for path in shards) / sum(lengths.values())


def _evolving(engine: str, workers: int, steps: int) -> float:
    """Seconds a generation of 64 candidates and 16 rollouts, after the first."""
    config = EvolveConfig(
        out=Path("unused"), population=64, rollouts=16, max_episode_steps=steps, workers=workers, engine=engine
    )
    seconds = []
    with DreamTrials(config) as trials:
        candidates = 0.1 * np.random.default_rng(0).standard_normal((64, len(trials.zeros.parameters)))
        for generation in range(1 + _ROUNDS):
            begun = time.monotonic()
            trials(candidates, generation)
            seconds.append(time.monotonic() - begun)
    return median(seconds[1:])


def _bytes_a_generation(workers: int) -> dict[str, int]:
    """What the candidates and the scores of a generation come to, pickled."""
    config = EvolveConfig(out=Path("unused"), population=64, rollouts=16, max_episode_steps=5, workers=1)
    with DreamTrials(config) as trials:
        candidates = np.zeros((64, len(trials.zeros.parameters)), np.float32)
        shares = np.array_split(candidates, workers)
        scores = trials(candidates, 0)
    return {
        "sent": sum(len(pickle.dumps((share, 0))) for share in shares),
        "received": len(pickle.dumps(scores)) + (workers - 1) * len(pickle.dumps(_without_rows(scores))),
    }


def _without_rows(scores: Any) -> Any:
    """What a share's scores weigh besides the numbers."""
    return type(scores)(*(np.asarray(value)[:0] for value in vars(scores).values()))


def sized(_: None) -> Callable[[int], bytes]:
    """From a number of bytes to as many."""
    return bytes


def slow(seconds: float) -> Callable[[int], None]:
    """From anything to nothing, after so long."""
    return lambda _: time.sleep(seconds)


def _driver(engine: str) -> dict[str, float]:
    """The driver's seconds for a task, for a byte of a result written to disk, and for one short item alone."""
    with parallel.start(sized, None, workers=2, engine=engine) as pool, tempfile.TemporaryDirectory() as folder:
        parallel.in_order(pool, [0] * 20)
        begun = time.process_time()
        parallel.in_order(pool, [0] * 500)
        task = (time.process_time() - begun) / 500
        alone = []
        for _ in range(30):
            begun = time.monotonic()
            parallel.in_order(pool, [0])
            alone.append(time.monotonic() - begun)
        size, count = 2 << 20, 50
        begun = time.process_time()
        for place, content in pool.results([size] * count):
            write_bytes(Path(folder) / str(place), content)
        byte = (time.process_time() - begun - count * task) / (count * size)
    return {"task_seconds": task, "latency_seconds": median(alone), "byte_seconds": byte}


def _lost_machines() -> dict[str, list[float]]:
    """What the death of one of two machines costs, with Ray's own health checks.

    Of a queue of items of a second: the seconds beyond those that the other machine needs for what is left. Of a
    generation of one item of three seconds for each machine: how long it takes; the other machine alone needs six.
    """
    queues, generations = [], []
    with _cluster(0) as cluster:
        for _ in range(_TRIALS):
            with _two_machines(cluster), parallel.start(slow, 1.0, engine=f"ray:{cluster.address}") as pool:
                killed = 0.0
                for count, _ in enumerate(pool.results(range(16)), 1):
                    if count == 6:
                        killed = time.monotonic()
                        _kill(cluster)
                queues.append(time.monotonic() - killed - 10)
            with _two_machines(cluster), parallel.start(slow, 3.0, engine=f"ray:{cluster.address}") as pool:
                parallel.in_order(pool, range(2))
                begun = time.monotonic()
                Timer(1.0, _kill, (cluster,)).start()
                parallel.in_order(pool, range(2))
                generations.append(time.monotonic() - begun)
            print(f"{queues[-1]:.1f} {generations[-1]:.1f}", flush=True)
    return {"seconds_lost_of_a_queue": queues, "seconds_of_a_generation": generations}


@contextmanager
def _two_machines(cluster: Any) -> Iterator[None]:
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=_STORE)
    yield
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node)


def _kill(cluster: Any) -> None:
    import ray

    own = ray._private.worker.global_worker.node._raylet_socket_name
    doomed = next(node for node in cluster.worker_nodes if node._raylet_socket_name != own)
    Timer(0.0, cluster.remove_node, (doomed, False)).start()


def as_large(_: Any) -> Callable[[PlannedEpisode], tuple[int, bytes]]:
    """From a planned episode to its length and as many bytes as a recording of it has."""
    return lambda planned: (planned.length, bytes(planned.length * _FRAME_BYTES))


def _memory() -> dict[str, Any]:
    """The driver's own memory while it collects, with bytes of the size of recordings instead of any.

    All else is as in a collection, except that few files are kept.
    """
    samples: list[tuple[int, int]] = []
    total = 0

    def write(path: Path, content: bytes) -> None:
        nonlocal total
        write_bytes(path.with_name("last"), content)
        total += len(content)
        if not samples or total >= samples[-1][0] + _SAMPLED:
            samples.append((total, _own_bytes()))
            print(*samples[-1], flush=True)

    changed = mock.patch.multiple(sys.modules[collect.__module__], _recording=as_large, write_bytes=write)
    with _cluster(2) as cluster, tempfile.TemporaryDirectory() as folder, changed:
        collect(CollectConfig(out=Path(folder) / "run", frames=_MEMORY_FRAMES, engine=f"ray:{cluster.address}"))
    return {"driver_memory": {"frames": _MEMORY_FRAMES, "bytes_taken_and_own": samples}}


def _own_bytes() -> int:
    """Of this process, without what it shares with Ray's object store; Linux alone."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def _update_seconds() -> float:
    """CMA-ES's own time for a generation of 64 in the full space."""
    from dreamgym.world_model import WorldModel

    world_model = WorldModel.load()
    assert world_model.controller is not None
    evolution = Evolution(world_model.controller, 0.1, 64, 0)
    begun = time.monotonic()
    for _ in range(20):
        evolution.tell(np.random.default_rng(0).standard_normal(len(evolution.ask())))
    return (time.monotonic() - begun) / 20


def _rates() -> dict[str, Any]:
    """Of recording and of evolving, on one and two workers, by turns."""
    taken: dict[str, list[tuple[float, float, float]]] = {}
    seconds: dict[str, list[float]] = {}
    for workers in (1, 2):
        with _cluster(workers) as cluster:
            engines = {"local": "local", "ray": f"ray:{cluster.address}"}
            for _ in range(_ROUNDS):
                for name, engine in engines.items():
                    key = f"{name}, {workers}"
                    taken.setdefault(key, []).append(_collecting(engine, workers, _FRAMES * workers))
                    seconds.setdefault(key, []).append(_evolving(engine, workers, _STEPS))
                    print(key, taken[key][-1], seconds[key][-1], flush=True)
    # One local worker is this process. Its own seconds are what a quiet machine would take.
    own, size = (median(value[place] for value in taken["local, 1"]) for place in (1, 2))
    return {
        "collecting_frames_a_second": {key: [value[0] for value in values] for key, values in taken.items()},
        "evolving_seconds_a_generation": seconds,
        "evolving_steps": _STEPS,
        "costs": {"frames_a_second": own, "frame_bytes": size},
    }


def _one_machine() -> dict[str, Any]:
    """The rates on two workers at the size of real runs, on a Ray that dreamgym starts on this machine."""
    return {"full_one_machine": {**_rates_at_full_size("ray"), "machine": machine.describe()}}


def _full_rates() -> dict[str, Any]:
    """The same on a cluster of two machines shown on this one, which has three times as many processes of Ray's own."""
    with _cluster(2) as cluster:
        return {"full": {**_rates_at_full_size(f"ray:{cluster.address}"), "machine": machine.describe()}}


def _rates_at_full_size(engine: str) -> dict[str, Any]:
    """Whole episodes, and dreams as long as they may last. The two engines take turns in being first."""
    engines = [("local", "local"), ("ray", engine)]
    taken: dict[str, list[float]] = {name: [] for name, _ in engines}
    seconds: dict[str, list[float]] = {name: [] for name, _ in engines}
    for number in range(_FULL_ROUNDS):
        for name, used in engines[:: -1 if number % 2 else 1]:
            taken[name].append(_collecting(used, 2, 2 * _FULL_FRAMES, _FULL_LENGTH)[0])
            seconds[name].append(_evolving(used, 2, _FULL_STEPS))
            print(name, taken[name][-1], seconds[name][-1], flush=True)
    return {
        "workers": 2,
        "collecting_frames_a_second": taken,
        "evolving_seconds_a_generation": seconds,
        "episode_frames": _FULL_LENGTH,
        "evolving_steps": _FULL_STEPS,
    }


def _overheads() -> dict[str, Any]:
    with _cluster(2) as cluster:
        costs = _driver(f"ray:{cluster.address}")
    sizes = {workers: _bytes_a_generation(workers) for workers in (1, 2, 64)}
    return {"bytes_a_generation": sizes, "costs": {**costs, "update_seconds": _update_seconds()}}


PARTS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "rates": _rates,
    "one_machine": _one_machine,
    "full_rates": _full_rates,
    "overheads": _overheads,
    "death": lambda: {"lost_machines": _lost_machines()},
    "memory": _memory,
}
"""What is measured, by name."""


def main(names: Sequence[str]) -> None:
    """Measure some or all parts, and write them down beside the others."""
    path = FOLDER / "cluster.json"
    for name in names or PARTS:
        torch.set_num_threads(1)
        about = machine.describe()
        found = PARTS[name]()
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if name in ("rates", "overheads"):  # of which most figures are
            found["machine"] = about
        content = {**content, **found, "costs": {**content.get("costs", {}), **found.get("costs", {})}}
        write_json(path, content)
        print(json.dumps(found, indent=2), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
