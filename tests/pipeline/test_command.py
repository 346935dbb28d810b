"""The whole procedure, from nothing to a controller, on a few frames; nothing is trained for real."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.config import MemoryConfig, PipelineConfig
from dreamgym.controller.linear import LinearController
from dreamgym.errors import ConfigError, OutputFolderError
from dreamgym.fidelity import verdict
from dreamgym.files import claim_folder, to_json, write_json
from dreamgym.pipeline import command, train_all
from dreamgym.pipeline.report import validation_runs
from dreamgym.pipeline.rounds import Round
from dreamgym.pipeline.stages import check, evolve_config, memory_config, recording_config
from dreamgym.world_model import WorldModel
from dreamgym.worlds import registry
from dreamgym.worlds.base import Recording
from dreamgym.worlds.car_racing.world import CAR_RACING
from dreamgym.worlds.registry import find, names

SMALL: dict[str, Any] = {
    "recordings": {
        "scripted": Recording(mix={"follower": 1.0}, frames=300, lengths=(300,)),
        "aimless": Recording(mix={"aimless_follower": 1.0}, frames=200, lengths=(150,)),
    },
    "own_recording": Recording(mix={"controller": 1.0}, frames=200, lengths=(100,)),
    "vision": {"steps": 2, "batch_size": 8},
    "memory": {"steps": 2, "batch_size": 4, "hidden_units": 32},
    "memory_round_steps": 2,
    # So few frames hold no hard moments.
    "evolve": {
        "generations": 1,
        "population": 4,
        "rollouts": 1,
        "hard_rollouts": 0,
        "validate_every": 1,
        "validation_episodes": 1,
    },
    "dreamed_terminations": False,  # nor an episode that leaves the playfield
    "workers": 1,
}


def aimless(frames: int, leaving: float) -> dict[str, Recording]:
    mix = {"aimless_follower": 1.0 - leaving, "leaving_follower": leaving}
    return {**find().recordings, "aimless": replace(find().recordings["aimless"], frames=frames, mix=mix)}


RUNS: dict[str, dict[str, Any]] = {
    "unbroken": {
        "temperature": 1.5,
        "factor_gain": 0.0,
        "evolve": {"event_penalty": 0.0},
        "dreamed_terminations": False,
        "recordings": aimless(100_000, 0.0),
    },
    "unbroken-2": {"recordings": aimless(100_000, 0.0)},
    "unbroken-3": {"seed": 1},
}
"""What each of the recorded runs was told that is not the default; what all of them were is below."""


@pytest.fixture(autouse=True)
def _few_short_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._entries, "CarRacing", replace(CAR_RACING, max_episode_steps=120))
    for name, count in (("DREAM_SEEDS", 2), ("MODEL_SEEDS", 1)):
        monkeypatch.setattr(command, name, getattr(command, name)[:count])


def small(out: Path, **changes: Any) -> PipelineConfig:
    stages = {name: {**SMALL[name], **changes.pop(name)} for name in ("vision", "memory", "evolve") if name in changes}
    return PipelineConfig.of(out=out, **{**SMALL, **changes, **stages})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rounds": 0}, "rounds"),
        ({"evolve": {"population": 2}}, "population"),
        ({"seed": 898}, "seed"),
        ({"recordings": {}}, "recordings"),
        ({"recordings": {"short": Recording(mix={"follower": 1.0}, frames=300, lengths=(20, 30))}}, "recordings"),
        ({"own_recording": Recording(mix={"nobody": 1.0}, frames=9, lengths=(9,))}, "mix"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf"), "evolve": {"temperature": (1.0, 1.0)}}, "temperature"),
        ({"factor_gain": -1.0}, "factor_gain"),
        ({"vision": {"steps": 0}}, "steps"),
        ({"memory_round_steps": -5}, "steps"),
        ({"evolve_round_generations": 0}, "evolve_round_generations"),
        ({"memory": {"latent_noise": -1.0}}, "latent_noise"),
        ({"evolve": {"subspace": -1}}, "subspace"),
        ({"evolve": {"validate_every": -1}}, "validate_every"),
        ({"workers": 0}, "workers"),
        ({"recordings": {"own": Recording(mix={"controller": 1.0}, frames=300, lengths=(300,))}}, "recordings"),
        ({"search_labels": True, "evolve": {"subspace": 0}}, r"evolve\.subspace"),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_at_once(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"{named}: expected"):
        train_all(small(tmp_path / "run", **{"rounds": 3, **change}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"evolve": {"hard_rollouts": 1}}, r"evolve\.hard_rollouts"),
        ({"evolve": {"action_penalty": 0.1}}, r"evolve\.action_penalty"),
        ({"evolve": {"event_penalty": 1.0}}, r"evolve\.event_penalty"),
        ({"search_labels": True}, "search_labels"),
    ],
)
def test_what_a_world_does_not_have_is_refused_at_once(tmp_path: Path, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"{named}: expected .* Corridor has no"):
        train_all(PipelineConfig.of("tests.support.toy_world:TOY", out=tmp_path / "run", workers=1, **settings))
    assert not (tmp_path / "run").exists()


def test_fast_is_refused_at_once_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "choose_device", lambda _: torch.device("cuda"))
    with pytest.raises(ConfigError, match="fast=True"):
        train_all(small(tmp_path / "run", evolve={"fast": True}))
    assert not (tmp_path / "run").exists()


def test_a_folder_is_the_same_run_s_wherever_it_is_named_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def claim(run: Path, steps: int = 100) -> None:
        memory = MemoryConfig(latents=(run / "latents",), out=run / "memory", steps=steps)
        claim_folder(memory.out, memory)
        (memory.out / "log.jsonl").touch()

    claim(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    claim(Path("run"))
    (tmp_path / "run").rename(tmp_path / "moved")
    claim(Path("moved"))
    with pytest.raises(OutputFolderError, match="steps"):
        claim(Path("moved"), 200)


def test_a_run_goes_on_that_began_before_there_was_a_setting(tmp_path: Path) -> None:
    run = PipelineConfig.of(out=tmp_path, evolve={"action_penalty": 0.2, "beginning_share": 0.5})
    recorded = to_json(run, tmp_path)
    del recorded["evolve.beginning_share"]
    write_json(tmp_path / "config.json", {"stage": "PipelineConfig", **recorded})
    (tmp_path / "round-0.json").touch()
    other = replace(run, evolve=replace(run.evolve, beginning_share=1.0))
    with pytest.raises(OutputFolderError, match=r"evolve\.beginning_share: 0\.5 there, 1\.0 now"):
        claim_folder(tmp_path, other, may_differ=command.ADMISSIBLE_CHANGES)
    claim_folder(tmp_path, run, may_differ=command.ADMISSIBLE_CHANGES)


@pytest.mark.parametrize("name", RUNS)
def test_runs_of_the_results_page_can_be_gone_on_with(tmp_path: Path, name: str) -> None:
    recorded = Path(__file__).parents[2] / "docs" / "experiments" / "car-racing" / "rounds"
    shutil.copy(recorded / name / "config.json", tmp_path)
    (tmp_path / "round-0.json").touch()
    own = {"fast": True, "generations": 60, "validate_every": 20, "validation_episodes": 16}
    settings = {"memory": {"steps": 6000}, **RUNS[name], "evolve": {**own, **RUNS[name].get("evolve", {})}}
    run = PipelineConfig.of(out=tmp_path, workers=1, **settings)
    claim_folder(tmp_path, run, may_differ=command.ADMISSIBLE_CHANGES)


def test_a_run_with_settings_that_there_are_no_more_is_left_alone(tmp_path: Path) -> None:
    run = PipelineConfig.of(out=tmp_path)
    write_json(tmp_path / "config.json", {"stage": "PipelineConfig", **to_json(run, tmp_path), "progress_limit": 1.5})
    (tmp_path / "round-0.json").touch()
    with pytest.raises(OutputFolderError, match=r"progress_limit: 1\.5 there, no such setting now"):
        claim_folder(tmp_path, run, may_differ=command.ADMISSIBLE_CHANGES)


def test_each_world_recommends_settings_that_every_stage_accepts(tmp_path: Path) -> None:
    for name in names():
        check(PipelineConfig.of(name, out=tmp_path))
    assert PipelineConfig.of("car_racing", out=tmp_path) == PipelineConfig.of(out=tmp_path)
    doom = PipelineConfig.of("doom-take-cover", out=tmp_path, evolve={"sigma": 0.2})
    assert doom.vision.error_power_weight == 30.0 and doom.memory.lasting_noise == 0.0
    assert doom.evolve.population == 32 and doom.evolve.sigma == 0.2 and doom.evolve.event_penalty == 0.0
    assert memory_config(doom, Round(tmp_path, 0)).sizes(find(doom.world)).latents == 64
    assert [path.name for path in memory_config(doom, Round(tmp_path, 1)).latents] == ["scripted", "episodes-1"]


def test_dreamed_terminations_without_an_episode_that_leaves_are_refused_before_m_trains(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="same action is held"):
        train_all(small(tmp_path, dreamed_terminations=True, rounds=1))
    assert not (tmp_path / "memory-0").exists()


def test_a_run_again_with_fewer_rounds_keeps_the_best_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    means = [700.0, 860.0, 906.0, 890.0]

    def run_round(_: PipelineConfig, this: Round) -> None:
        real = {"mean": means[this.number], "std": 1.0, "best": 920.0}
        write_json(this.report, {"round": this.number, "real": real, "dream": {}, "seconds": 1.0})

    monkeypatch.setattr(command, "run_round", run_round)
    monkeypatch.setattr(command, "write_page", lambda this, _: this.page.touch())
    monkeypatch.setattr(command, "_keep", lambda config, best: config.out / str(best["round"]))
    for changes in ({}, {"stop_at": 850.0}, {"rounds": 2}):
        assert train_all(small(tmp_path, **{"rounds": 4, **changes})).name == "2"


@pytest.mark.slow
def test_a_round_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What further rounds begin with is shown on a smaller world, in ``tests/test_toy_world.py``."""
    run, judged, diagnose = tmp_path / "run", [], verdict.diagnose
    monkeypatch.setattr(
        verdict, "diagnose", lambda found, **options: judged.append(found) or diagnose(found, **options)
    )
    world = WorldModel.load(train_all(small(run, rounds=1)))
    found = json.loads((run / "round-0.json").read_text(encoding="utf-8"))
    assert world.controller is not None
    assert world.card["scores"]["validation"]["mean"] == found["real"]["mean"]
    assert found["frames"] >= 200 + 300
    (returns,) = (each["controller"] for each in judged)
    assert returns == {"real": found["real"]["mean"], "dream": found["dream"]["1.0"]["mean"]}
    assert returns["real"] != returns["dream"]

    page = (run / "round-0.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert len(pictures) == 3 and all((run / picture).stat().st_size > 1000 for picture in pictures)
    with pytest.raises(OutputFolderError):
        train_all(small(run, rounds=2, memory_round_steps=3))


def test_a_round_remembers_states_where_the_first_one_does(tmp_path: Path) -> None:
    for asked, expected in ((500, 1250), (0, 0)):
        config = small(tmp_path, memory={"remember_every": asked})
        assert memory_config(config, Round(tmp_path, 1)).remember_every == expected


def test_a_later_round_goes_on_from_the_one_before(tmp_path: Path) -> None:
    settings = {"memory": {"learning_rate": 4e-3}, "evolve": {"sigma": 0.4}, "seed": 7}
    config = small(tmp_path, **settings)
    first, second, fifth = (Round(tmp_path, number) for number in (0, 1, 4))
    assert memory_config(config, first).initial is None
    later = memory_config(config, second)
    assert (later.initial, later.learning_rate, later.seed) == (first.memory, 2e-3, 8)
    assert (later.recent_share, later.recent_folders, memory_config(config, fifth).recent_folders) == (0.4, 1, 3)
    assert [path.name for path in later.latents] == ["aimless", "scripted", "episodes-1"]  # V's is first's last
    played = recording_config(config, second, "episodes-1")
    assert (played.controller, played.world_model, played.seed) == (first.controller, first.world, 8)
    search, again = evolve_config(config, first), evolve_config(config, second)
    assert (search.initial, search.sigma, search.seed) == (None, 0.4, 7)
    assert (again.initial, again.sigma, again.seed) == (first.controller, 0.2, 8)
    zero = evolve_config(small(tmp_path, from_zero=True, **settings), second)
    assert (zero.initial, zero.sigma) == (None, 0.4)


def test_later_rounds_may_have_generations_of_their_own(tmp_path: Path) -> None:
    rounds = [Round(tmp_path, number) for number in range(2)]
    for settings, wanted in (
        ({"evolve_round_generations": None}, [9, 9]),
        ({"evolve_round_generations": 4}, [9, 4]),
        ({"evolve_round_generations": 4, "from_zero": True}, [9, 9]),
    ):
        config = small(tmp_path, evolve={"generations": 9}, **settings)
        assert [evolve_config(config, this).generations for this in rounds] == wanted


def test_the_best_rounds_controller_and_scores_are_kept(tmp_path: Path, toy_world_model: WorldModel) -> None:
    for number in (0, 1, 2):
        this = Round(tmp_path, number)
        toy_world_model.save(this.world)
        this.evolution.mkdir()
        LinearController.from_parameters(np.full(63, number, np.float32)).save(this.controller)
    best = {"round": 1, "real": {"mean": 3.0}, "dream": {"1.0": {"mean": 4.0}}}
    kept = WorldModel.load(command._keep(small(tmp_path), best))
    assert kept.controller is not None and set(kept.controller.parameters.tolist()) == {1.0}
    assert kept.card["scores"] == {"validation": {"mean": 3.0}, "dream": {"1.0": {"mean": 4.0}}}


def test_summary_tells_what_is_left(tmp_path: Path) -> None:
    real, dream = {"mean": 700.0, "std": 9.0, "best": 800.0}, {"1.0": {"mean": 750.0}}
    reports = [{"round": number, "real": real, "dream": dream, "seconds": 600.0} for number in (0, 1)]
    told = command._summary(reports, small(tmp_path, rounds=6))
    assert told == "round 1: real 700 ± 9 (best 800); dream 750 at tau 1.0; 20 min so far, 40 or less to go"


def test_validation_runs_are_after_so_many_generations(tmp_path: Path) -> None:
    entries = [{"generation": 0}, {"generation": 19, "validation": [1.0, 3.0]}]
    (tmp_path / "generations.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    assert validation_runs(tmp_path) == [{"generations": 20, "mean": 2.0}]


def test_held_out_episodes_are_those_of_the_controller_that_is_there(tmp_path: Path) -> None:
    this, folders = Round(tmp_path, 0), []
    this.evolution.mkdir()
    for controller in (b"first", b"evolved for longer", b"first"):
        this.controller.write_bytes(controller)
        folders.append(this.held_out)
    assert folders[0] == folders[2] != folders[1]
