"""Dreams of the page in a browser beside DreamCore's, from the same seeds, starts, temperatures and actions."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.dream.rendering import decode_frames
from dreamgym.export.start_states import select
from dreamgym.web.dream_file import dream_file
from dreamgym.world_model import WorldModel
from tests.support.browser import run_script

SOURCES = Path(__file__).parents[2] / "dreamgym" / "web" / "site"
STEPS = 200
_PICTURE_EVERY = 50
_STATE = ("z", "h", "c", "progress")

_SCRIPT = """
const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
const { openDream } = await import("./dream.js");
const dream = await openDream(await bytes("dream.safetensors"), COMPILED ? await bytes("kernel.wasm") : null);
const play = ({ seed, start, temperature, actions, states }) => {
  dream.reset(seed, start);
  return actions.map((given, index) => {
    if (states) for (const name of ["z", "h", "c"]) dream[name].set(states[name][index]);
    if (states) dream.progress = states.progress[index];
    const action = dream.executed(given ?? dream.act());
    const reward = dream.step(action, temperature);
    const { z, h, c, over, progress } = dream;
    const picture = (index + 1) % PICTURE_EVERY ? null : [...dream.picture()];
    return { z: [...z], h: [...h], c: [...c], over, progress, reward, action, picture };
  });
};
return { compiled: dream.compiled, dreams: (await (await fetch("drives.json")).json()).map(play) };
"""


@dataclass(frozen=True)
class Recording:
    """A dream of 200 steps that DreamCore dreamt."""

    world_model: WorldModel
    seed: int
    start: int
    temperature: float
    steps: dict[str, list[Any]]
    """Of each step: z, h, c and progress before and after it, reward, ended, action."""


def record(
    world_model: WorldModel,
    seed: int,
    start: int,
    temperature: float,
    actions: np.ndarray | None = None,
    precision: str = "float64",
) -> Recording:
    """Dream in Python.

    Args:
        world_model: the dream's.
        seed: of the noise.
        start: an index into the bundle's start states, one of :func:`page_starts`.
        temperature: a number.
        actions: (T, A); None for what the controller does.
        precision: DreamCore's.
    """
    core = DreamCore(world_model, 1, temperature=temperature, precision=precision)
    core.reset(seeds=torch.tensor([seed]), start=start)
    steps: dict[str, list[Any]] = defaultdict(list)
    for number in range(STEPS):
        for name in _STATE:
            steps[f"{name} before"].append(getattr(core, name)[0].tolist())
        if actions is None:
            assert world_model.controller is not None
            action = world_model.controller(core.features.numpy()[0])
        else:
            action = actions[number]
        result = core.step(torch.from_numpy(action)[None])
        for name in _STATE:
            steps[name].append(getattr(core, name)[0].tolist())
        steps["reward"].append(result.reward.item())
        steps["ended"].append(result.terminated.item())
        steps["action"].append(world_model.actions.executed(action.astype(np.float32)).tolist())
    return Recording(world_model, seed, start, temperature, steps)


def page_starts(world_model: WorldModel) -> list[int]:
    """The bundle's start states that a page has, in its order."""
    return [state for states in select(world_model.starts, 16)[0].values() for state in states]


def page_site(world_model: WorldModel, folder: Path) -> Path:
    """The page's modules and data in a folder of their own."""
    site = Path(shutil.copytree(SOURCES, folder / "site", dirs_exist_ok=True))
    (site / "dream.safetensors").write_bytes(dream_file(world_model))
    return site


def dream_in_browser(
    recordings: list[Recording],
    folder: Path,
    compiled: bool,
    *,
    each_step: bool = False,
    own_controller: bool = False,
) -> Any:
    """Every step of the same dreams in the page's engine.

    Args:
        recordings: of one world model: what to dream again.
        folder: for the page and the browser's files.
        compiled: with kernel.wasm, or in plain JavaScript.
        each_step: take every step from the state that Python had before it.
        own_controller: let the page's controller play, instead of what was played in Python.
    """
    world_model = recordings[0].world_model
    site = page_site(world_model, folder)
    drives = [
        {
            "seed": recording.seed,
            "start": page_starts(world_model).index(recording.start),
            "temperature": recording.temperature,
            "actions": [None] * STEPS if own_controller else recording.steps["action"],
            "states": {name: recording.steps[f"{name} before"] for name in _STATE} if each_step else None,
        }
        for recording in recordings
    ]
    (site / "drives.json").write_text(json.dumps(drives))
    script = _SCRIPT.replace("COMPILED", str(compiled).lower()).replace("PICTURE_EVERY", str(_PICTURE_EVERY))
    got = run_script(site, script, folder / "profile")
    assert got["compiled"] is compiled
    return got["dreams"]


def largest_differences(recordings: list[Recording], folder: Path, compiled: bool, **options: bool) -> dict[str, float]:
    """Dream again in the page: ends must be equal, pictures within one level.

    Args:
        recordings: what DreamCore dreamt.
        folder: see :func:`dream_in_browser`, also for the next two.
        compiled: whether with kernel.wasm.
        **options: ``each_step`` and ``own_controller``.

    Returns:
        The largest difference of z, h, c, progress, reward and action.
    """
    largest: dict[str, float] = defaultdict(float)
    dreams = dream_in_browser(recordings, folder, compiled, **options)
    for recording, steps in zip(recordings, dreams, strict=True):
        for name in (*_STATE, "reward", "action"):
            difference = np.abs(np.array([step[name] for step in steps]) - np.array(recording.steps[name]))
            largest[name] = max(largest[name], float(difference.max()))
        assert [step["over"] in ("ended", "complete") for step in steps] == recording.steps["ended"]
        shown = slice(_PICTURE_EVERY - 1, None, _PICTURE_EVERY)
        z = torch.tensor(recording.steps["z"][shown])
        wanted = decode_frames(recording.world_model.vision, z).numpy()
        pictures = np.array([step["picture"] for step in steps[shown]]).reshape(-1, 64, 64, 4)
        assert np.abs(pictures[..., :3] - wanted.astype(int)).max() <= 1
        assert (pictures[..., 3] == 255).all()
    return largest
