"""Every reader of files, given one damaged file at a time: a good load or a named error."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from dreamgym.config import WebConfig
from dreamgym.controller.cma_es import _GenerationLog
from dreamgym.controller.linear import LinearController
from dreamgym.data.episodes import read_arrays, read_episode, write_episode
from dreamgym.data.latents import LatentEpisode, read_latents, write_latents
from dreamgym.errors import DreamGymError
from dreamgym.fidelity.returns import _read
from dreamgym.files import claim_folder
from dreamgym.training import Checkpoint, TrainingLog
from dreamgym.vision.vae import VAE
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.conftest import make_memory, make_starts
from tests.data.test_episodes import make_episode
from tests.fuzz.damage import any_json, damaged_bytes, damaged_json, damaged_npz, damaged_safetensors

__all__ = ["READERS", "SENTINEL", "Case"]

SENTINEL: Final = "sentinel"
"""What an evil pickle would make in the folder."""
Case = Callable[[Random], bool]
"""Damages a file by what it draws, and reads it; whether it loaded."""


class Evil:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.sentinel = folder / SENTINEL

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.sentinel),)


def _evil_files(folder: Path) -> list[bytes]:
    """Files that do harm where they are unpickled."""
    saved, array = io.BytesIO(), io.BytesIO()
    torch.save(Evil(folder), saved)
    np.savez(array, frames=np.array([Evil(folder)], object), meta=np.zeros(1))
    return [saved.getvalue(), array.getvalue()]


def _reads(read: Callable[..., Any], *arguments: Any) -> Any:
    """What a reader gives, or None where it refuses by name."""
    try:
        return read(*arguments)
    except DreamGymError:
        return None


def _now_and_then(rng: Random, evil: list[bytes], otherwise: Callable[[], bytes]) -> bytes:
    return rng.choice(evil) if rng.randrange(50) == 0 else otherwise()


def controllers(folder: Path) -> Case:
    """Controllers alone, as ``evaluate`` and ``evolve --initial`` read them."""
    path, evil = folder / "controller.safetensors", _evil_files(folder)
    LinearController(np.ones((3, 4), np.float32), np.zeros(3, np.float32)).save(path)
    content = path.read_bytes()

    def case(rng: Random) -> bool:
        path.write_bytes(_now_and_then(rng, evil, lambda: damaged_safetensors(rng, content)))
        found = _reads(LinearController.load, path)
        assert found is None or np.isfinite(found.parameters).all()
        return found is not None

    return case


def checkpoints(folder: Path) -> Case:
    """Checkpoints of training, which a run goes on from."""
    path, evil, module = folder / "checkpoint.safetensors", _evil_files(folder), nn.Linear(4, 3)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    checkpoint = Checkpoint(path, module, optimizer)
    checkpoint.save(7)
    content = path.read_bytes()

    def case(rng: Random) -> bool:
        path.write_bytes(_now_and_then(rng, evil, lambda: damaged_safetensors(rng, content)))
        return _reads(checkpoint.restore) is not None

    return case


def bundles(folder: Path) -> Case:
    """Bundles: a file damaged, with a hash on the card that agrees, or without, or the card."""
    bundle, evil = folder / "bundle", _evil_files(folder)
    torch.manual_seed(0)
    memory = make_memory(8, 12, 3, 0)
    controller = LinearController(np.ones((3, 20), np.float32), np.zeros(3, np.float32))
    card = {"temperature": 1.0, "latent_noise": 0.5, "lap_units": 40.0}
    WorldModel(VAE(8), memory, make_starts(memory, 3, 5, 2), controller, card).save(bundle)
    contents = {path.name: path.read_bytes() for path in bundle.iterdir()}
    card = json.loads(contents["card.json"])
    tensors = [name for name in sorted(contents) if name.endswith(".safetensors") and len(contents[name]) < 1 << 16]

    def case(rng: Random) -> bool:
        if rng.randrange(3) == 0:
            changed = {"card.json": damaged_bytes(rng, contents["card.json"])}
            if rng.randrange(3):
                changed = {"card.json": json.dumps(damaged_json(rng, card)).encode()}
        else:
            name = rng.choice(tensors)
            content = _now_and_then(rng, evil, lambda: damaged_safetensors(rng, contents[name]))
            changed = {name: content}
            if rng.randrange(20):
                hashes = card["sha256"] | {name: hashlib.sha256(content).hexdigest()}
                changed["card.json"] = json.dumps(card | {"sha256": hashes}).encode()
        for name, content in changed.items():
            (bundle / name).write_bytes(content)
        found = _reads(WorldModel.load, bundle)
        for name in changed:
            (bundle / name).write_bytes(contents[name])
        if found is not None:  # whatever can be asked of a bundle has an answer
            for continuous in ([True] if found.actions.box else []) + ([False] if found.actions.discrete else []):
                assert found.actions.space(continuous).shape is not None
            assert found.actions.size and found.rewards and found.fps and found.max_episode_steps and found.aspect
            assert found.temperature > 0 and found.latent_noise >= 0 and found.preprocess_version >= 0
        return found is not None

    return case


def _recordings(path: Path, read: Callable[[], bool]) -> Case:
    """Damage to an npz that is there: to its bytes, or to one of its arrays."""
    content, arrays, evil = path.read_bytes(), read_arrays(path), _evil_files(path.parent)

    def case(rng: Random) -> bool:
        if rng.randrange(3) == 0:
            path.write_bytes(_now_and_then(rng, evil, lambda: damaged_bytes(rng, content)))
        else:
            path.write_bytes(damaged_npz(rng, arrays))
        return read()

    return case


def episodes(folder: Path) -> Case:
    """Recorded episodes."""
    path, world = folder / "episode-000000.npz", find()
    write_episode(path, make_episode(1))

    def read() -> bool:
        found = _reads(read_episode, path, world)
        if found is not None:
            assert found.frames.dtype == np.uint8 and found.frames.shape == (len(found) + 1, 64, 64, 3)
            assert np.isfinite(found.rewards).all() and (np.abs(found.actions) <= 1.001).all()
        return found is not None

    return _recordings(path, read)


def latents(folder: Path) -> Case:
    """Encoded episodes."""
    path = folder / "episode-000000.npz"
    half, single = functools.partial(np.zeros, dtype=np.float16), functools.partial(np.zeros, dtype=np.float32)
    episode = LatentEpisode(path, half((4, 2)), half((4, 2)), single((3, 3)), single(3), False, 250.0)
    write_latents(path, episode, (half((4, 2)), half((4, 2))), bytes(32))

    def read() -> bool:
        found = _reads(read_latents, folder)
        for each in found or ():
            assert len(each.mean) == len(each.log_variance) == len(each) + 1 and np.isfinite(each.mean).all()
        return bool(found)

    return _recordings(path, read)


def logs(folder: Path) -> Case:
    """The logs that ``train``, ``evolve`` and ``fidelity`` go on from."""
    score = {"seed": 1, "score": 2.0, "length": 3, "complete": False, "failed": False, "progress": 0.5}
    score |= {"units": 250.0, "curve": [1.0], "fastest_window": 1.0, "world_model": "aa", "policy": "still"}
    path = folder / "log.jsonl"
    readers: Iterable[tuple[Any, Callable[[Path], Any]]] = (
        ({"step": 50, "loss": 1.5}, lambda path: TrainingLog(path, 50)),
        ({"generation": 0, "fitness": [1.0, 2.0], "sigma": 0.1}, lambda path: _GenerationLog(path, 2)),
        (score, lambda path: _read(path, "aa")),
    )
    known = [(entry, json.dumps(entry).encode() + b"\n", read) for entry, read in readers]

    def case(rng: Random) -> bool:
        entry, line, read = rng.choice(known)
        other = any_json(rng) if rng.randrange(4) == 0 else damaged_json(rng, entry)
        content = line + json.dumps(other).encode() + b"\n"
        path.write_bytes(content if rng.randrange(2) else damaged_bytes(rng, content))
        return _reads(read, path) is not None

    return case


def configurations(folder: Path) -> Case:
    """``config.json`` of a run's folder."""
    run = folder / "run"
    config = WebConfig(out=run)
    with claim_folder(run, config):
        (run / "result").touch()
    content = (run / "config.json").read_bytes()

    def case(rng: Random) -> bool:
        shutil.rmtree(run / ".lock", ignore_errors=True)
        whole = rng.randrange(2) and json.dumps(damaged_json(rng, json.loads(content))).encode()
        (run / "config.json").write_bytes(whole or damaged_bytes(rng, content))
        claimed = _reads(claim_folder, run, config)
        if claimed is not None:
            with claimed:
                pass
        return claimed is not None

    return case


READERS: Final[dict[str, Callable[[Path], Case]]] = {
    each.__name__: each for each in (bundles, episodes, latents, controllers, logs, checkpoints, configurations)
}
"""Each makes its cases in an empty folder."""
