"""What the commands make on a cluster: the same as on one machine, whatever fails meanwhile."""
# ruff: noqa: F401, F811 - fixtures are imported, and are arguments of tests

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamgym import cli
from dreamgym.collect.collect import collect
from dreamgym.collect.command import controller_players
from dreamgym.config import CollectConfig, EvolveConfig
from dreamgym.controller.linear import LinearController
from dreamgym.data.episodes import episode_paths
from dreamgym.evaluate.episode import RealSettings
from dreamgym.evaluate.real import evaluate_player, evaluate_real
from dreamgym.evolve.dream_rollouts import DreamTrials
from dreamgym.world_model import WorldModel
from tests.support.clusters import cluster, engine, have, head, kill_one

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves files to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def recording(folder: Path, **changes: Any) -> CollectConfig:
    return replace(CollectConfig(out=folder, frames=200, workers=1, lengths=(15, 20)), **changes)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in episode_paths(folder)}


@pytest.fixture(autouse=True)
def _own_process_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs in this process leaves it as it is."""
    monkeypatch.setattr(cli, "set_process_policy", lambda: None)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process records."""
    return shards(collect(recording(tmp_path_factory.mktemp("alone") / "run")))


KILLED_DRIVER = """
import os, signal, sys
from importlib import import_module
from dreamgym import cli

place, name, *arguments = sys.argv[1:]
module, done = import_module(place), []
write = getattr(module, name)

def counted(*given):
    write(*given)
    done.append(given)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

setattr(module, name, counted)
cli.main(arguments)
"""


def kill_once(arguments: list[str], place: str, name: str) -> None:
    """Start a driver that kills itself when it has called a function of a module, which writes results, twice."""
    command = [sys.executable, "-c", KILLED_DRIVER, place, name, *arguments]
    driver = subprocess.run(command, capture_output=True, text=True, check=False)
    assert driver.returncode == -signal.SIGKILL, driver.stderr


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_the_same_episodes_come_from_any_number_of_machines(
    cluster: Any,
    nodes: int,
    tmp_path: Path,
    recorded: dict[str, bytes],
) -> None:
    have(cluster, nodes)
    assert shards(collect(recording(tmp_path / "run", workers=None, engine=engine(cluster)))) == recorded


def test_the_same_episodes_come_though_a_machine_dies(
    cluster: Any,
    tmp_path: Path,
    recorded: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    have(cluster, 2)
    run, module = tmp_path / "run", sys.modules["dreamgym.collect.collect"]
    write = module.write_bytes

    def write_and_kill(*given: Any) -> None:
        write(*given)
        if len(episode_paths(run)) == 2:
            kill_one(cluster)

    monkeypatch.setattr(module, "write_bytes", write_and_kill)
    assert shards(collect(recording(run, workers=None, engine=engine(cluster)))) == recorded
    assert len(cluster.worker_nodes) == 1


def test_a_killed_driver_is_started_again(
    cluster: Any,
    tmp_path: Path,
    recorded: dict[str, bytes],
) -> None:
    have(cluster, 2)
    run = tmp_path / "run"
    arguments = ["collect", "--out", str(run), "--engine", engine(cluster), "--frames", "200", "--lengths", "15", "20"]
    kill_once(arguments, "dreamgym.collect.collect", "write_bytes")
    kept = {path: path.stat().st_mtime_ns for path in episode_paths(run)}
    assert len(kept) == 2 < len(recorded)
    assert cli.main(arguments) == 0
    assert shards(run) == recorded
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert sorted(path.name for path in run.iterdir() if path.name[0] != ".") == sorted([*recorded, "config.json"])


def test_a_controller_needs_no_files_on_other_machines(cluster: Any, copied_bundle: Path, tmp_path: Path) -> None:
    have(cluster)
    squash = WorldModel.load(copied_bundle).actions.squash
    LinearController.zeros(20, squash).save(tmp_path / "controller.safetensors")
    config = recording(tmp_path / "run", frames=40, mix={"controller": 1.0})
    players = controller_players(copied_bundle, tmp_path / "controller.safetensors")
    shutil.rmtree(copied_bundle)
    alone = shards(collect(config, players))
    there = replace(config, out=tmp_path / "there", workers=None, engine=engine(cluster))
    assert shards(collect(there, players)) == alone


@pytest.fixture
def evolution(toy_world_model: WorldModel, tmp_path: Path) -> EvolveConfig:
    toy_world_model.save(tmp_path / "world")
    return EvolveConfig(
        out=tmp_path / "run",
        world_model=tmp_path / "world",
        population=6,
        rollouts=4,
        max_episode_steps=400,
        temperature=(0.5, 1.5),
        generations=3,
    )


def test_scores_are_the_same_on_a_cluster(cluster: Any, toy_world_model: WorldModel) -> None:
    have(cluster, 2)
    there = engine(cluster)
    squash = toy_world_model.actions.squash
    policy, short = LinearController.zeros(20, squash), RealSettings(max_episode_steps=15)
    given: dict[str, Any] = {"world_model": toy_world_model, "settings": short}
    alone = evaluate_real(policy, [1, 2, 3], workers=1, **given)
    assert evaluate_real(policy, [1, 2, 3], engine=there, **given) == alone
    own = evaluate_player("follower", [1, 2, 3], "CarRacing", workers=1, settings=short)
    assert evaluate_player("follower", [1, 2, 3], "CarRacing", engine=there, settings=short) == own


def returns(config: EvolveConfig, before: Callable[[int], Any] = lambda generation: None) -> list[np.ndarray]:
    """Of three generations of the same candidates."""
    found = []
    with DreamTrials(config) as trials:
        shutil.rmtree(config.world_model or "", ignore_errors=True)
        candidates = np.random.default_rng(0).standard_normal((6, len(trials.zeros.parameters)))
        for generation in range(3):
            before(generation)
            found.append(trials(candidates, generation).returns)
    return found


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_candidates_score_the_same_on_any_number_of_machines(cluster: Any, nodes: int, evolution: EvolveConfig) -> None:
    bundle = WorldModel.load(evolution.world_model)
    alone = returns(replace(evolution, workers=1))
    assert evolution.world_model is not None
    bundle.save(evolution.world_model)
    have(cluster, nodes)
    there = returns(replace(evolution, engine=engine(cluster)))
    np.testing.assert_array_equal(there, alone)


def test_candidates_score_the_same_though_a_machine_dies(
    cluster: Any, evolution: EvolveConfig, steady_world_model: WorldModel
) -> None:
    long = replace(evolution, rollouts=64, max_episode_steps=1000)  # so that a generation takes a while
    assert evolution.world_model is not None
    steady_world_model.save(evolution.world_model)
    alone = returns(replace(long, workers=1))
    steady_world_model.save(evolution.world_model)
    have(cluster, 2)

    timer = threading.Timer(0.2, lambda: kill_one(cluster))

    def soon(generation: int) -> None:
        if generation == 1:
            timer.start()
        if generation == 2:  # kill_one asks the driver, which must be connected
            timer.join()

    np.testing.assert_array_equal(returns(replace(long, engine=engine(cluster)), soon), alone)
    assert len(cluster.worker_nodes) == 1


def test_an_evolution_whose_driver_was_killed_goes_on_to_the_same(cluster: Any, evolution: EvolveConfig) -> None:
    have(cluster, 2)
    command = ["evolve", "--world-model", str(evolution.world_model), "--population", "6", "--rollouts", "4"]
    command += ["--max-episode-steps", "400", "--generations", "6"]
    command += ["--validate-every", "0", "--out"]
    cut = [*command, str(evolution.out / "cut"), "--engine", engine(cluster)]
    assert cli.main([*command, str(evolution.out / "whole"), "--workers", "1"]) == 0
    kill_once(cut, "dreamgym.controller.cma_es", "append_line")
    assert len((evolution.out / "cut" / "generations.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert cli.main(cut) == 0
    one, other = (evolution.out / name / "controller.safetensors" for name in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()
