"""V's encoding, training V and M, an iteration of PPO and a generation of CMA-ES: what the dream is for."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.dreams import modes
from benchmarks.flop import decode_flop, encode_flop, step_flop
from benchmarks.machine import available_threads
from benchmarks.measuring import Case, rate
from dreamgym.config import EvolveConfig, MemoryConfig, VisionConfig
from dreamgym.controller.cma_es import Evolution
from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.dream.step import PRECISIONS
from dreamgym.evolve.dream_rollouts import DreamTrials
from dreamgym.memory import train as memory_training
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.sequences import SequenceSampler
from dreamgym.memory.trainee import Trainee
from dreamgym.registration import DREAM_ID
from dreamgym.training import autocast
from dreamgym.vision import train as vision_training
from dreamgym.vision.encode_dataset import LatentEpisode
from dreamgym.vision.vae import VAE
from dreamgym.world_model import WorldModel
from dreamgym.worlds.car_racing.preprocess import preprocess
from dreamgym.worlds.registry import find

__all__ = ["encoding_cases", "learning_cases", "missing", "training_cases"]

_CPU = torch.device("cpu")


@contextlib.contextmanager
def encoding_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """From frames to latents: V alone, and V and M as the wrappers run them with preprocessing, in both precisions."""
    world_model = WorldModel.load()
    vision, flop = world_model.vision, encode_flop(world_model.vision)
    raw = np.random.default_rng(0).integers(0, 256, (1024, 96, 96, 3), dtype=np.uint8)
    frames = preprocess(raw)
    cases = []
    for batch in (1, 64) if quick else (1, 64, 1024):
        images = vision_training.to_images(frames[:batch])
        encoders = {name: LatentEncoder(world_model, batch, precision=name) for name in PRECISIONS}
        for encoder in encoders.values():
            encoder.reset(raw[:batch], seeds=list(range(batch)))
        works = {
            "V, float32": functools.partial(_encode, vision, images, False),
            "V, bfloat16": functools.partial(_encode, vision, images, True),
            "V and M in the wrappers": functools.partial(_encoder_step, encoders["float32"], raw[:batch]),
            "V and M in the wrappers, bfloat16": functools.partial(_encoder_step, encoders["bfloat16"], raw[:batch]),
        }
        for name, work in works.items():
            for threads in available_threads():
                precision = "bfloat16" if "bfloat16" in name else "float32"
                label = f"{name}, {threads} thread{'s' * (threads > 1)}"
                cases.append(Case(label, "frames/s", rate(work, seconds), batch, threads, flop, precision))
    yield cases


@torch.inference_mode()
def _encode(vision: VAE, images: torch.Tensor, low: bool) -> int:
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        vision.encode(images)
    return len(images)


def _encoder_step(encoder: LatentEncoder, frames: Any) -> int:
    encoder.step(frames, np.zeros((len(frames), 3), np.float32))
    return len(frames)


@contextlib.contextmanager
def training_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """Training steps of V and M as ``dreamgym train`` makes them, on made-up data, batches drawn and prepared."""
    threads = available_threads()[-1]
    with autocast(_CPU):
        precision = "bfloat16" if torch.is_autocast_enabled("cpu") else "float32"
    vision = 3 * (encode_flop(VAE()) + decode_flop(VAE()))  # forward, and backward to inputs and to weights
    memory = 3 * step_flop(MDNRNN())
    yield [
        Case(
            "V, batches of 128 frames", "frames/s", rate(_vision_step(), 4 * seconds), None, threads, vision, precision
        ),
        Case(
            "M, batches of 64 x 96",
            "transitions/s",
            rate(_memory_step(), 4 * seconds),
            None,
            threads,
            memory,
            precision,
        ),
    ]


def _vision_step() -> Callable[[], int]:
    config = VisionConfig(episodes=(), out=Path())
    frames = np.random.default_rng(0).integers(0, 256, (2048, 64, 64, 3), dtype=np.uint8)
    model: VAE = VAE().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

    def work() -> int:
        vision_training._train_step(model, optimizer, frames, config, 0, _CPU)
        return config.batch_size

    return work


def _memory_step() -> Callable[[], int]:
    config, world = MemoryConfig(latents=(), out=Path()), find()
    steps = config.sizes(world).sequence_length
    model, rng = Trainee(world), np.random.default_rng(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    length, latents = 1000, (1001, model.memory.latent_size)
    episode = LatentEpisode(
        path=Path(),
        mean=rng.standard_normal(latents).astype(np.float16),
        log_variance=rng.standard_normal(latents).astype(np.float16),
        actions=rng.random((length, model.memory.action_size), np.float32),
        progress=rng.integers(0, 2, length).astype(np.float32),
        failed=False,
        total_units=280.0,
    )
    sampler = SequenceSampler([episode] * 8, steps, world=world)

    def work() -> int:
        memory_training._train_step(model, optimizer, sampler, config, 0, _CPU)
        return config.batch_size * steps

    return work


@contextlib.contextmanager
def learning_cases(seconds: float, quick: bool) -> Iterator[list[Case]]:
    """One iteration of Stable-Baselines3's PPO, and one generation of CMA-ES, pycma included, end to end."""
    threads = available_threads()[-1]
    with contextlib.ExitStack() as stack:
        cases = []
        if not missing():
            work = stack.enter_context(_ppo(quick))
            cases.append(Case("PPO (SB3), 256 environments", "env-steps/s", rate(work, 0.0), threads=threads))
        ways = list(modes().items())
        for mode, options in (ways[0], ways[-1]) if quick else ways:
            size = (8, 4, 100) if quick else (64, 16, 1000)
            measure = stack.enter_context(_generation(options, *size))
            name = "CMA-ES generation, {} x {} x {} steps, ".format(*size) + mode
            cases.append(Case(name, "s", measure, threads=1))  # the processes are the threads
        yield cases


def missing() -> dict[str, str]:
    """What is not measured here, and why."""
    try:
        import stable_baselines3  # noqa: F401
    except ImportError:
        return {"PPO": "stable-baselines3 is not installed"}
    return {}


@contextlib.contextmanager
def _ppo(quick: bool) -> Iterator[Callable[[], int]]:
    from stable_baselines3 import PPO

    from dreamgym.wrappers import SB3VecEnv

    envs = SB3VecEnv(f"dreamgym:{DREAM_ID}", num_envs=256, rescale_actions=True)
    n_steps = 8 if quick else 64
    model = PPO("MlpPolicy", envs, n_steps=n_steps, batch_size=1024, n_epochs=4, seed=0, device="cpu")

    def work() -> int:
        model.learn(256 * n_steps, reset_num_timesteps=False)
        return 256 * n_steps

    try:
        yield work
    finally:
        envs.close()


@contextlib.contextmanager
def _generation(
    options: Mapping[str, Any], population: int, rollouts: int, steps: int
) -> Iterator[Callable[[], float]]:
    with TemporaryDirectory() as folder:
        config = EvolveConfig(
            out=Path(folder), population=population, rollouts=rollouts, max_episode_steps=steps, **options
        )
        with DreamTrials(config) as trials:
            evolution = Evolution(trials.zeros, config.sigma, population, 0)

            def measure() -> float:
                started = time.perf_counter()
                candidates = evolution.ask()
                evolution.tell(trials(candidates, 0).fitness(config))
                return time.perf_counter() - started

            yield measure
