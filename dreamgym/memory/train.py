"""Training M: ``dreamgym train memory``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from tqdm import tqdm

from dreamgym._compat import require_pygame
from dreamgym.config import MemoryConfig
from dreamgym.data.episodes import episodes_sha256, is_held_out
from dreamgym.data.latents import LatentEpisode, read_latents, require_same_vision
from dreamgym.errors import ConfigError
from dreamgym.files import claim_folder, file_sha256, write_json
from dreamgym.memory.calibrate_termination import calibrate_terminations, require_failures
from dreamgym.memory.correlated_noise import factor_loss, normal_scores
from dreamgym.memory.input_noise import with_input_noise
from dreamgym.memory.losses import MemoryLoss, memory_loss
from dreamgym.memory.pictures import save_dream_strip
from dreamgym.memory.sequences import SequenceSampler
from dreamgym.memory.trainee import LABEL_DIRECTIONS, Trainee
from dreamgym.training import (
    TrainingLog,
    autocast,
    begin_or_resume,
    choose_device,
    load_weights,
    one_cycle,
    require_finite,
    save_tensors,
)
from dreamgym.vision.vae import VAE, load_vision
from dreamgym.worlds.base import World
from dreamgym.worlds.registry import find

__all__ = ["run", "train_memory"]

FACTOR_LEARNING_RATE: Final = 1e-3
"""The peak, where the common factors are fitted alone."""
_CLIP = 1.0


def train_memory(config: MemoryConfig) -> Path:
    """Train M, or go on from the last checkpoint in the output folder.

    Step i draws its batch from a generator seeded by (seed, i), so that with one thread count on one CPU a run that was
    cut off ends as one that was not. The weights at every checkpoint are kept as ``memory-STEP.safetensors``.

    Returns:
        The file with the trained weights.

    Raises:
        BundleError: V's or M's weights cannot be read.
        ConfigError: no episodes, or none with rewards that M could learn from.
        EpisodeFileError: an encoded episode is damaged, or of another world or V.
        DivergedError: the loss became NaN or infinite.
        OutputFolderError: the output folder holds something else.
    """
    inputs = {"latents_sha256": episodes_sha256(config.latents), "initial_sha256": file_sha256(config.initial)}
    with claim_folder(config.out, config, may_differ=("device",), inputs=inputs):
        return _train(config)


def _train(config: MemoryConfig) -> Path:
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    world = find(config.world)
    sizes = config.sizes(world)
    model = Trainee(world, sizes).to(device)
    optimizer, checkpoint, first = begin_or_resume(config.out, model, config.learning_rate)
    weights = config.out / "memory.safetensors"
    if first >= config.steps and weights.exists():
        return weights
    if config.initial is not None and not first:
        load_weights(model.memory, config.initial)
    training, held_out, kept = _samplers(config, world, sizes.sequence_length)
    if config.calibrate_terminations:
        require_failures(kept)  # now, not when M is trained
    vision = _vision(config, model.memory.latent_size, device)
    log = TrainingLog(config.out / "log.jsonl", first)
    for step in tqdm(range(first, config.steps), initial=first, total=config.steps, desc="train M", mininterval=2):
        if config.remember_every and (step == first or step % config.remember_every == 0):
            training.remember(model.memory, np.random.default_rng([config.seed, step, 5]), device)
        terms = _train_step(model, optimizer, training, config, step, device)
        done = step + 1
        if done % 50 == 0:
            log.write(step=done, **terms.scalars())
        if done % config.checkpoint_every == 0 or done == config.steps:
            if config.remember_every:
                held_out.remember(model.memory, np.random.default_rng(5), device)
            log.write(step=done, **evaluate_memory(model, held_out, device, training.reward_variance))
            save_tensors(config.out / f"memory-{done:06d}.safetensors", model.memory.state_dict())
            if vision is not None:
                batch = held_out.sample(np.random.default_rng(0), 6, device)
                save_dream_strip(config.out / f"dream-{done:06d}.png", model.memory, vision, batch)
            checkpoint.save(done)  # last: a resumed run begins after it, and what comes before it is there
    _fit_factors(model, training, config, device)
    if len(model.label_heads):
        save_tensors(config.out / LABEL_DIRECTIONS, {"directions": model.label_directions()})
    if config.calibrate_terminations:
        fitted = calibrate_terminations(model.memory.cpu(), kept, latent_noise=config.latent_noise, seed=config.seed)
        write_json(config.out / "calibration.json", fitted._asdict())
    save_tensors(weights, model.memory.state_dict())
    return weights


def _vision(config: MemoryConfig, latents: int, device: torch.device) -> VAE | None:
    """V, for the pictures."""
    if config.vision is None:
        return None
    require_pygame()
    return load_vision(config.vision, latents).to(device).eval()


def _samplers(
    config: MemoryConfig, world: World, length: int
) -> tuple[SequenceSampler, SequenceSampler, list[LatentEpisode]]:
    """Samplers of the training and the held-out episodes, and the latter themselves."""
    training: list[LatentEpisode] = []
    held_out: list[LatentEpisode] = []
    recent_from = 0
    require_same_vision(config.latents, world, config.vision)
    for index, folder in enumerate(config.latents):
        if index == len(config.latents) - config.recent_folders:
            recent_from = len(training)
        for episode in read_latents(folder, world=world, latents=config.sizes(world).latents):
            (held_out if is_held_out(episode.path) else training).append(episode)
    if config.reward_weight:
        _require_rewards([*training, *held_out], world)
    sampler = SequenceSampler(
        training,
        length,
        latent_noise=config.latent_noise,
        start_share=config.start_share,
        recent_from=recent_from,
        recent_share=config.recent_share,
        world=world,
    )
    held_out_sampler = SequenceSampler(held_out or training, length, latent_noise=config.latent_noise, world=world)
    return sampler, held_out_sampler, held_out


def _require_rewards(episodes: Sequence[LatentEpisode], world: World) -> None:
    """Refuse episodes of which M's reward head could only learn to say nothing."""
    if world.rewards.head == "none" or not episodes:
        return
    if not any((np.nan_to_num(episode.progress) != 0).any() for episode in episodes):
        raise ConfigError(
            f"latents: expected episodes of {world.name} with rewards other than {world.rewards.constant:g} a step, of "
            f"which M learns what a dream pays; all {len(episodes)} are without. Check the recordings' rewards"
        )


def _train_step(
    model: Trainee,
    optimizer: torch.optim.Adam,
    sampler: SequenceSampler,
    config: MemoryConfig,
    step: int,
    device: torch.device,
) -> MemoryLoss:
    batch = sampler.sample(np.random.default_rng([config.seed, step]), config.batch_size, device)
    if config.input_noise:
        rng = np.random.default_rng([config.seed, step, 7])
        batch = with_input_noise(batch, config.input_noise, rng, lasting=config.lasting_noise)
    for group in optimizer.param_groups:
        group["lr"] = one_cycle(step, config.steps, config.learning_rate)
    with autocast(device):
        terms = memory_loss(model, batch, reward_variance=sampler.reward_variance)
    loss = terms.latent + config.reward_weight * terms.reward + config.termination_weight * terms.termination
    loss = loss + terms.factors
    for each in model.auxiliaries:
        loss = loss + config.label_weight * each.weight * terms.auxiliaries[each.label]
    require_finite(loss, step + 1, "M")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimizer.step()
    return terms


def _fit_factors(model: Trainee, sampler: SequenceSampler, config: MemoryConfig, device: torch.device) -> None:
    """Fit the common factors alone to latents without noise, which is what M reads in a dream.

    With noise on what it reads, M is wrong in the same way for many frames where nothing happens at all, and factors
    that explain it make a standing car's view wander.
    """
    if config.factor_steps == 0 or model.memory.factor_head is None:
        return
    if config.remember_every:
        sampler.remember(model.memory, np.random.default_rng([config.seed, config.steps, 5]), device)
    heads = [*model.memory.factor_head.parameters(), *model.own_head.parameters()]
    optimizer = torch.optim.Adam(heads, lr=FACTOR_LEARNING_RATE, fused=True)
    for step in tqdm(range(config.factor_steps), desc="fit factors", mininterval=2):
        batch = sampler.sample(np.random.default_rng([config.seed, step, 11]), config.batch_size, device)
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, config.factor_steps, FACTOR_LEARNING_RATE)
        with torch.no_grad(), autocast(device):
            hidden, _ = model.memory(batch.z, batch.action, batch.state)
            mixture = model.memory.predict(hidden).mixture
        h = hidden.float()
        scores = normal_scores(mixture.float(), batch.next_z)
        loss = factor_loss(scores, model.memory.loadings(h), model.own_head(h))
        loss = (loss * batch.mask).sum() / batch.mask.sum()
        require_finite(loss, config.steps + step + 1, "M's common factors")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(heads, _CLIP)
        optimizer.step()


@torch.no_grad()
def evaluate_memory(
    model: Trainee, sampler: SequenceSampler, device: torch.device, reward_variance: float
) -> dict[str, float]:
    """The loss on held-out episodes, always the same sequences.

    Args:
        model: M and what is trained with it.
        sampler: of the held-out episodes.
        device: where the model is.
        reward_variance: of the training's rewards, as in its own loss.
    """
    batches = [sampler.sample(np.random.default_rng([12345, index]), 64, device) for index in range(8)]
    terms = [memory_loss(model, batch, reward_variance=reward_variance).scalars() for batch in batches]
    return {f"held_out_{name}": float(np.mean([term[name] for term in terms])) for name in terms[0]}


def run(config: MemoryConfig) -> None:
    """The command ``dreamgym train memory``."""
    print(f"M's weights: {train_memory(config)}")
