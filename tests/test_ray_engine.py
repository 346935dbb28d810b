"""Work on a Ray cluster: several machines are shown on one, as Ray's own tests do it."""
# ruff: noqa: F401, F811 - fixtures are imported, and are arguments of tests

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dreamgym import ray_engine
from dreamgym.errors import ClusterError, ConfigError, EpisodeFileError, InstallationError, WorkerError
from dreamgym.parallel import in_order, start
from tests.support.cluster_work import Harm, alone, harmful, on_nodes
from tests.support.clusters import cluster, engine, have, head, kill_one
from tests.support.processes import running, runs, wait_until
from tests.test_parallel import environment, failing, slow_first, torch_threads

ROOT = Path(__file__).parents[1]
on_cluster = pytest.mark.slow

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves files to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@on_cluster
@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_results_are_the_same_on_any_number_of_machines(cluster: Any, nodes: int, tmp_path: Path) -> None:
    have(cluster, nodes)
    with start(harmful, Harm(tmp_path, 0.05), engine=engine(cluster)) as pool:
        assert pool.count == nodes
        assert in_order(pool, range(20)) == [item * item for item in range(20)]
        assert in_order(pool, []) == []


@on_cluster
def test_workers_bounds_what_is_worked_on_at_once(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "PATIENCE_SECONDS", 3600.0)  # no item is given out a second time
    have(cluster, cpus=2)
    with start(alone, tmp_path, workers=1, engine=engine(cluster)) as pool:
        assert pool.count == 1
        assert in_order(pool, range(4)) == [True] * 4


@on_cluster
def test_workers_have_one_thread_and_no_window(cluster: Any) -> None:
    have(cluster)
    with start(environment, None, engine=engine(cluster)) as pool:
        assert in_order(pool, ["OMP_NUM_THREADS", "SDL_VIDEODRIVER"]) == ["1", "dummy"]
    with start(torch_threads, None, engine=engine(cluster)) as pool:
        assert in_order(pool, [0]) == [1]


@on_cluster
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_worker_left_undone_is_done_by_another(
    cluster: Any, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = number == signal.SIGKILL  # which Ray sees; that a worker hangs shows in the time alone
    monkeypatch.setattr(ray_engine, "PATIENCE_SECONDS", 3600.0 if died else 5.0)
    have(cluster, cpus=2)
    with start(harmful, Harm(tmp_path, number=number), engine=engine(cluster)) as pool:
        assert in_order(pool, range(8)) == [item * item for item in range(8)]
    tries = len(list(tmp_path.glob("3-*")))
    assert tries == 2 if died else tries >= 2  # more where the second took long, too


@on_cluster
def test_an_item_that_kills_whoever_takes_it_is_an_error(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "_RETRIES", 1)
    have(cluster)
    harm = Harm(tmp_path, number=signal.SIGKILL, always=True)
    with (
        start(harmful, harm, engine=engine(cluster)) as pool,
        pytest.raises(WorkerError, match="2 times with the same item"),
    ):
        in_order(pool, range(8))


@on_cluster
def test_a_machine_that_dies_is_made_up_for(cluster: Any, tmp_path: Path) -> None:
    have(cluster, 2)
    places = []
    with start(harmful, Harm(tmp_path, 0.3), engine=engine(cluster)) as pool:
        for place, result in pool.results(range(12)):
            assert result == place * place
            places.append(place)
            if len(places) == 4:
                kill_one(cluster)
    assert sorted(places) == list(range(12))


@on_cluster
def test_a_driver_does_not_join_a_machine_that_is_gone(cluster: Any) -> None:
    """Ray would end the driver."""
    doomed, other = have(cluster, 2)
    cluster.remove_node(doomed, allow_graceful=False)
    ray_engine._await_end_of_gone(cluster.address)
    there = {node["NodeID"] for node in cluster.global_state.node_table() if node["Alive"]}
    assert there == {cluster.head_node.node_id, other.node_id}


@on_cluster
def test_a_machine_that_joins_late_takes_its_share(cluster: Any) -> None:
    have(cluster)
    nodes = set()
    with start(on_nodes, 0.3, engine=engine(cluster)) as pool:
        for place, node in pool.results(range(10_000)):  # the second machine may take a while to start a worker
            nodes.add(node)
            if place == 0:
                have(cluster, 2)
            if len(nodes) == 2:
                break
        assert pool.count == 2
    assert len(nodes) == 2


@on_cluster
def test_an_error_in_a_worker_is_raised_as_it_is(cluster: Any) -> None:
    have(cluster)
    expected = pytest.raises(EpisodeFileError, match="no such episode")
    with start(failing, "no such episode", engine=engine(cluster)) as pool, expected:
        in_order(pool, [1, 2, 3])


@on_cluster
def test_a_loop_left_early_frees_the_workers(cluster: Any) -> None:
    have(cluster, cpus=2)
    with start(slow_first, None, engine=engine(cluster)) as pool:
        assert [place for place, _ in zip(range(1), pool.results([0.0, 300.0, 300.0, 300.0]), strict=False)] == [0]
        assert in_order(pool, [0.0, 0.01]) == [0.0, 0.01]


@on_cluster
def test_other_versions_are_named(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    have(cluster)
    here = ray_engine._versions()
    monkeypatch.setattr(ray_engine, "_versions", lambda: {**here, "torch": "0.4.1"})
    expected = pytest.raises(ClusterError, match=rf"has torch {here['torch']} instead of 0\.4\.1; install the same")
    with start(slow_first, None, engine=engine(cluster)) as pool, expected:
        in_order(pool, [0.0])


@on_cluster
def test_a_module_that_a_machine_lacks_is_named(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    have(cluster)
    (tmp_path / "only_here.py").write_text("def build(settings):\n    return abs\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]

    expected = pytest.raises(ClusterError, match="No module named 'only_here' on a machine")
    with start(only_here.build, None, engine=engine(cluster)) as pool, expected:
        in_order(pool, [1])


SCRIPT = """
import sys
from pathlib import Path
from dreamgym.parallel import start
from tests.support.cluster_work import Harm, harmful

if __name__ == "__main__":
    with start(harmful, Harm(Path(sys.argv[2]), 3600.0), engine=sys.argv[1], workers=2) as pool:
        print(*pool.results([1, 2]), flush=True)
"""


@on_cluster
@pytest.mark.parametrize("where", ["cluster", "here"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_driver(cluster: Any, where: str, number: signal.Signals, tmp_path: Path) -> None:
    have(cluster, cpus=2)
    script, notes = tmp_path / "script.py", tmp_path / "notes"
    notes.mkdir()
    script.write_text(SCRIPT)
    command = [sys.executable, script, engine(cluster) if where == "cluster" else "ray", notes]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with running(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes) as driver:
        assert wait_until(lambda: len(list(notes.iterdir())) == 2)
        pids = [int(path.name.partition("-")[2]) for path in notes.iterdir()]
        assert all(map(runs, pids))
        if number == signal.SIGINT:
            os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
        else:
            driver.kill()
        assert wait_until(lambda: not any(map(runs, pids)))
        _, errors = driver.communicate(timeout=300)
    assert driver.returncode != 0
    assert len(list(notes.iterdir())) == 2
    assert errors.count("KeyboardInterrupt") == (number == signal.SIGINT)


@on_cluster
def test_memory_holds_only_what_is_being_worked_on(cluster: Any) -> None:
    """A result is 4 MB, the object store of a machine 80 MB."""
    have(cluster)
    own = []
    with start(_large, 4 << 20, engine=engine(cluster)) as pool:
        for _, result in pool.results(range(100)):
            assert len(result) == 4 << 20
            own.append(_own_bytes())
    assert len(own) == 100
    assert max(own) - own[20] < 40 << 20  # 80 further results are 320 MB


def _own_bytes() -> int:
    """Of this process, without what it shares with Ray's object store."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def _large(size: int) -> Any:
    return lambda item: bytes(size)


def test_an_address_where_nothing_answers_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray itself would try for minutes"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with (
            pytest.raises(ClusterError, match=f"no Ray cluster answers at {address}"),
            start(slow_first, None, engine=f"ray:{address}"),
        ):
            pass


def test_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InstallationError, match=r"dreamgym\[cluster\]"), start(slow_first, None, engine="ray"):
        pass


@pytest.mark.parametrize("name", ["", "ray:", "local:8", "rays"])
def test_an_unknown_engine_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected local, ray or ray:ADDRESS"), start(slow_first, None, engine=name):
        pass
