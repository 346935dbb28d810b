"""Toy V, M and bundle: random weights of a fixed seed that behave tamely. No test trains or needs what is shipped."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from toy_envs import COUNT, DREAM, DreamFactory, VecEnvFactory

from dreamgym.control.linear import LinearController
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.vision.vae import VAE
from dreamgym.world_model import StartBank, WorldModel

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# A shell's background jobs ignore Ctrl-C, and what a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ModelFactory = Callable[..., WorldModel]


def make_memory(latent_size: int, hidden_size: int, mixtures: int, seed: int) -> MDNRNN:
    """An M whose dream stays within a few units, makes progress, and seldom ends."""
    torch.manual_seed(seed)
    memory = MDNRNN(latent_size, 3, hidden_size, mixtures)
    with torch.no_grad():
        memory.mixture_head.weight.mul_(2.0)
        log_sigmas = memory.mixture_head.bias.unflatten(0, (3, mixtures, latent_size))[2]
        log_sigmas.sub_(1.0)
        memory.termination_head.bias.fill_(-4.0)
    return memory.eval().requires_grad_(False)


def make_starts(memory: MDNRNN, at_line: int, anywhere: int, hard: int) -> StartBank:
    """Starts at the line (no memory, no progress), and moments that M reached from random latents and actions."""
    count = at_line + anywhere + hard
    z = torch.randn(count, memory.latent_size).clamp(-3, 3)
    _, state = memory(torch.randn(count, 5, memory.latent_size), torch.rand(count, 5, memory.action_size))
    moved = torch.arange(count) >= at_line
    progress = torch.linspace(0.1, 0.9, count) * moved
    chosen = torch.arange(count) >= at_line + anywhere
    return StartBank(z, state.h * moved[:, None], state.c * moved[:, None], progress, ~moved, chosen)


@pytest.fixture(scope="session", autouse=True)
def _sb3_logs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Stable-Baselines3 makes a folder for the log of each training, the empty ones too: among the tests' own."""
    os.environ.setdefault("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))


@pytest.fixture(scope="session")
def make_world_model() -> ModelFactory:
    """A toy world model of any size; V is the same one for each latent size."""
    visions: dict[int, VAE] = {}

    def make(
        *, latent_size: int = 8, hidden_size: int = 12, mixtures: int = 3, seed: int = 0, lap_units: float = 40.0
    ) -> WorldModel:
        state = torch.get_rng_state()
        memory = make_memory(latent_size, hidden_size, mixtures, seed)
        if latent_size not in visions:
            visions[latent_size] = VAE(latent_size).eval().requires_grad_(False)
        starts = make_starts(memory, at_line=3, anywhere=5, hard=2)
        weights = 0.3 * torch.randn(3, latent_size + hidden_size)
        torch.set_rng_state(state)
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
    """The toy, with dreams that do not end of themselves. Shared."""
    world_model = make_world_model()
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
def threads() -> Iterator[Callable[[int], None]]:
    """Set torch's threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
