"""The command ``dreamgym evaluate``: the drives, the table, the report."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from dreamgym import __version__
from dreamgym.config import EvaluateConfig, to_json, write_json
from dreamgym.errors import ConfigError, OutputFolderError
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.policies import load_policy
from dreamgym.evaluate.real import evaluate_real
from dreamgym.evaluate.scores import EpisodeScore, summarize
from dreamgym.memory.mdn_rnn import PROGRESS_FLOOR
from dreamgym.real.world import recorded_versions
from dreamgym.seeds import TEST_SEEDS
from dreamgym.world_model import PACKAGED, WorldModel, locate

__all__ = ["columns", "format_table", "provenance", "run"]

_KIND: Final = "dreamgym evaluate"
_UNJUDGED: Final = ("controller", "world_model", "temperature", "trust_pickle", "out", "workers")
"""Settings that a report may differ in from one that takes its place: the files are told by their hashes, and what the
temperature came to stands beside them."""


def run(config: EvaluateConfig) -> None:
    """Drive in reality and in the dream, print a table and write a JSON report.

    Raises:
        ConfigError: a number of episodes or a seed out of range.
        OutputFolderError: the report's file holds something other than such a report.
        UntrustedPickleError: an SB3 archive without ``trust_pickle``.
        BundleError: a missing or damaged world model or controller.
        WorkerError: a driving process died or stopped answering.
    """
    seeds = _seeds(config)
    if config.out is not None:
        _require_report(config.out)
    world = WorldModel.load(config.world_model)
    policy = load_policy(config.controller, world, trust_pickle=config.trust_pickle)
    temperature = config.temperature if config.temperature is not None else world.temperature
    subject = {
        **provenance(config, locate(config.world_model), world),
        "controller_sha256": _sha256(config.controller) if config.controller else None,
        "temperature": temperature,
    }
    out = config.out or _unnamed_file(config, subject)
    started = time.monotonic()
    scores: dict[str, list[EpisodeScore]] = {}
    # The dream first: it takes seconds, and a policy that does not fit fails there.
    if config.dream_episodes:
        dreams = range(config.dream_episodes)
        scores["dream"] = evaluate_dream(policy, dreams, world_model=world, temperature=temperature)
    if seeds:
        scores["reality"] = evaluate_real(
            policy,
            seeds,
            workers=config.workers,
            world_model=world,
            latent=config.latent,
            exact_drawing=config.exact_drawing,
        )
    report = {
        "kind": _KIND,
        **subject,
        "seconds": round(time.monotonic() - started, 1),
        **{world_name: summarize(drives) for world_name, drives in scores.items()},
        "episodes": {name: [dataclasses.asdict(drive) for drive in drives] for name, drives in scores.items()},
    }
    write_json(out, report)
    print(format_table({name: report[name] for name in scores}))
    print(_footing(config, seeds, temperature, report["versions"]))
    print(f"report: {out}")


def _seeds(config: EvaluateConfig) -> range:
    for name in ("episodes", "dream_episodes"):
        if getattr(config, name) < 0:
            raise ConfigError(f"{name}: expected a number of at least 0, got {getattr(config, name)}")
    if not (config.episodes or config.dream_episodes):
        raise ConfigError("expected episodes or dream_episodes to be positive, got 0 for both")
    if config.first_seed is not None:
        if config.first_seed < 0:
            raise ConfigError(f"first_seed: expected a number of at least 0, got {config.first_seed}")
        return range(config.first_seed, config.first_seed + config.episodes)
    if config.episodes > len(TEST_SEEDS):
        raise ConfigError(
            f"episodes: there are {len(TEST_SEEDS)} test tracks, got {config.episodes}; name others by --first-seed"
        )
    return TEST_SEEDS[: config.episodes]


def _require_report(path: Path) -> None:
    """Refuse a file that is no report of this command, before minutes are spent on driving."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise OutputFolderError(f"out: expected the name of a file in a folder that exists, got {path}")
    if not path.exists():
        return
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["kind"]
    except (ValueError, KeyError, TypeError):
        kind = None
    if kind != _KIND:
        raise OutputFolderError(f"{path} holds something other than a report of {_KIND}; choose another with --out")


def _unnamed_file(config: EvaluateConfig, subject: dict[str, Any]) -> Path:
    """The file of a report for which none was named: the first that does not hold one of something else."""

    def judged(report: dict[str, Any]) -> tuple[Any, ...]:
        settings = {name: value for name, value in report.get("config", {}).items() if name not in _UNJUDGED}
        files = report.get("controller_sha256"), report.get("world_model", {}).get("sha256")
        return files, report.get("temperature"), settings

    def is_free(path: Path) -> bool:
        _require_report(path)
        return not path.exists() or judged(json.loads(path.read_text(encoding="utf-8"))) == judged(subject)

    stem = f"evaluation-{config.controller.stem if config.controller else 'controller'}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(path for name in names if is_free(path := Path(f"{name}.json")))


def provenance(config: Any, folder: Path, world: WorldModel) -> dict[str, Any]:
    """What a result came from: command, configuration, versions, the dream's floor, the bundle and its files' hashes.

    The package's own bundle is called that: where somebody has it says nothing to others.
    """
    return {
        "command": " ".join(["dreamgym", *sys.argv[1:]]),
        "config": to_json(config),
        "versions": {"dreamgym": __version__, "torch": torch.__version__, **recorded_versions()},
        "progress_floor": PROGRESS_FLOOR,
        "world_model": {
            "folder": "the package" if folder == PACKAGED else str(folder),
            "sha256": world.card.get("sha256"),
        },
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def format_table(summaries: dict[str, dict[str, Any]]) -> str:
    """Summaries by name as a table of plain text."""
    rows = [("", "mean ± std", "quartiles", "over 900", "laps", "left", "episodes")]
    for name, summary in summaries.items():
        rows.append(
            (
                name,
                f"{summary['mean']:.1f} ± {summary['std']:.1f}",
                f"{summary['lower_quartile']:.0f} {summary['median']:.0f} {summary['upper_quartile']:.0f}",
                f"{summary['share_over_900']:.0%}",
                f"{summary['share_of_laps']:.0%}",
                f"{summary['share_leaving']:.0%}",
                str(summary["episodes"]),
            )
        )
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def _footing(config: EvaluateConfig, seeds: range, temperature: float, versions: dict[str, Any]) -> str:
    parts = []
    if seeds:
        drawing = "exact fast drawing" if config.exact_drawing else "Gymnasium's own drawing"
        parts.append(f"reality: tracks {seeds.start}..{seeds.stop - 1}, {drawing}, latent {config.latent}")
    if config.dream_episodes:
        parts.append(f"dream: temperature {temperature:g}, starts at the line")
    parts.append(", ".join(f"{name} {number}" for name, number in versions.items()))
    return "\n".join(parts)
