"""The command ``dreamgym evaluate``: the episodes, the table, the report."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dreamgym.config import EvaluateConfig
from dreamgym.data.seeds import TEST_SEEDS
from dreamgym.dream.temperature import parse_temperature
from dreamgym.errors import ConfigError, OutputFolderError
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.episode import RealSettings
from dreamgym.evaluate.played import Played, differences, going_on, part_of, tidy
from dreamgym.evaluate.policies import load_policy
from dreamgym.evaluate.real import evaluate_player, evaluate_real
from dreamgym.evaluate.scores import EpisodeScore, decimals, mean_and_spread, summarize
from dreamgym.files import file_sha256, read_object, write_json
from dreamgym.reporting import provenance, text_table
from dreamgym.world_model import WorldModel, locate
from dreamgym.world_model.files import CARD
from dreamgym.worlds.base import ScoreRule
from dreamgym.worlds.registry import described, find, require_described

__all__ = ["format_table", "run"]

_KIND: Final = "dreamgym evaluate"
_UNJUDGED: Final = (
    "controller",
    "world_model",
    "temperature",
    "trust_pickle",
    "vec_normalize",
    "out",
    "workers",
    "engine",
)
"""Settings in which two evaluations may differ and be the same: files are told by their hashes, and what the
temperature came to stands beside them."""
_DREAMS: Final = 100
"""To play where no number is given."""

Scores = dict[str, list[EpisodeScore]]


@dataclass(frozen=True)
class _Subject:
    """Who is to play where, before anything is played."""

    rule: ScoreRule
    about: dict[str, Any]
    """What a report says of it."""
    footing: str
    """What the table's last lines say of it."""
    play: Callable[[Played], Scores]

    @property
    def judged(self) -> dict[str, Any]:
        """What tells it from other evaluations."""
        return _judged(json.loads(json.dumps(self.about)))


def run(config: EvaluateConfig) -> None:
    """Play in reality and in the dream, print a table and write a JSON report.

    Raises:
        ConfigError: a number of episodes or a seed out of range, or an unknown world or player.
        OutputFolderError: the report's file holds something else, or a report of something else.
        UntrustedPickleError: an SB3 archive without ``trust_pickle``.
        BundleError: a missing or damaged world model or controller.
        WorkerError: a playing process died or stopped answering.
    """
    seeds = _seeds(config)
    if config.out is not None:
        _require_report(config.out)
    subject = _policy(config, seeds) if config.player is None else _player(config, config.player, seeds)
    out = config.out or _unnamed_file(config, subject)
    finished = out.exists()
    report = _finished(out, subject) if finished else _evaluated(out, subject)
    print(format_table({name: report[name] for name in report["episodes"]}, subject.rule))
    print(subject.footing)
    print(", ".join(f"{name} {number}" for name, number in report["versions"].items()))
    print(f"report: {out}{' (it was there: nothing was played)' if finished else ''}")


def _evaluated(out: Path, subject: _Subject) -> dict[str, Any]:
    """The report of what is played now, and of what was played before a run was cut off."""
    with going_on(out, subject.judged) as played:
        scores = subject.play(played)
        report = {
            "kind": _KIND,
            **subject.about,
            "seconds": round(played.seconds, 1),
            **{name: summarize(part, subject.rule.solved) for name, part in scores.items()},
            "episodes": {name: [dataclasses.asdict(score) for score in part] for name, part in scores.items()},
        }
        write_json(out, report)
    return report


def _finished(out: Path, subject: _Subject) -> dict[str, Any]:
    """The report that is there, which is never replaced."""
    report = read_object(out)
    changed = differences(_judged(report), subject.judged)
    if changed:
        raise OutputFolderError(f"{out} holds a report of another evaluation ({changed}); choose another --out")
    tidy(out, subject.judged)
    return report


def _judged(report: Mapping[str, Any]) -> dict[str, Any]:
    config, bundle = (
        found if isinstance(found := report.get(name), dict) else {} for name in ("config", "world_model")
    )
    settings = {name: value for name, value in config.items() if name not in _UNJUDGED}
    hashes = {name: report.get(name) for name in ("controller_sha256", "vec_normalize_sha256")}
    made = {
        "world_model_sha256": bundle.get("sha256"),
        "temperature": report.get("temperature"),
        "versions": report.get("versions"),
    }
    return {**settings, **hashes, **made}


def _policy(config: EvaluateConfig, seeds: range) -> _Subject:
    """What acts on z and h, in the dream and in reality."""
    model = WorldModel.load(config.world_model, world=config.world)
    world = (require_described if seeds else described)(config.world, model.world_name)
    policy = load_policy(config.controller, model, trust_pickle=config.trust_pickle, vec_normalize=config.vec_normalize)
    temperature, _ = parse_temperature(config.temperature, model.temperature)
    dreams = _DREAMS if config.dream_episodes is None else config.dream_episodes
    settings = RealSettings(config.latent, config.exact_drawing)

    def drive(missing: Sequence[int], keep: Callable[[EpisodeScore], None]) -> list[EpisodeScore]:
        return evaluate_real(
            policy,
            missing,
            workers=config.workers,
            engine=config.engine,
            world_model=model,
            world=config.world,
            settings=settings,
            on_episode=keep,
        )

    def play(played: Played) -> Scores:
        scores = {}
        # The dream first: it takes seconds, and a policy that does not fit fails there.
        if dreams:
            scores["dream"] = evaluate_dream(policy, range(dreams), world_model=model, temperature=temperature)
        if seeds:
            scores["reality"] = played.play(seeds, drive)
        return scores

    about = {
        **provenance(config, world, model, locate(config.world_model, config.world)),
        "controller_sha256": file_sha256(config.controller) if config.controller else None,
        "vec_normalize_sha256": file_sha256(config.vec_normalize),
        "temperature": temperature,
    }
    card = about["world_model"]["card_sha256"]
    parts = [f"world model: {about['world_model']['folder']} ({card[:12]})"]
    origin = _evolved_in(config.controller, model)
    if origin not in (None, card):
        parts.append(f"note: the controller was evolved in another world model ({origin[:12]})")
    if seeds:
        parts.append(f"reality: seeds {seeds.start}..{seeds.stop - 1}, latent {config.latent}{_drawing(config)}")
    if dreams:
        parts.append(f"dream: temperature {temperature:g}, from the beginning")
    return _Subject(ScoreRule() if world is None else world.score, about, "\n".join(parts), play)


def _drawing(config: EvaluateConfig) -> str:
    return "" if config.exact_drawing else ", the environment's own drawing"


def _player(config: EvaluateConfig, name: str, seeds: range) -> _Subject:
    """One of the world's own players, which see the frame or the simulator, in reality alone."""
    if config.controller is not None or config.world_model is not None or config.dream_episodes:
        raise ConfigError(
            f"player: {name!r} plays in reality without a world model; expected no controller, world_model or "
            "dream_episodes beside it"
        )
    world = find(config.world)

    def drive(missing: Sequence[int], keep: Callable[[EpisodeScore], None]) -> list[EpisodeScore]:
        return evaluate_player(
            name,
            missing,
            config.world or world,
            workers=config.workers,
            engine=config.engine,
            settings=RealSettings(exact_drawing=config.exact_drawing),
            on_episode=keep,
        )

    footing = f"reality: seeds {seeds.start}..{seeds.stop - 1}, {world.name}'s player {name}{_drawing(config)}"
    about = provenance(config, world)
    return _Subject(world.score, about, footing, lambda played: {"reality": played.play(seeds, drive)})


def _seeds(config: EvaluateConfig) -> range:
    for name in ("episodes", "dream_episodes"):
        if (getattr(config, name) or 0) < 0:
            raise ConfigError(f"{name}: expected a number of at least 0, got {getattr(config, name)}")
    if not config.episodes and (config.dream_episodes == 0 or config.player is not None):
        raise ConfigError("expected episodes or dream_episodes to be positive, got 0 for both")
    if config.first_seed is not None:
        if config.first_seed < 0:
            raise ConfigError(f"first_seed: expected a number of at least 0, got {config.first_seed}")
        return range(config.first_seed, config.first_seed + config.episodes)
    if config.episodes > len(TEST_SEEDS):
        raise ConfigError(
            f"episodes: there are {len(TEST_SEEDS)} test seeds, got {config.episodes}; name others by --first-seed"
        )
    return TEST_SEEDS[: config.episodes]


def _require_report(path: Path) -> None:
    """Refuse a file that is no report of this command, before minutes are spent on driving."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise OutputFolderError(f"out: expected the name of a file in a folder that exists, got {path}")
    if not os.access(path.absolute().parent, os.W_OK):
        raise OutputFolderError(f"out: expected a folder that can be written to, got {path.absolute().parent}")
    if not path.exists():
        return
    try:
        kind = read_object(path).get("kind")
    except OutputFolderError:
        kind = None
    if kind != _KIND:
        raise OutputFolderError(f"{path} holds something other than a report of {_KIND}; choose another with --out")


def _unnamed_file(config: EvaluateConfig, subject: _Subject) -> Path:
    """The file of a report for which none was named: the first that does not hold one of something else."""

    def is_free(path: Path) -> bool:
        _require_report(path)
        try:
            if path.exists():
                _finished(path, subject)
            else:
                Played(part_of(path), subject.judged)
        except OutputFolderError:
            return False
        return True

    name = config.player or (config.controller.stem if config.controller else "controller")
    stem = f"evaluation-{name}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(path for name in names if is_free(path := Path(f"{name}.json")))


def _evolved_in(controller: Path | None, world_model: WorldModel) -> str | None:
    """SHA-256 of the card of the world model that a controller was evolved in, where its run says so.

    None where that has the same V, M and start states: ``train all`` puts the controller beside them, on another card.
    """
    if controller is None or not (controller.parent / "config.json").is_file():
        return None
    try:
        config = read_object(controller.parent / "config.json")
        origin = config.get("world_model_sha256")
        card = controller.parent / str(config.get("world_model")) / CARD
        if card.is_file() and file_sha256(card) == origin:
            hashes = [each.get("sha256", {}) for each in (read_object(card), world_model.card)]
            if hashes[0] and hashes[0] == {name: each for name, each in hashes[1].items() if name in hashes[0]}:
                return None
    except OSError:  # of something else
        return None
    return origin if isinstance(origin, str) else None


def _quartiles(found: dict[str, Any]) -> str:
    values = [found[name] for name in ("lower_quartile", "median", "upper_quartile")]
    digits = decimals(*values)
    return " ".join(f"{value:.{digits}f}" for value in values)


def format_table(summaries: dict[str, dict[str, Any]], rule: ScoreRule) -> str:
    """Summaries by name as a table of plain text.

    With the columns that a world's rule asks for.
    """
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "mean ± std": lambda found: mean_and_spread(found, 1),
        "quartiles": _quartiles,
    }
    if rule.solved is not None:
        columns[f"over {rule.solved:g}"] = lambda found: f"{found['share_solved']:.0%}"
    if rule.complete:
        columns[rule.complete] = lambda found: f"{found['share_complete']:.0%}"
    columns[rule.failed] = lambda found: f"{found['share_failed']:.0%}"
    columns["episodes"] = lambda found: str(found["episodes"])
    rows = [(name, *(cell(found) for cell in columns.values())) for name, found in summaries.items()]
    return text_table([("", *columns), *rows])
