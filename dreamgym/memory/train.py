"""Training M: ``dreamgym train memory``."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from dreamgym.config import MemoryConfig, claim_folder
from dreamgym.episodes import is_held_out
from dreamgym.memory.factors import factor_loss, normal_scores
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.memory.mixture import mixture_log_likelihood
from dreamgym.memory.pictures import save_dream_strip
from dreamgym.memory.sequences import SequenceBatch, SequenceSampler
from dreamgym.real.world import MOTION_SIZE
from dreamgym.training import (
    Checkpoint,
    TrainingLog,
    autocast,
    choose_device,
    load_weights,
    one_cycle,
    require_finite,
    save_tensors,
)
from dreamgym.vision.encode import LatentEpisode, read_latents
from dreamgym.vision.vae import VAE

__all__ = ["MemoryLoss", "memory_loss", "run", "train_memory", "with_input_noise"]

LONGEST_NOISE: Final = 50.0
"""Frames within which the longest noise on M's input is forgotten; see :func:`with_input_noise`."""

FACTOR_LEARNING_RATE: Final = 1e-3
"""The peak, where the common factors are fitted alone."""

_CLIP = 1.0


class MemoryLoss(NamedTuple):
    """Means over the steps of a batch (scalars)."""

    latent: Tensor
    """Negative log likelihood of the next latents, nats a latent."""
    progress: Tensor
    """Poisson negative log likelihood of the progress, nats a step, up to a constant."""
    termination: Tensor
    """Binary cross-entropy of leaving the world, nats a step."""
    motion: Tensor
    """Squared error of the car's motion, mean over what was recorded."""
    missed: Tensor
    """Binary cross-entropy of leaving tiles behind untouched, nats a step, mean over what was recorded."""
    factors: Tensor
    """Negative log likelihood of what the common factors explain, nats a latent, up to a constant."""


class Trainee(nn.Module):
    """M, and two heads that only training has: the car's motion, and each latent's own noise, from h.

    V blurs the grass, so on a straight nothing that M sees tells its speed; what it did does. Asked for the speed, M
    learns to keep account of it. The own noise is what the common factors leave, see
    :func:`dreamgym.memory.factors.factor_loss`. The world model is M alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = MDNRNN()
        self.motion_head = nn.Linear(self.memory.hidden_size, MOTION_SIZE)
        self.own_head = nn.Linear(self.memory.hidden_size, self.memory.latent_size)


def memory_loss(
    model: MDNRNN, batch: SequenceBatch, motion_head: nn.Module | None = None, own_head: nn.Module | None = None
) -> MemoryLoss:
    """Teacher-forced loss of a batch.

    Progress is counted in whole units, so its head is a Poisson rate: unlike a squared error this is calibrated near
    zero, where a car that stands still must earn nothing. The common factors are fitted to what the mixtures leave
    unexplained, and change neither them nor h.
    """
    hidden, _ = model(batch.z, batch.action, batch.state)
    prediction = model.predict(hidden)
    steps = batch.mask.sum()
    log_likelihood = mixture_log_likelihood(prediction.mixture.float(), batch.next_z).mean(dim=-1)
    rate = prediction.progress.float()
    first_lap = torch.isfinite(batch.progress)
    progress = (rate - batch.progress.nan_to_num() * torch.log(rate + 1e-6)) * first_lap
    termination = F.binary_cross_entropy_with_logits(
        prediction.termination_logit.float(), batch.left_world, reduction="none"
    )
    motion = torch.zeros((), device=batch.z.device)
    if motion_head is not None:
        known = torch.isfinite(batch.motion) & (batch.mask[..., None] > 0)
        error = (motion_head(hidden).float() - batch.motion.nan_to_num()).square()
        motion = (error * known).sum() / known.sum().clamp_min(1)

    recorded = torch.isfinite(batch.missed) & (batch.mask > 0)
    missed = F.binary_cross_entropy_with_logits(
        model.missed_logit(hidden).float(), batch.missed.nan_to_num(), reduction="none"
    )
    missed = (missed * recorded).sum() / recorded.sum().clamp_min(1)
    factors = torch.zeros_like(rate)
    if model.factors:
        scores, h = normal_scores(prediction.mixture.float(), batch.next_z), hidden.detach()
        log_own = torch.zeros_like(scores) if own_head is None else own_head(h).float()
        factors = factor_loss(scores, model.loadings(h).float(), log_own)

    def mean(term: Tensor) -> Tensor:
        return (term * batch.mask).sum() / steps

    return MemoryLoss(mean(-log_likelihood), mean(progress), mean(termination), motion, missed, mean(factors))


def train_memory(config: MemoryConfig) -> Path:
    """Train M, going on from the last checkpoint in the output folder if there is one.

    Step i draws its batch from a generator seeded by (seed, i), so that with one thread count on one CPU a run that was
    cut off ends as one that was not. The weights at every checkpoint are kept as ``memory-STEP.safetensors``.

    Returns:
        The file with the trained weights.

    Raises:
        BundleError: V's or M's weights cannot be read.
        ConfigError: no episodes.
        DivergedError: the loss became NaN or infinite.
        OutputFolderError: the output folder holds something else.
    """
    claim_folder(config.out, config, may_differ=("device",))
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    model = Trainee().to(device)
    if config.initial is not None:
        load_weights(model.memory, config.initial)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    checkpoint = Checkpoint(config.out / "checkpoint.safetensors", model, optimizer)
    first = checkpoint.restore()
    weights = config.out / "memory.safetensors"
    if first >= config.steps and weights.exists():
        return weights
    training, held_out = _samplers(config)
    vision = _vision(config, device)
    log = TrainingLog(config.out / "log.jsonl", first)
    for step in tqdm(range(first, config.steps), initial=first, total=config.steps, desc="train M", mininterval=2):
        if config.remember_every and (step == first or step % config.remember_every == 0):
            training.remember(model.memory, np.random.default_rng([config.seed, step, 5]), device)
        terms = _train_step(model, optimizer, training, config, step, device)
        done = step + 1
        if done % 50 == 0:
            log.write(step=done, **{name: value.item() for name, value in terms._asdict().items()})
        if done % config.checkpoint_every == 0 or done == config.steps:
            if config.remember_every:
                held_out.remember(model.memory, np.random.default_rng(5), device)
            log.write(step=done, **evaluate_memory(model, held_out, device))
            save_tensors(config.out / f"memory-{done:06d}.safetensors", model.memory.state_dict())
            checkpoint.save(done)
            if vision is not None:
                batch = held_out.sample(np.random.default_rng(0), 6, device)
                save_dream_strip(config.out / f"dream-{done:06d}.png", model.memory, vision, batch)
    _fit_factors(model, training, config, device)
    save_tensors(weights, model.memory.state_dict())
    return weights


def _vision(config: MemoryConfig, device: torch.device) -> VAE | None:
    """V, for the pictures."""
    if config.vision is None:
        return None
    vision = VAE()
    load_weights(vision, config.vision)
    return vision.to(device).eval()


def _samplers(config: MemoryConfig) -> tuple[SequenceSampler, SequenceSampler]:
    """Samplers of the training and the held-out episodes."""
    training: list[LatentEpisode] = []
    held_out: list[LatentEpisode] = []
    recent_from = 0
    for index, folder in enumerate(config.latents):
        if index == len(config.latents) - config.recent_folders:
            recent_from = len(training)
        for episode in read_latents(folder):
            (held_out if is_held_out(episode.path) else training).append(episode)
    sampler = SequenceSampler(
        training,
        config.sequence_length,
        latent_noise=config.latent_noise,
        start_share=config.start_share,
        recent_from=recent_from,
        recent_share=config.recent_share,
    )
    return sampler, SequenceSampler(held_out or training, config.sequence_length, latent_noise=config.latent_noise)


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
        batch = with_input_noise(batch, config.input_noise, np.random.default_rng([config.seed, step, 7]))
    for group in optimizer.param_groups:
        group["lr"] = one_cycle(step, config.steps, config.learning_rate)
    with autocast(device):
        terms = memory_loss(model.memory, batch, model.motion_head, model.own_head)
    loss = terms.latent + config.progress_weight * terms.progress + config.termination_weight * terms.termination
    loss = loss + config.motion_weight * terms.motion + config.missed_weight * terms.missed + terms.factors
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


def with_input_noise(batch: SequenceBatch, most: float, rng: np.random.Generator) -> SequenceBatch:
    """A batch whose latents are disturbed where M reads them, and not where it predicts them.

    What M draws in a dream is a little off what V makes of any frame. Trained on V's latents alone, it takes the
    difference for news: a car that stands is believed to roll. In noise, it learns to trust its own account of the car.
    A dream's errors last for many frames, so the noise does too.

    Args:
        batch: sequences.
        most: the standard deviation of the noise is drawn for each sequence, from 0 to this. The noise is an
            Ornstein-Uhlenbeck process: half of the sequences have white noise, the others forget it within 1 to
            ``LONGEST_NOISE`` frames.
        rng: decides it.
    """
    sequences, steps, size = batch.z.shape
    strength = rng.random((sequences, 1), np.float32) * np.float32(most)
    kept = 1.0 - LONGEST_NOISE ** -rng.random((sequences, 1), np.float32)
    kept *= rng.random((sequences, 1)) < 0.5
    fresh = np.sqrt(1.0 - kept**2).astype(np.float32)
    noise = rng.standard_normal((steps, sequences, size), np.float32)
    for before, now in itertools.pairwise(noise):
        now *= fresh
        now += kept * before
    return batch._replace(z=batch.z + torch.from_numpy(noise * strength).transpose(0, 1).to(batch.z.device))


@torch.no_grad()
def evaluate_memory(model: Trainee, sampler: SequenceSampler, device: torch.device) -> dict[str, float]:
    """The loss on held-out episodes, always the same sequences."""
    batches = [sampler.sample(np.random.default_rng([12345, index]), 64, device) for index in range(8)]
    terms = [memory_loss(model.memory, batch, model.motion_head, model.own_head) for batch in batches]
    return {
        f"held_out_{name}": float(np.mean([getattr(term, name).item() for term in terms]))
        for name in MemoryLoss._fields
    }


def run(config: MemoryConfig) -> None:
    """The command ``dreamgym train memory``."""
    print(f"M's weights: {train_memory(config)}")
