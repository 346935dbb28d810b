"""A Ray cluster of several machines on one, as Ray's own tests make it. Import both fixtures into a test's module."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

__all__ = ["cluster", "engine", "have", "head", "kill_one"]

_STORE: Final = 80 << 20  # bytes of a machine's object store
_PATIENCE: Final = 600
"""Seconds for a machine to start in, where the processors have other work; Ray itself would give it 30."""


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster of one machine without processors."""
    pytest.importorskip("ray")
    from ray._private import services
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # for the workers
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # a full machine is not what is tested
        patch.setenv("RAY_health_check_period_ms", "500")  # what is gone refuses at once, so this is what counts
        patch.setenv("RAY_health_check_timeout_ms", "60000")  # while what is slow does answer
        patch.setenv("RAY_worker_register_timeout_seconds", str(_PATIENCE))
        patch.setattr(services, "get_node", _patient(services.get_node))
        made = Cluster(True, head_node_args={"num_cpus": 0, "object_store_memory": _STORE, "include_dashboard": False})
        yield made
        made.shutdown()


def _patient(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """Ray's question after a machine, asked until it has an answer."""

    def ask(*arguments: Any) -> Any:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    return ask


@pytest.fixture
def cluster(head: Any) -> Any:
    """The cluster; it has the machines of the test before, until :func:`have` says which it should have."""
    return head


def have(cluster: Any, nodes: int = 1, cpus: int = 1) -> list[Any]:
    """Make the cluster's machines as many as given; a machine takes seconds to start, so what fits is kept."""
    fitting = [node for node in cluster.worker_nodes if node._ray_params.num_cpus == cpus][:nodes]
    for node in set(cluster.worker_nodes) - set(fitting):
        cluster.remove_node(node)
    fitting += [cluster.add_node(num_cpus=cpus, object_store_memory=_STORE) for _ in range(nodes - len(fitting))]
    cluster.wait_for_nodes(_PATIENCE)
    return fitting


def engine(cluster: Any) -> str:
    """What ``--engine`` takes."""
    return f"ray:{cluster.address}"


def kill_one(cluster: Any) -> None:
    """Kill a machine that this process, which must be connected, does not hang on."""
    import ray

    own = ray._private.worker.global_worker.node._raylet_socket_name
    doomed = next(node for node in cluster.worker_nodes if node._raylet_socket_name != own)
    cluster.remove_node(doomed, allow_graceful=False)
