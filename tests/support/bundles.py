"""Bundles of any world, untrained, and bundles of former formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dreamgym.memory.trainee import make_memory
from dreamgym.vision.vae import VAE
from dreamgym.world_model import StartBank, WorldModel
from dreamgym.world_model.files import CONTROLLER, MEMORY, STARTS, VISION, write_bundle
from dreamgym.worlds.base import ModelSizes, World, to_card


def save_bundle(world: World, name: str, folder: Path) -> Path:
    """An untrained bundle of a world, under a name that need not be registered."""
    sizes = ModelSizes(latents=8, hidden_units=12, mixtures=3, factors=0)
    memory = make_memory(world, sizes)
    z, h = np.zeros((2, 8), np.float32), np.zeros((2, 12), np.float32)

    starts = StartBank(
        *map(torch.from_numpy, (z, h, h.copy())), torch.zeros(2), torch.ones(2, dtype=torch.bool), torch.zeros(2).bool()
    )
    card = {
        "world": name,
        "actions": to_card(world.actions),
        "rewards": to_card(world.rewards),
        "fps": 7,
        "max_episode_steps": 9,
        "preprocess_version": 3 if name != world.name else world.preprocess.version,
    }
    WorldModel(VAE(8), memory, starts, None, card).save(folder)
    return folder


def save_former_bundle(world_model: WorldModel, version: int, folder: Path) -> Path:
    """A bundle of CarRacing as format 3 or 4 has it; V must be unfolded."""
    memory, controller = world_model.memory, world_model.controller
    assert not world_model.vision.folded
    assert controller is not None
    heads = {"reward_head": "progress_head", "event_head": "missed_head"} if version == 3 else {}

    def former(key: str) -> str:
        head, dot, rest = key.partition(".")
        return heads.get(head, head) + dot + rest

    sizes = ("latent_size", "action_size", "hidden_size", "mixtures", "factors")
    card = {
        "format_version": version,
        "preprocess_version": world_model.preprocess_version,
        "temperature": world_model.temperature,
        "latent_noise": world_model.latent_noise,
        **{name: getattr(memory, name) for name in sizes},
    }
    if version == 3:
        card |= {"world": "CarRacing-v3", "lap_units": world_model.rewards.unit}
    else:
        rules = {"actions": to_card(world_model.actions), "rewards": to_card(world_model.rewards)}
        times = {"fps": world_model.fps, "max_episode_steps": world_model.max_episode_steps}
        card |= {"world": world_model.world_name, "aspect": world_model.aspect, **rules, **times}
    tensors = {
        VISION: {key: value.half() for key, value in world_model.vision.state_dict().items()},
        MEMORY: {former(key): value for key, value in memory.state_dict().items()},
        STARTS: {"at_line" if key == "at_start" else key: value for key, value in vars(world_model.starts).items()},
        CONTROLLER: {key: torch.from_numpy(value) for key, value in controller.tensors().items()},
    }
    write_bundle(folder, card, tensors)
    return folder
