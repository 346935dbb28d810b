"""The demo: its pictures, its film, and the whole of it in small."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dreamgym.config import DemoConfig, EvolveConfig
from dreamgym.controller.linear import LinearController
from dreamgym.data.seeds import FIDELITY_SEEDS
from dreamgym.demo import command, run
from dreamgym.errors import ConfigError, InstallationError, OutputFolderError
from dreamgym.evaluate.scores import EpisodeScore, mean_and_spread
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find


def test_demo_evolves_plays_and_films(toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    config = DemoConfig(out=out, world_model=toy_bundle, seconds=1.0, episodes=1, workers=1)
    run(config, max_episode_steps=5)
    printed = capsys.readouterr().out
    report = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    own = report["reality"]["the world model's own"]
    fresh = report["dream"]["evolved just now"]
    assert (own["episodes"], fresh["episodes"]) == (1, command.DREAMS)
    log = out / "evolve" / "generations.jsonl"  # on a busy machine the time is over before the first generation
    assert report["generations"] == (len(log.read_text().splitlines()) if log.exists() else 0)
    assert f" {mean_and_spread(own)}\n" in printed and own["std"] is None  # of one episode
    assert f"{fresh['mean']:.0f} ± {fresh['std']:.0f}" in printed
    assert f"{report['dream_steps_per_second']:,.0f}" in printed
    assert str(out / "demo.mp4") in printed
    assert LinearController.load(out / "evolve" / "controller.safetensors").parameters.shape == (63,)
    assert (out / "demo.mp4").stat().st_size > 1000
    assert (out / "demo.gif").read_bytes().startswith(b"GIF8")


def test_a_demo_that_goes_on_counts_all_its_generations(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DemoConfig(out=tmp_path, world_model=toy_bundle, seconds=1e-9, workers=1)
    (tmp_path / "evolve").mkdir()
    world = WorldModel.load(toy_bundle)

    def evolve(settings: EvolveConfig, *_: object, **__: object) -> LinearController | None:
        with (settings.out / "generations.jsonl").open("a") as log:
            log.write("{}\n{}\n")
        return world.controller

    monkeypatch.setattr(command, "evolve", evolve)
    assert [command._evolve(config, world)[2] for _ in range(2)] == [2, 4]


def test_fresh_controller_is_filmed_where_there_is_no_other(toy_bundle: Path, tmp_path: Path) -> None:
    world = WorldModel.load(toy_bundle)
    world.controller = None
    world.save(tmp_path / "bare")
    out = tmp_path / "demo"
    run(
        DemoConfig(out=out, world_model=tmp_path / "bare", seconds=1.0, episodes=1, workers=1),
        max_episode_steps=3,
    )
    report = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    assert list(report["reality"]) == ["evolved just now"]


def test_bad_settings_and_missing_parts_are_refused_first(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for wrong in ({"episodes": 0}, {"episodes": 11}, {"seconds": 0.0}):
        with pytest.raises(ConfigError, match="expected"):
            run(DemoConfig(out=out, world_model=toy_bundle, **wrong))  # type: ignore[arg-type]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputFolderError):
        run(DemoConfig(out=tmp_path / "full", world_model=toy_bundle))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InstallationError, match="imageio's ffmpeg"):
        run(DemoConfig(out=out, world_model=toy_bundle))
    assert not out.exists()


def test_each_controllers_episodes_are_its_own_and_none_is_a_test(
    toy_world_model: WorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(controllers: list[str], tasks: list[tuple[int, int]], **_: object) -> list[EpisodeScore]:
        return [
            EpisodeScore(seed, float(ord(controllers[number])), 5, False, False, 0.0, 1.0, (), 0.0)
            for number, seed in tasks
        ]

    monkeypatch.setattr(command, "play_episodes", play)
    config = DemoConfig(out=tmp_path, episodes=3)
    played, _ = command._play(config, {"one": "a", "two": "b"}, toy_world_model, find("CarRacing"), 5)  # type: ignore[dict-item]
    assert {name: {each.score for each in scores} for name, scores in played.items()} == {"one": {97.0}, "two": {98.0}}
    assert all([each.seed for each in scores] == list(command.SEEDS[:3]) for scores in played.values())
    assert set(command.SEEDS) <= set(FIDELITY_SEEDS)


def test_the_world_models_own_controller_is_filmed(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filmed: list[LinearController] = []
    monkeypatch.setattr("dreamgym.demo.film.film", lambda controller, *_, **__: filmed.append(controller) or 1.0)
    config = DemoConfig(out=tmp_path / "demo", world_model=toy_bundle, seconds=0.1, episodes=1, workers=1, seed=3)
    run(config, max_episode_steps=3)
    own = WorldModel.load(toy_bundle).controller
    assert own is not None
    np.testing.assert_array_equal(filmed[0].parameters, own.parameters)
    assert json.loads((tmp_path / "demo" / "evolve" / "config.json").read_text())["seed"] == 3
    lengths = [
        len(json.loads((tmp_path / "demo" / "demo.json").read_text())[where]["evolved just now"]["mean_curve"])
        for where in ("dream", "reality")
    ]
    assert lengths == [0, 0]  # of 3 steps both
