"""A world of one's own, from nothing to a scored controller, by the functions behind the commands."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from dreamgym import cli
from dreamgym.config import PipelineConfig
from dreamgym.controller.linear import LinearController
from dreamgym.data.episodes import episode_paths, read_episode
from dreamgym.data.latents import read_latents
from dreamgym.errors import OutputFolderError
from dreamgym.files import claim_folder
from dreamgym.pipeline import command, train_all
from dreamgym.pipeline.rounds import Round
from dreamgym.world_model import WorldModel
from tests.support.toy_world import TOY

NAME = "tests.support.toy_world:TOY"
LEFT_OF_A_ROUND = ("config.json", "round-0.json", "evolve-0/controller.safetensors")
"""What a finished round is, the rest of which can be made again."""


@pytest.fixture(scope="module", autouse=True)
def _few_episodes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, count in (("DREAM_SEEDS", 2), ("MODEL_SEEDS", 1)):
            patch.setattr(command, name, getattr(command, name)[:count])
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two rounds, in this process."""
    out = tmp_path_factory.mktemp("toy") / "run"
    train_all(PipelineConfig.of(NAME, out=out, rounds=2, workers=1))
    return out


def report(run: Path, number: int) -> dict[str, Any]:
    """Of a round, without the times."""
    found = Round(run, number).read_report()
    return {key: value for key, value in found.items() if key not in ("seconds", "finished")}


def test_recordings_are_the_worlds(run: Path) -> None:
    paths = episode_paths(run / "episodes" / "wandering")
    assert sum(len(read_episode(path)) for path in paths) >= 300
    episode = read_episode(paths[0])
    assert episode.world == "Corridor" and episode.player == "wanderer" and episode.labels == {}
    assert set(np.unique(episode.actions)) <= {-1.0, 0.0, 1.0} and episode.actions.shape[1] == 1


def test_latents_have_its_size_no_mirror_and_its_rewards(run: Path) -> None:
    episodes = read_latents(run / "latents" / "wandering", world=TOY)
    assert not any(episode.mirrored for episode in episodes)
    assert episodes[0].mean.shape == (len(episodes[0]) + 1, 3)
    recorded = read_episode(run / "episodes" / "wandering" / episodes[0].path.name)
    np.testing.assert_array_equal(episodes[0].progress, recorded.rewards)


def test_the_bundle_opens_without_the_worlds_code(run: Path) -> None:
    env = gym.make("dreamgym:Dream-v0", world_model=str(run / "world"))
    assert env.action_space == gym.spaces.Discrete(3) and env.observation_space.shape == (9,)
    env.reset(seed=1)
    rewards = [env.step(2)[1] for _ in range(5)]
    assert all(isinstance(reward, float) for reward in rewards) and len(set(rewards)) > 1  # M's own


def test_the_controller_is_of_the_worlds_sizes(run: Path) -> None:
    for number in (0, 1):
        controller = LinearController.load(run / f"evolve-{number}" / "controller.safetensors")
        assert controller.weights.shape == (1, 9) and controller.squash == ("tanh",)
    world_model = WorldModel.load(run / "world")
    assert world_model.controller is not None and world_model.memory.event_head is None


def test_every_round_is_scored_in_reality_and_dream(run: Path) -> None:
    reports = [json.loads((run / f"round-{number}.json").read_text()) for number in (0, 1)]
    for report in reports:
        assert len(report["real_scores"]) == 2 and all(0 <= score <= 20 for score in report["real_scores"])
        assert set(report["dream"]) == {"0.5", "1.0", "1.5"}
    assert reports[1]["frames"] >= reports[0]["frames"] + 100
    assert "## Returns" in (run / "round-1.md").read_text(encoding="utf-8")


def test_the_second_round_plays_with_the_first_ones_controller(run: Path) -> None:
    players = {read_episode(path).player for path in episode_paths(run / "episodes" / "episodes-1")}
    assert players <= {"controller", "disturbed_controller"} and players


def test_a_further_round_needs_the_earlier_controllers_and_scores_alone(run: Path, tmp_path: Path) -> None:
    further, bare = tmp_path / "further", tmp_path / "bare"
    train_all(PipelineConfig.of(NAME, out=further, rounds=1, workers=1))
    first = (further / "round-0.json").read_bytes()
    for name in LEFT_OF_A_ROUND:
        (bare / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(further / name, bare / name)

    for path in episode_paths(further / "episodes" / "wandering"):
        path.unlink()  # they were encoded
    world_model = WorldModel.load(train_all(PipelineConfig.of(NAME, out=further, rounds=2, workers=1)))
    assert (further / "round-0.json").read_bytes() == first  # nothing is done twice
    assert {path.parent.name for path in (further / "episodes").rglob("*.npz")} == {"episodes-1"}
    assert report(further, 1) == report(run, 1)
    best = max(report(further, number)["real"]["mean"] for number in (0, 1))
    assert world_model.card["scores"]["validation"]["mean"] == best
    page = (further / "round-1.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| [01] +\|", page, re.MULTILINE)) == 2

    scores = json.loads(first)
    of_another = {**scores, "world_model_sha256": {**scores["world_model_sha256"], "memory.safetensors": "0" * 64}}
    (bare / "round-0.json").write_text(json.dumps(of_another))
    with pytest.raises(OutputFolderError, match="round 0's world model"):
        train_all(PipelineConfig.of(NAME, out=bare, rounds=2, workers=1))
    assert not (bare / "world").exists()
    (bare / "round-0.json").write_bytes(first)
    train_all(PipelineConfig.of(NAME, out=bare, rounds=2, workers=1))
    assert report(bare, 1) == report(run, 1)
    assert "The picture is gone" in (bare / "round-0.md").read_text(encoding="utf-8")


def test_a_run_goes_on_with_the_worlds_own_recordings(run: Path) -> None:
    with claim_folder(run, PipelineConfig.of(NAME, out=run, rounds=3, workers=1), may_differ=("rounds", "workers")):
        pass
    other = replace(TOY.recordings["wandering"], frames=60)
    with pytest.raises(OutputFolderError, match=r"recordings\.wandering\.frames"):
        claim_folder(run, PipelineConfig.of(NAME, out=run, recordings={"wandering": other}), may_differ=("rounds",))


def test_stage_by_stage_by_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "set_process_policy", lambda: None)
    monkeypatch.chdir(tmp_path)
    few, vision, memory = "--steps 1 --batch-size 4", "vision/vision.safetensors", "memory/memory.safetensors"
    sizes = "--latent-size 4 --hidden-units 5 --mixtures 3 --factors 2"
    for line in (
        "collect --out episodes --recording wandering --frames 120 --lengths 40 --workers 1",
        f"train vision --episodes episodes --out vision --latents 4 {few}",
        f"encode --episodes episodes --vision {vision} --latents 4 --out latents",
        f"train memory --latents latents --out memory {sizes} --sequence-length 6 {few}",
        f"assemble --vision {vision} --memory {memory} --latents latents {sizes} --temperature 2 --out world",
        "evolve --world-model world --out evolve --generations 1 --population 4 --rollouts 1 --workers 1",
    ):
        assert cli.main([*line.split(), "--world", NAME]) == 0
    world_model = WorldModel.load(tmp_path / "world")
    memory_sizes = (world_model.memory.latent_size, world_model.memory.hidden_size, world_model.memory.mixtures)
    assert memory_sizes == (4, 5, 3) and world_model.memory.factors == 2 and world_model.temperature == 2.0
    controller = LinearController.load(tmp_path / "evolve" / "controller.safetensors")
    assert controller.weights.shape == (1, 9)
    plain, fast = (
        gym.make_vec("dreamgym:Dream-v0", num_envs=3, world_model=world_model, fast=fast) for fast in (False, True)
    )
    seen, again = (envs.reset(seed=1)[0] for envs in (plain, fast))
    assert seen.shape == (3, 9) and np.allclose(seen, again)
    actions = np.array([0, 1, 2])
    assert np.allclose(plain.step(actions)[0], fast.step(actions)[0], atol=1e-4)  # the compiled step is of any size


def test_a_finished_run_without_its_rounds_keeps_its_bundle(run: Path, tmp_path: Path) -> None:
    """Frames, V, M and the rounds' bundles are large, and the last bundle is what one made them for."""
    kept = tmp_path / "kept"
    for path in (run / "config.json", *run.glob("round-*.*"), *run.glob("evolve-*/controller.safetensors")):
        (kept / path.relative_to(run)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kept / path.relative_to(run))
    shutil.copytree(run / "world", kept / "world")
    train_all(PipelineConfig.of(NAME, out=kept, rounds=2, workers=1))
    assert not (kept / "vision").exists() and not (kept / "world-0").exists() and not (kept / "world-1").exists()
