"""Toy V, M and bundle: random weights of a fixed seed that behave tamely. No test trains or needs what is shipped."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.box2d.car_racing import STATE_H, STATE_W

from dreamgym import local_engine
from dreamgym.controller.linear import LinearController
from dreamgym.data.episodes import Episode, write_episode
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.vision.encode_dataset import encode_episodes
from dreamgym.vision.train import train_vision
from dreamgym.vision.vae import VAE
from dreamgym.world_model import StartBank, WorldModel
from dreamgym.worlds.car_racing.fast_rendering.env import ExactCarRacing
from tests.support.toy_envs import COUNT, DREAM, DreamFactory, VecEnvFactory
from tests.support.training_runs import vision_config

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# A shell's background jobs ignore Ctrl-C, and what a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ModelFactory = Callable[..., WorldModel]


def make_memory(latent_size: int, hidden_size: int, mixtures: int, seed: int, factors: int = 4) -> MDNRNN:
    """An M whose dream stays within a few units, makes progress, and seldom ends."""
    torch.manual_seed(seed)
    memory = MDNRNN(latent_size, 3, hidden_size, mixtures, factors)
    with torch.no_grad():
        memory.mixture_head.weight.mul_(2.0)
        log_sigmas = memory.mixture_head.bias.unflatten(0, (3, mixtures, latent_size))[2]
        log_sigmas.sub_(1.0)
        memory.termination_head.bias.fill_(-4.0)
    return memory.eval().requires_grad_(False)


def make_starts(memory: MDNRNN, at_start: int, anywhere: int, hard: int) -> StartBank:
    """Beginnings (no memory, no progress), and moments that M reached from random latents and actions."""
    count = at_start + anywhere + hard
    z = torch.randn(count, memory.latent_size).clamp(-3, 3)
    _, state = memory(torch.randn(count, 5, memory.latent_size), torch.rand(count, 5, memory.action_size))
    moved = torch.arange(count) >= at_start
    progress = torch.linspace(0.1, 0.9, count) * moved
    chosen = torch.arange(count) >= at_start + anywhere
    return StartBank(z, state.h * moved[:, None], state.c * moved[:, None], progress, ~moved, chosen)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first, lest one be left to the end, when the other processes have nothing more to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _own_random_numbers(request: pytest.FixtureRequest) -> None:
    """What a test draws depends on the test alone, not on those before it in the same process."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global one is what is to be set
    torch.manual_seed(seed)


@pytest.fixture(scope="session", autouse=True)
def _sb3_logs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Stable-Baselines3 makes a folder for the log of each training, the empty ones too: among the tests' own."""
    os.environ.setdefault("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))


@pytest.fixture(scope="session")
def _forked_process() -> type[BaseProcess]:
    """A process that is forked from one which has imported torch and the package; where that is safe."""
    if sys.platform != "linux":
        return SpawnProcess
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dreamgym.evaluate.real", "dreamgym.evolve.dream_rollouts"])
    with local_engine._for_workers():  # whose environment all have
        first = context.Process(target=int)
        first.start()
    first.join()
    return context.Process


@pytest.fixture
def forked_workers(_forked_process: type[BaseProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes without the seconds of their imports; ``test_parallel.py`` starts them as users do."""
    monkeypatch.setattr(local_engine, "SpawnProcess", _forked_process)


@pytest.fixture(scope="session")
def make_world_model() -> ModelFactory:
    """A toy world model of any size; V is the same one for each latent size."""
    visions: dict[int, VAE] = {}

    def make(
        *,
        latent_size: int = 8,
        hidden_size: int = 12,
        mixtures: int = 3,
        seed: int = 0,
        lap_units: float = 40.0,
        factors: int = 4,
    ) -> WorldModel:
        with torch.random.fork_rng():
            if latent_size not in visions:  # of its own seed: what is drawn after it must not depend on who made it
                torch.manual_seed(latent_size)
                visions[latent_size] = VAE(latent_size).eval().requires_grad_(False)
            memory = make_memory(latent_size, hidden_size, mixtures, seed, factors)
            starts = make_starts(memory, at_start=3, anywhere=5, hard=2)
            weights = 0.3 * torch.randn(3, latent_size + hidden_size)
        controller = LinearController(weights.numpy(), np.zeros(3, np.float32))
        card = {"temperature": 1.0, "latent_noise": 0.5, "lap_units": lap_units}
        return WorldModel(visions[latent_size], memory, starts, controller, card)

    return make


@pytest.fixture(scope="session")
def toy_world_model(make_world_model: ModelFactory) -> WorldModel:
    """A tiny world model (8 latents, 12 hidden units, 3 mixtures). Shared: copy before changing it."""
    return make_world_model()


@pytest.fixture(scope="session")
def steady_world_model(make_world_model: ModelFactory) -> WorldModel:
    """The toy, with dreams that end neither of themselves nor by a lap. Shared."""
    world_model = make_world_model(lap_units=4000.0)
    with torch.no_grad():
        world_model.memory.termination_head.bias.fill_(-40.0)
    return world_model


@pytest.fixture(scope="session")
def full_size_world_model(make_world_model: ModelFactory) -> WorldModel:
    """An untrained world model of the paper's sizes: 32 latents, 256 hidden units, 5 mixtures. Shared."""
    return make_world_model(latent_size=32, hidden_size=256, mixtures=5, lap_units=280.0)


@pytest.fixture(scope="session")
def toy_bundle(toy_world_model: WorldModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved bundle of the tiny world model. Shared: copy before changing it."""
    folder = tmp_path_factory.mktemp("bundle") / "toy"
    toy_world_model.save(folder)
    return folder


@pytest.fixture
def copied_bundle(toy_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny world model's bundle, to damage or save over."""
    return Path(shutil.copytree(toy_bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def full_size_bundle(full_size_world_model: WorldModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved bundle of the paper's sizes. Shared: copy before changing it."""
    folder = tmp_path_factory.mktemp("bundle") / "full"
    full_size_world_model.save(folder)
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Has torch compute on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three episodes of noise: one that fails, one complete, one truncated. Shared."""
    folder = tmp_path_factory.mktemp("episodes")
    rng = np.random.default_rng(0)
    for index in range(3):
        length = 20 + 10 * index
        episode = Episode(
            frames=rng.integers(0, 256, (length + 1, 64, 64, 3), dtype=np.uint8),
            actions=rng.random((length, 3), np.float32),
            rewards=np.where(rng.random(length) < 0.3, 3.9, -0.1).astype(np.float32),
            terminated=index < 2,
            truncated=index == 2,
            complete=index == 1,
            total_units=250,
            seed=1_000_000 + index,
            player="test",
        )
        write_episode(folder / f"episode-{index:06d}.npz", episode)
    return folder


@pytest.fixture(scope="session")
def vision(episodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a V that was trained on them for a step. Shared."""
    return train_vision(vision_config(episodes, tmp_path_factory.mktemp("vision") / "run", steps=1))


@pytest.fixture(scope="session")
def latents(episodes: Path, vision: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the episodes as that V encodes them. Shared."""
    return encode_episodes(episodes, vision, tmp_path_factory.mktemp("latents"))


@pytest.fixture
def make_dream(toy_world_model: WorldModel) -> Iterator[DreamFactory]:
    """Makes single dreams of the toy world model, closed, and closed again, at the end of the test."""
    made = []

    def make(**options: Any) -> gym.Env[Any, Any]:
        made.append(gym.make(DREAM, world_model=toy_world_model, **options))
        return made[-1]

    yield make
    for env in made:
        env.close()
        env.close()


@pytest.fixture
def dream_venv(toy_world_model: WorldModel) -> VecEnvFactory:
    """Makes Stable-Baselines3's kind of vector environment, of dreams of at most five steps."""
    pytest.importorskip("stable_baselines3")
    from dreamgym.wrappers import SB3VecEnv

    return partial(SB3VecEnv, DREAM, num_envs=COUNT, world_model=toy_world_model, max_episode_steps=5)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """CarRacing's physics without its pictures, which take most of a step's time."""
    black = np.zeros((STATE_H, STATE_W, 3), np.uint8)
    monkeypatch.setattr(ExactCarRacing, "_render", lambda env, mode: black)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set torch's threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
