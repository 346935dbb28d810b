"""The stages of a round, each with this run's settings. What is there already is not made again."""

from __future__ import annotations

from collections.abc import Sequence

from dreamgym.assemble import assemble
from dreamgym.config import CollectConfig, EvolveConfig, MemoryConfig, PipelineConfig, VisionConfig
from dreamgym.config.checks import require, require_not_negative, require_positive
from dreamgym.control.evolution import evolve
from dreamgym.control.linear import LinearController
from dreamgym.dream_trials import DreamTrials
from dreamgym.evaluate.real import look
from dreamgym.memory.ends import require_exits
from dreamgym.memory.train import train_memory
from dreamgym.pipeline.rounds import AIMLESS, SCRIPTED, Round
from dreamgym.real.collect import collect, plan
from dreamgym.recording import controller_drivers
from dreamgym.training import choose_device
from dreamgym.vision.encode import encode_episodes, read_latents
from dreamgym.vision.train import train_vision

__all__ = ["check", "evolve_controller", "learn_worlds"]


def check(config: PipelineConfig) -> None:
    """Refuse now what a stage would refuse hours later.

    Raises:
        ConfigError: a setting out of range.
    """
    require_positive(config, "rounds")
    require_not_negative(config, "factor_gain")
    require(0 <= config.leaving_share <= 1, "leaving_share", "0 to 1", config.leaving_share)
    vision_config(config)
    for this in (Round(config.out, 0), Round(config.out, config.rounds - 1)):
        for name in this.recordings:
            recording_config(config, this, name)
        memory_config(config, this)
        evolve_config(config, this)


def learn_worlds(config: PipelineConfig, last: Round) -> None:
    """Drive in reality, let V and M learn from it, and put the dream together, in each round up to ``last``.

    Frames that have been encoded may be gone, and so may everything else but the controllers of earlier rounds: it is
    made again, from the same seeds. On the same processor and number of threads that gives the same bits.
    """
    for number in range(last.number + 1):
        _learn_world(config, Round(last.run, number))


def _learn_world(config: PipelineConfig, this: Round) -> None:
    if not this.vision.exists():
        collect(scripted_config(config))
        train_vision(vision_config(config))
    for name in this.recordings:
        _record(config, this, name)
    if not this.memory.exists():
        if config.dreamed_ends:
            require_exits(read_latents(*this.latents))  # now, not when M is trained
        train_memory(memory_config(config, this))
    if not this.world.exists():
        assemble(
            this.world,
            vision=this.vision,
            memory=this.memory,
            latents=this.latents,
            temperature=config.temperature,
            latent_noise=config.latent_noise,
            factor_gain=config.factor_gain,
            dreamed_ends=config.dreamed_ends,
            seed=config.seed,
        )


def _record(config: PipelineConfig, this: Round, name: str) -> None:
    """Have the latents of some of the round's drives."""
    latents, wanted = this.run / "latents" / name, recording_config(config, this, name)
    if not all((latents / planned.file_name).exists() for planned in plan(wanted)):
        collect(wanted, controller_drivers(wanted.world_model, wanted.controller) if wanted.controller else None)
    encode_episodes(wanted.out, this.vision, latents, device=choose_device("auto"))


def recording_config(config: PipelineConfig, this: Round, name: str) -> CollectConfig:
    """What is recorded under a name, see :attr:`Round.recordings`."""
    if name == AIMLESS:
        return aimless_config(config)
    return scripted_config(config) if name == SCRIPTED else drives_config(config, this)


def aimless_config(config: PipelineConfig) -> CollectConfig:
    """Drivers that give up or leave, in many short episodes: most of what they do is soon seen."""
    return CollectConfig(
        out=config.out / "episodes" / AIMLESS,
        frames=config.aimless_frames,
        mix={"aimless_follower": 1.0 - config.leaving_share, "leaving_follower": config.leaving_share},
        lengths=(150, 150, 300, 500, 1000),
        workers=config.workers,
        seed=config.seed,
    )


def scripted_config(config: PipelineConfig) -> CollectConfig:
    """The scripted drivers."""
    return CollectConfig(
        out=config.out / "episodes" / SCRIPTED, frames=config.first_frames, workers=config.workers, seed=config.seed
    )


def drives_config(config: PipelineConfig, this: Round) -> CollectConfig:
    """The controller of the round before: as it is, and disturbed in weights and actions."""
    return CollectConfig(
        out=config.out / "episodes" / this.recordings[0],
        frames=config.round_frames,
        mix={"controller": 0.5, "disturbed_controller": 0.3, "jittery_follower": 0.05, "reckless_follower": 0.15},
        workers=config.workers,
        seed=config.seed + this.number,
        lengths=(500, 1000),
        patience=200,
        controller=this.before.controller,
        world_model=this.before.world,
    )


def vision_config(config: PipelineConfig) -> VisionConfig:
    """V's training."""
    return VisionConfig(
        episodes=(config.out / "episodes" / SCRIPTED,),
        out=config.out / "vision",
        steps=config.vision_steps,
        reconstruction_weight=config.reconstruction_weight,
        checkpoint_every=700,
        seed=config.seed,
    )


def memory_config(config: PipelineConfig, this: Round) -> MemoryConfig:
    """M's training: from nothing in the first round, later on from the round before, with more of the recent drives."""
    later = this.number > 0
    return MemoryConfig(
        latents=this.latents,
        out=this.memory.parent,
        vision=this.vision,
        steps=config.memory_round_steps if later else config.memory_steps,
        checkpoint_every=1250 if later else 1000,
        remember_every=1250 if later else 500,  # it is a pass over all episodes, and M that goes on hardly changes
        initial=this.before.memory if later else None,
        learning_rate=1e-3 if later else 2e-3,
        recent_share=0.4 if later else 0.0,
        recent_folders=max(1, min(this.number, 3)),
        latent_noise=config.latent_noise,
        input_noise=config.input_noise,
        seed=config.seed + this.number,
    )


def evolve_config(config: PipelineConfig, this: Round) -> EvolveConfig:
    """C's evolution: from the controller of the round before, where there is one."""
    goes_on = this.number > 0 and not config.from_zero
    return EvolveConfig(
        out=this.evolution,
        world_model=this.world,
        generations=config.generations,
        population=config.population,
        rollouts=config.rollouts,
        hard_rollouts=config.hard_rollouts,
        sigma=0.05 if goes_on else 0.1,
        initial=this.before.controller if goes_on else None,
        smoothness=config.smoothness,
        effort=config.effort,
        subspace=config.subspace,
        pace_limit=config.pace_limit,
        validate_every=config.validate_every,
        line_share=config.line_share,
        missed_cost=config.missed_cost,
        temperature=(config.temperature, config.temperature),
        precision="bfloat16",
        fast=config.fast,
        seed=config.seed + this.number,
        workers=config.workers,
    )


def evolve_controller(config: PipelineConfig, this: Round, tracks: Sequence[int]) -> None:
    """Evolve C in this round's dream; the mean that does best on the real ``tracks`` is kept."""
    settings = evolve_config(config, this)

    def validate(controller: LinearController) -> list[float]:
        return look(controller, tracks, workers=config.workers, world_model=this.world)

    with DreamTrials(settings, choose_device("auto")) as trials:
        evolve(settings, trials, subspace=trials.subspace, validate=validate)
