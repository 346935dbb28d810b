"""The command: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamgym.config import EvaluateConfig
from dreamgym.data.seeds import TEST_SEEDS
from dreamgym.errors import ConfigError, OutputFolderError, TemperatureError
from dreamgym.evaluate import command, evaluate_dream, evaluate_real, run
from dreamgym.evaluate import played as played_module
from dreamgym.files import file_sha256
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import ScoreRule
from tests.support.corridor import corridor_model
from tests.support.policies import Constant

WORLD = "tests.support.corridor:CORRIDOR"


@pytest.fixture
def short_drives(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Real drives of four frames, in this process; the seeds that were asked for."""
    asked: list[Any] = []

    def drive(policy: Any, seeds: Any, **options: Any) -> Any:
        asked.append((seeds, options))
        settings = replace(options["settings"], max_episode_steps=4)
        return evaluate_real(policy, seeds, **{**options, "workers": 1, "settings": settings})

    monkeypatch.setattr(command, "evaluate_real", drive)
    return asked


def test_the_command_prints_and_writes(
    toy_bundle: Path, tmp_path: Path, short_drives: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    config = EvaluateConfig(world_model=toy_bundle, episodes=2, dream_episodes=3, out=out)
    run(config)
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [list(seeds) for seeds, _ in short_drives] == [list(TEST_SEEDS[:2])]
    assert report["reality"]["episodes"] == 2
    assert report["dream"]["episodes"] == 3
    assert [drive["seed"] for drive in report["episodes"]["reality"]] == [30_000, 30_001]
    scores = [drive["score"] for drive in report["episodes"]["dream"]]
    assert report["dream"]["mean"] == pytest.approx(np.mean(scores))
    assert {"dreamgym", "torch", "gymnasium"} <= report["versions"].keys()
    assert report["world_model"]["sha256"].keys() >= {"vision.safetensors", "memory.safetensors"}
    printed = capsys.readouterr().out
    assert f"{report['reality']['mean']:.1f} ± {report['reality']['std']:.1f}" in printed
    assert "seeds 30000..30001" in printed
    assert f"world model: {toy_bundle} ({report['world_model']['card_sha256'][:12]})" in printed
    assert str(out) in printed
    assert list(tmp_path.iterdir()) == [out]  # no temporary file is left


def test_a_report_is_shown_again_and_never_replaced(
    toy_bundle: Path, tmp_path: Path, short_drives: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    config = EvaluateConfig(world_model=toy_bundle, episodes=2, dream_episodes=3, out=out)
    run(config)
    first, before = capsys.readouterr().out, out.read_bytes()
    run(replace(config, workers=2))
    again = capsys.readouterr().out
    assert again.splitlines()[:-1] == first.splitlines()[:-1] and "nothing was played" in again
    with pytest.raises(OutputFolderError, match=r"report of another evaluation \(episodes: 2 there, 1 now\)"):
        run(replace(config, episodes=1))
    assert out.read_bytes() == before and len(short_drives) == 1


@pytest.mark.parametrize("player", [None, "walker"])
def test_an_evaluation_that_was_cut_off_goes_on(
    tmp_path: Path, player: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corridor_model().save(tmp_path / "bundle")
    monkeypatch.setattr(command, "load_policy", lambda *_, **__: Constant(0.0))
    bundle = tmp_path / "bundle" if player is None else None
    config = EvaluateConfig(
        world=WORLD, player=player, world_model=bundle, dream_episodes=0, episodes=5, workers=1, out=tmp_path / "a.json"
    )
    run(config)
    wanted = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    out = tmp_path / "b.json"
    played: list[int] = []
    finish = played_module.append_line

    def interrupted(path: Path, line: str) -> None:
        finish(path, line)
        played.append(json.loads(line).get("seed", -1))
        if len(played) == 3:  # whose they are, and two episodes
            raise KeyboardInterrupt

    monkeypatch.setattr(played_module, "append_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(replace(config, out=out))
    with (tmp_path / "b.json.part").open("a") as file:
        file.write('{"cut')  # as a kill leaves it
    for name in (".b.json.1.tmp.json", ".b.json.part.1.tmp.part", ".another.json.1.tmp.json"):
        (tmp_path / name).touch()  # likewise, and of another report, which another process may be writing
    with pytest.raises(OutputFolderError, match=r"b\.json\.part holds .* another evaluation \(episodes: 5 there"):
        run(replace(config, out=out, episodes=4))
    assert not out.exists()
    episodes = (tmp_path / "b.json.part").read_bytes()
    run(replace(config, out=out))
    assert played[1:] == list(TEST_SEEDS[:5])
    assert "going on after 2 of 5 real episodes" in capsys.readouterr().out
    got = json.loads(out.read_text(encoding="utf-8"))
    assert (got["reality"], got["episodes"]) == (wanted["reality"], wanted["episodes"])
    there = {"bundle", "a.json", "b.json", ".another.json.1.tmp.json"}
    assert {path.name for path in tmp_path.iterdir()} == there
    for name in ("b.json", "a.json"):  # killed after the report was written: before its episodes go
        (tmp_path / f"{name}.part").write_bytes(episodes)
        (tmp_path / f".{name}.lock").touch()
        run(replace(config, out=tmp_path / name))
        assert {path.name for path in tmp_path.iterdir()} == there
    (tmp_path / "b.json.part").write_bytes(episodes.replace(b'"episodes": 5', b'"episodes": 4'))
    run(replace(config, out=out))
    assert (tmp_path / "b.json.part").exists()  # of another evaluation


def test_two_evaluations_at_once_do_not_share_a_report(
    toy_bundle: Path, tmp_path: Path, short_drives: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EvaluateConfig(world_model=toy_bundle, episodes=0, dream_episodes=1, out=tmp_path / "report.json")

    def meanwhile(*_: Any, **__: Any) -> Any:
        monkeypatch.undo()
        run(config)

    monkeypatch.setattr(command, "evaluate_dream", meanwhile)
    with pytest.raises(OutputFolderError, match="is being written by another process"):
        run(config)


def test_a_controller_of_another_world_model_is_told(
    toy_bundle: Path, toy_world_model: WorldModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert toy_world_model.controller is not None
    toy_world_model.controller.save(tmp_path / "controller.safetensors")
    config = EvaluateConfig(
        controller=tmp_path / "controller.safetensors",
        world_model=toy_bundle,
        episodes=0,
        dream_episodes=1,
        out=tmp_path / "report.json",
    )
    own = file_sha256(toy_bundle / "card.json")
    origins = []
    for name, starts in (
        ("origin", toy_world_model.starts),
        ("other", replace(toy_world_model.starts, z=-toy_world_model.starts.z)),
    ):
        replace(toy_world_model, controller=None, starts=starts).save(tmp_path / name)
        origins.append({"world_model_sha256": file_sha256(tmp_path / name / "card.json"), "world_model": name})
    assert origins[0]["world_model_sha256"] != own
    for recorded, told in (
        ({"world_model_sha256": own}, False),
        (origins[0], False),  # the same V and M on another card
        (origins[1], True),
        ({"world_model_sha256": "ab" * 32}, True),
        ([], False),
    ):
        (tmp_path / "config.json").write_text(json.dumps(recorded))
        run(config)
        assert ("evolved in another world model" in capsys.readouterr().out) == told


def test_a_file_that_nobody_named_keeps_the_report_of_another_driver(
    toy_bundle: Path,
    toy_world_model: WorldModel,
    tmp_path: Path,
    short_drives: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert toy_world_model.controller is not None
    monkeypatch.chdir(tmp_path)
    config = EvaluateConfig(world_model=toy_bundle, episodes=1, dream_episodes=1)
    run(config)
    before = Path("evaluation-controller.json").read_bytes()
    assert len(short_drives) == 1
    toy_world_model.controller.save(Path("controller.safetensors"))
    changes: list[dict[str, Any]] = [
        {"controller": Path("controller.safetensors")},
        {"episodes": 0},
        {"temperature": 0.5},
    ]
    for number, change in enumerate(changes, start=2):
        run(replace(config, **change))
        assert Path("evaluation-controller.json").read_bytes() == before
        assert sorted(tmp_path.glob("evaluation-*.json"))[-2].name == f"evaluation-controller-{number}.json"
    run(replace(config, workers=1, temperature=toy_world_model.temperature))
    assert Path("evaluation-controller.json").read_bytes() == before  # it has the scores already
    assert len(short_drives) == 3
    assert len(list(tmp_path.glob("evaluation-*.json"))) == len(changes) + 1


def test_the_command_takes_other_seeds_and_no_dreams(toy_bundle: Path, tmp_path: Path, short_drives: list[Any]) -> None:
    out = tmp_path / "report.json"
    config = EvaluateConfig(
        world_model=toy_bundle, episodes=1, dream_episodes=0, first_seed=7, latent="mean", exact_drawing=False, out=out
    )
    run(config)
    seeds, options = short_drives[0]
    settings = options["settings"]
    assert (list(seeds), settings.latent, settings.exact_drawing) == ([7], "mean", False)
    assert "dream" not in json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("temperature", [float("nan"), -1.0, 0.0])
def test_a_temperature_is_refused_though_nothing_is_dreamed(
    toy_bundle: Path, tmp_path: Path, short_drives: list[Any], temperature: float
) -> None:
    out = tmp_path / "report.json"
    with pytest.raises(TemperatureError):
        run(
            EvaluateConfig(
                world_model=toy_bundle, episodes=1, dream_episodes=0, first_seed=7, temperature=temperature, out=out
            )
        )
    assert not short_drives and not list(tmp_path.iterdir())


def test_the_command_keeps_what_is_not_its_own(toy_bundle: Path, tmp_path: Path, short_drives: list[Any]) -> None:
    ours = '{"kind": "dreamgym evaluate"'
    texts = (
        "notes",
        '{"kind": "other"}',
        "[]",
        "[" * 100_000,
        f'{ours}, "config": 5}}',
        f'{ours}, "world_model": [1]}}',
    )
    for text in texts:
        out = tmp_path / "precious.json"
        out.write_text(text, encoding="utf-8")
        with pytest.raises(OutputFolderError, match="precious"):
            run(EvaluateConfig(world_model=toy_bundle, out=out))
        assert out.read_text(encoding="utf-8") == text
    with pytest.raises(OutputFolderError, match="folder"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path))
    with pytest.raises(OutputFolderError, match="folder"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path / "none" / "report.json"))
    assert not short_drives


@pytest.mark.parametrize(
    "wrong", [{"episodes": 1001}, {"episodes": -1}, {"episodes": 0, "dream_episodes": 0}, {"first_seed": -1}]
)
def test_the_command_refuses_numbers_out_of_range(toy_bundle: Path, tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"expected|episodes"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path / "report.json", **wrong))


def test_command_scores_another_world_by_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report.json"
    config = EvaluateConfig(world=WORLD, player="walker", episodes=2, workers=1, out=out)
    run(config)
    printed = capsys.readouterr().out
    header, row, *_ = printed.splitlines()
    assert header.split() == ["mean", "±", "std", "quartiles", "over", "20", "hit", "the", "wall", "episodes"]
    assert row.startswith("reality") and row.split()[-3:] == ["100%", "100%", "2"]
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [each["seed"] for each in report["episodes"]["reality"]] == [30_000, 30_001]
    assert "world_model" not in report and "dream" not in report
    monkeypatch.chdir(tmp_path)
    run(replace(config, out=None))
    assert Path("evaluation-walker.json").exists()


@pytest.mark.parametrize("wrong", [{"controller": Path("c")}, {"dream_episodes": 3}, {"world_model": Path("m")}])
def test_player_takes_no_world_model(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"player: 'follower' plays in reality without a world model"):
        run(EvaluateConfig(player="follower", out=tmp_path / "report.json", **wrong))


def test_unknown_player_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"player: expected one of .*follower.*, got 'nobody'"):
        run(EvaluateConfig(player="nobody", episodes=1, out=tmp_path / "report.json"))


def test_bundle_of_an_unknown_world_is_scored_in_its_dream_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corridor_model().save(tmp_path / "bundle")
    monkeypatch.setattr(command, "load_policy", lambda *_, **__: Constant(0.0))
    config = EvaluateConfig(world_model=tmp_path / "bundle", dream_episodes=2, out=tmp_path / "report.json")
    with pytest.raises(ConfigError, match=r"real Corridor is not known here"):
        run(config)
    run(replace(config, episodes=0))
    report = json.loads(config.out.read_text(encoding="utf-8"))
    assert (report["dream"]["mean"], report["score_rule"]) == (100.0, "")


def test_dreams_have_the_temperature_that_was_asked_for(
    toy_bundle: Path, toy_world_model: WorldModel, tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    run(EvaluateConfig(world_model=toy_bundle, episodes=0, dream_episodes=3, temperature=0.2, out=out))
    report = json.loads(out.read_text(encoding="utf-8"))
    assert toy_world_model.controller is not None
    asked, usual = (
        evaluate_dream(toy_world_model.controller, range(3), world_model=toy_world_model, temperature=temperature)
        for temperature in (0.2, None)
    )
    scores = [each["score"] for each in report["episodes"]["dream"]]
    assert scores == [each.score for each in asked] != [each.score for each in usual]
    assert report["temperature"] == pytest.approx(0.2)


def test_table_has_quartiles_in_their_order() -> None:
    summary = {"mean": 50.0, "std": 9.0, "lower_quartile": 11.0, "median": 22.0, "upper_quartile": 33.0}
    shares = {"share_solved": 0.25, "share_complete": 0.5, "share_failed": 0.75, "episodes": 4}
    rule = ScoreRule(solved=900.0, complete="lap", failed="left")
    header, *_, row = command.format_table({"reality": summary | shares}, rule).splitlines()
    assert header.split() == ["mean", "±", "std", "quartiles", "over", "900", "lap", "left", "episodes"]
    assert row.split() == ["reality", "50.0", "±", "9.0", "11", "22", "33", "25%", "50%", "75%", "4"]
