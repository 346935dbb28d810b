"""Training V: ``dreamgym train vision``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dreamgym._compat import require_pygame
from dreamgym.config import VisionConfig
from dreamgym.data.episodes import episodes_sha256, is_held_out, read_episode, recorded_paths
from dreamgym.errors import ConfigError
from dreamgym.files import claim_folder, file_sha256
from dreamgym.training import (
    TrainingLog,
    autocast,
    begin_or_resume,
    choose_device,
    load_weights,
    one_cycle,
    require_finite,
    save_png,
    save_tensors,
)
from dreamgym.vision.vae import VAE, vae_loss
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import find

__all__ = ["run", "to_images", "train_vision"]


def to_images(frames: NDArray[np.uint8] | Tensor, device: torch.device | None = None) -> Tensor:
    """Frames, uint8 (B, 64, 64, 3), as V's input.

    float32 (B, 3, 64, 64) in [0, 1], in channels-last memory.
    """
    tensor = torch.as_tensor(frames, device=device)
    return tensor.permute(0, 3, 1, 2).to(torch.float32).div_(255.0)


def load_frames(paths: list[Path], stride: int, world: World) -> NDArray[np.uint8]:
    """Every ``stride``-th frame of the episodes, uint8 (N, 64, 64, 3).

    Beginning at a different frame in each episode.
    """
    if not paths:
        raise ConfigError(
            "episodes: expected recorded episodes to train on, found none in the folders that are not held out; one in "
            "twenty is, by its name. Record more"
        )
    picked = []
    for index, path in enumerate(tqdm(paths, desc="read frames", unit="episode", mininterval=2)):
        picked.append(read_episode(path, world).frames[index % stride :: stride].copy())  # not the rest of them
    return np.concatenate(picked)


def train_vision(config: VisionConfig) -> Path:
    """Train V, or go on from the last checkpoint in the output folder.

    Step i uses a batch and noise drawn from a generator seeded by (seed, i), so that with one thread count on one CPU a
    run that was cut off ends as one that was not.

    Returns:
        The file with the trained weights.

    Raises:
        ConfigError: no episodes in one of the folders, or no such folder.
        DivergedError: the loss became NaN or infinite.
        EpisodeFileError: an episode is damaged, or of another world.
        OutputFolderError: the output folder holds something else.
    """
    inputs = {"episodes_sha256": episodes_sha256(config.episodes), "initial_sha256": file_sha256(config.initial)}
    with claim_folder(config.out, config, may_differ=("device",), inputs=inputs):
        return _train(config)


def _train(config: VisionConfig) -> Path:
    require_pygame()  # for the pictures, now rather than after the first thousand steps
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    world = find(config.world)
    model: VAE = VAE(config.latents or world.sizes.latents).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, checkpoint, first = begin_or_resume(config.out, model, config.learning_rate)
    weights = config.out / "vision.safetensors"
    if first >= config.steps and weights.exists():
        return weights
    if config.initial is not None and not first:
        load_weights(model, config.initial)
    paths = recorded_paths(*config.episodes)
    frames = load_frames([path for path in paths if not is_held_out(path)], config.frame_stride, world)
    if config.start_at_mean and not first and config.initial is None:
        _start_at_mean(model, frames)
    held_out = load_frames([path for path in paths if is_held_out(path)] or paths[:1], 16, world)[:2048]
    log = TrainingLog(config.out / "log.jsonl", first)
    for step in tqdm(range(first, config.steps), initial=first, total=config.steps, desc="train V", mininterval=2):
        loss, squared_error, kl = _train_step(model, optimizer, frames, config, step, device)
        done = step + 1
        if done % 50 == 0:
            log.write(step=done, loss=loss.item(), squared_error=squared_error.item(), kl=kl.item())
        if done % config.checkpoint_every == 0 or done == config.steps:
            log.write(step=done, **evaluate_vision(model, held_out, device, world))
            sheet = reconstruction_sheet(model, held_out, device)
            save_png(config.out / f"reconstructions-{done:06d}.png", sheet, scale=2)
            checkpoint.save(done)  # last: a resumed run begins after it, and what comes before it is there
    save_tensors(weights, model.state_dict())
    return weights


@torch.no_grad()
def _start_at_mean(model: VAE, frames: NDArray[np.uint8]) -> None:
    """Have an untrained V draw the frames' mean colour.

    Where frames are nearly all white or black, the first steps push every pixel there at once, until the sigmoid has no
    gradient left: such a V draws the same blank picture for ever.
    """
    mean = torch.from_numpy(frames.mean(axis=(0, 1, 2), dtype=np.float64) / 255.0).clamp(0.02, 0.98)
    model.decoder[-1].bias.copy_(torch.logit(mean))  # type: ignore[operator]


def _train_step(
    model: VAE,
    optimizer: torch.optim.Adam,
    frames: NDArray[np.uint8],
    config: VisionConfig,
    step: int,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng([config.seed, step])
    batch = np.sort(rng.integers(len(frames), size=config.batch_size))
    noise = torch.from_numpy(rng.standard_normal((config.batch_size, model.latent_size), np.float32)).to(device)
    images = to_images(frames[batch], device)
    for group in optimizer.param_groups:
        group["lr"] = one_cycle(step, config.steps, config.learning_rate)
    with autocast(device):
        reconstruction, mean, log_variance = model(images, noise)
    loss, squared_error, kl = vae_loss(
        images,
        reconstruction.float(),
        mean.float(),
        log_variance.float(),
        reconstruction_weight=config.reconstruction_weight,
        free_nats=config.free_nats,
        error_power_weight=config.error_power_weight,
    )
    require_finite(loss, step + 1, "V")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0 * config.reconstruction_weight)
    optimizer.step()
    return loss, squared_error, kl


@torch.no_grad()
def evaluate_vision(
    model: VAE, frames: NDArray[np.uint8], device: torch.device, world: World | None = None
) -> dict[str, float]:
    """Squared error summed over pixels and KL divergence (nats), means over the frames, noise-free.

    With them what the world measures on reconstructions.
    """
    errors, divergences, made = [], [], []
    for batch in np.array_split(frames, max(1, len(frames) // 128)):
        images = to_images(batch, device)
        mean, log_variance = model.encode(images)
        reconstruction = model.decode(mean)
        _, error, kl = vae_loss(images, reconstruction, mean, log_variance)
        errors.append(error.item())
        divergences.append(kl.item())
        made.append(_to_frames(reconstruction))
    checks = {} if world is None or world.check_pictures is None else world.check_pictures(frames, np.concatenate(made))
    return {"held_out_squared_error": float(np.mean(errors)), "held_out_kl": float(np.mean(divergences)), **checks}


def _to_frames(images: Tensor) -> NDArray[np.uint8]:
    """Images as V draws them as frames, uint8 (B, 64, 64, 3)."""
    frames: NDArray[np.uint8] = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return frames


@torch.no_grad()
def reconstruction_sheet(model: VAE, frames: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """Held-out frames above their reconstructions, uint8 (256, 640, 3)."""
    picked = frames[np.linspace(0, len(frames) - 1, 20).astype(int)]
    mean, _ = model.encode(to_images(picked, device))
    made = _to_frames(model.decode(mean))
    rows = [
        np.concatenate(list(part), axis=1)
        for half in (slice(0, 10), slice(10, 20))
        for part in (picked[half], made[half])
    ]
    return np.concatenate(rows)


def run(config: VisionConfig) -> None:
    """The command ``dreamgym train vision``."""
    print(f"V's weights: {train_vision(config)}")
