"""The stages of a toy world as command lines, and what must be the same after a run that was cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dreamgym.controller.linear import LinearController
from dreamgym.evaluate.policies import Policy
from dreamgym.fidelity.policies import fixed_policies
from dreamgym.worlds.base import World

__all__ = ["PREPARED", "STAGES", "command", "contents", "few_policies"]

_WORLD = ["--world", "tests.support.toy_world:TOY"]
_FEW = "--steps 4 --batch-size 2 --checkpoint-every 2"
STAGES = {
    "collect": "collect --out {out} --frames 160 --lengths 40 --workers 1",
    "train vision": "train vision --episodes {data}/episodes --out {out} " + _FEW,
    "encode": "encode --episodes {data}/episodes --vision {data}/vision/vision.safetensors --out {out}",
    "train memory": "train memory --latents {data}/latents --out {out} --vision {data}/vision/vision.safetensors "
    "--remember-every 1 " + _FEW,
    "assemble": "assemble --vision {data}/vision/vision.safetensors --memory {data}/memory/memory.safetensors "
    "--latents {data}/latents --out {out}",
    "evolve": "evolve --world-model {data}/world --out {out} --generations 4 --population 4 --rollouts 2 --workers 1",
    "evaluate": "evaluate {data}/controller/controller.safetensors --world-model {data}/world "
    "--out {out}.json --episodes 6 --dream-episodes 4 --workers 1",
    "fidelity": "fidelity --world-model {data}/world-with-controller --out {out} --episodes 2 --dream-episodes 2 "
    "--bad-episodes 2 --bad-dream-episodes 2 --temperatures 1.0 --workers 1",
    "train all": "train all --out {out} --rounds 1 --workers 1 --vision.steps 2 --vision.checkpoint-every 1 "
    "--memory.steps 2 --memory.checkpoint-every 1 --memory.sequence-length 8 --evolve.generations 2 "
    "--evolve.population 4 --evolve.rollouts 1 --evolve.hard-rollouts 0 --evolve.validate-every 1 "
    "--evolve.validation-episodes 1",
}
"""In the order in which each makes what the next needs."""
PREPARED = {
    "episodes": STAGES["collect"],
    "vision": STAGES["train vision"],
    "latents": STAGES["encode"],
    "memory": STAGES["train memory"],
    "world": STAGES["assemble"],
    "controller": STAGES["evolve"],
    "world-with-controller": STAGES["assemble"] + " --controller {data}/controller/controller.safetensors",
}
"""What the stages read, by the folder's name; each is made from those before it."""
_UNLIKE = ("seconds", "finished", "workers")
"""Entries in which two runs may differ and be the same."""


def few_policies(controller: LinearController, world: World, latent_size: int) -> dict[str, Policy]:
    """Three of the policies that ``fidelity`` compares, and the world's probes."""
    found = fixed_policies(controller, world, latent_size)
    return {name: policy for number, (name, policy) in enumerate(found.items()) if number < 3 or name in world.probes}


def command(line: str, data: Path, out: Path, **options: str) -> list[str]:
    """A command line of :data:`STAGES` or :data:`PREPARED`; ``options`` replace its own."""
    words = [*line.format(data=data, out=out).split(), *_WORLD]
    for name, value in options.items():
        words[words.index(f"--{name}") + 1] = value
    return words


def contents(folder: Path, *, in_any_order: bool = False) -> dict[str, Any]:
    """Every file below a folder, hidden ones too, but for locks.

    Without the times in logs, and the number of workers in configurations and reports. Two workers write the episodes
    of ``fidelity`` in any order.
    """
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): _content(path, in_any_order) for path in paths}


def _content(path: Path, in_any_order: bool) -> Any:
    if path.suffix == ".md" or path.suffix not in (".json", ".jsonl", ".part"):
        return None if path.suffix == ".md" else path.read_bytes()  # pages say how long it took
    lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        if isinstance(entry.get("config"), dict):  # of a report
            entry["config"].pop("workers", None)
    kept = [{name: value for name, value in entry.items() if name not in _UNLIKE} for entry in entries]
    return sorted(kept, key=str) if in_any_order and path.name == "real.jsonl" else kept
