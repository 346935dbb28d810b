"""The stages of a round, each with this run's settings. What is there already is not made again."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamgym.collect.collect import collect, plan
from dreamgym.collect.command import controller_players
from dreamgym.config import CollectConfig, EvolveConfig, MemoryConfig, PipelineConfig, VisionConfig
from dreamgym.config.checks import require, require_not_negative, require_positive
from dreamgym.config.recordings import CONTROLLERS
from dreamgym.controller.cma_es import evolve
from dreamgym.controller.linear import LinearController
from dreamgym.data.episodes import episode_paths, is_held_out
from dreamgym.data.latents import LatentEpisode, read_latents
from dreamgym.errors import OutputFolderError
from dreamgym.evaluate.real import validation_returns
from dreamgym.evolve.dream_rollouts import DreamTrials
from dreamgym.memory.fit_termination import require_exits
from dreamgym.memory.train import train_memory
from dreamgym.memory.trainee import LABEL_DIRECTIONS
from dreamgym.pipeline.rounds import Round
from dreamgym.training import choose_device
from dreamgym.vision.encode_dataset import encode_episodes
from dreamgym.vision.train import train_vision
from dreamgym.world_model import WorldModel
from dreamgym.world_model.build import assemble
from dreamgym.world_model.start_states import require_long_enough
from dreamgym.worlds.base import LEAST_BURN_IN
from dreamgym.worlds.registry import find

__all__ = ["check", "evolve_controller", "learn_worlds"]


def check(config: PipelineConfig) -> None:
    """Refuse now what a stage would refuse hours later.

    Raises:
        ConfigError: a setting out of range.
    """
    require_positive(config, "rounds", "temperature")
    require_not_negative(config, "factor_gain")
    if config.evolve_round_generations is not None:
        require_positive(config, "evolve_round_generations")
    require(bool(config.recordings), "recordings", "one or more", config.recordings)
    lengths = [length for recording in config.recordings.values() for length in recording.lengths]
    require(max(lengths) > LEAST_BURN_IN, "recordings", f"a length of more than {LEAST_BURN_IN} steps", sorted(lengths))
    vision_config(config)
    _check_evolution(config)
    played = {name for recording in config.recordings.values() for name, share in recording.mix.items() if share > 0}
    own = sorted(played & set(CONTROLLERS))
    require(not own, "recordings", "players of the world, as there is no controller yet", own)
    for this in (Round(config.out, 0), Round(config.out, config.rounds - 1)):
        for name in _recorded(config, this):
            recording_config(config, this, name)
        memory_config(config, this)
        evolve_config(config, this)


def _check_evolution(config: PipelineConfig) -> None:
    """What :class:`DreamTrials` refuses once there is a bundle, as far as the world's description tells."""
    world, settings = find(config.world), config.evolve
    kept = [each.kept for each in world.labels.auxiliaries]
    for name, there, what in (
        ("hard_rollouts", bool(world.hard_moments), "hard moments"),
        ("action_penalty", any(world.actions.penalty), "action with a penalty"),
        ("event_penalty", True in kept, "event for M to predict"),
    ):
        value = getattr(settings, name)
        require(there or not value, f"evolve.{name}", f"0, as {world.name} has no {what}", value)
    if config.search_labels:
        require(settings.subspace > 0, "evolve.subspace", "more than 0 for search_labels", settings.subspace)
        require(False in kept, "search_labels", f"False, as {world.name} has no labels for training alone", True)


def learn_worlds(config: PipelineConfig, last: Round) -> None:
    """Make the worlds of the rounds up to ``last``.

    Play in reality, let V and M learn from it, and put the dream together, in each round.

    Frames that have been encoded may be gone, and so may everything else but the controllers of earlier rounds: it is
    made again, from the same seeds. On the same processor and number of threads that gives the same bits.
    """
    for number in range(last.number + 1):
        _learn_world(config, Round(last.run, number))


def _learn_world(config: PipelineConfig, this: Round) -> None:
    if not this.vision.exists():
        collect(recording_config(config, Round(this.run, 0), _first(config)))
        train_vision(vision_config(config))
    for name in _recorded(config, this):
        _record(config, this, name)
    world, latents = find(config.world), _latents(config, this)
    if not this.memory.exists():
        if this.number == 0 or config.dreamed_terminations:
            _require_usable(config, read_latents(*latents, world=world))  # now, not when M is trained
        train_memory(memory_config(config, this))
    if not this.world.exists():
        assemble(
            this.world,
            vision=this.vision,
            memory=this.memory,
            latents=latents,
            world=world,
            sizes=config.memory.sizes(world),
            temperature=config.temperature,
            latent_noise=config.memory.latent_noise,
            factor_gain=config.factor_gain,
            dreamed_terminations=config.dreamed_terminations,
            seed=config.seed,
        )
        _require_same(this)


def _require_same(this: Round) -> None:
    """A controller means nothing to another V and M, nor do its scores."""
    wanted = this.read_report().get("world_model_sha256") if this.report.exists() else None
    made = WorldModel.load(this.world).card["sha256"]
    if wanted not in (None, made):
        shutil.rmtree(this.world)
        raise OutputFolderError(
            f"{this.run}: expected to make round {this.number}'s world model again, in which its controller evolved, "
            "and got another one, as processors, threads and versions of torch round differently; remove vision, "
            "latents and memory-* and go on where the run was made, or begin another run"
        )


def _require_usable(config: PipelineConfig, episodes: list[LatentEpisode]) -> None:
    """The rest is refused by the training of M before its first step."""
    require_long_enough(episodes)
    if config.dreamed_terminations:
        require_exits([episode for episode in episodes if not is_held_out(episode.path)])


def _first(config: PipelineConfig) -> str:
    """The recording that V learns from."""
    return next(iter(config.recordings))


def _recorded(config: PipelineConfig, this: Round) -> tuple[str, ...]:
    """Names of the folders with the real episodes that a round adds.

    V's is the last of the first round's: hard start states are looked for in all but the first folder.
    """
    return (f"episodes-{this.number}",) if this.number else tuple(reversed(config.recordings))


def _latents(config: PipelineConfig, this: Round) -> tuple[Path, ...]:
    """The folders that M learns from in a round, the latest episodes last."""
    rounds = (Round(this.run, number) for number in range(this.number + 1))
    return tuple(this.run / "latents" / name for each in rounds for name in _recorded(config, each))


def _record(config: PipelineConfig, this: Round, name: str) -> None:
    """Have the latents of some of the round's episodes."""
    latents, wanted = this.run / "latents" / name, recording_config(config, this, name)
    if not all((latents / planned.file_name).exists() for planned in plan(wanted)):
        own = controller_players(wanted.world_model, wanted.controller, config.world) if wanted.controller else None
        collect(wanted, own)
    if wanted.out.is_dir() and episode_paths(wanted.out):  # once encoded, recordings may be deleted
        world = find(config.world)
        encode_episodes(
            wanted.out,
            this.vision,
            latents,
            world=world,
            latents=config.memory.sizes(world).latents,
            device=choose_device("auto"),
        )


def recording_config(config: PipelineConfig, this: Round, name: str) -> CollectConfig:
    """What is recorded under a name.

    Before the first round, or with the controller of the round before.
    """
    own = this.number > 0
    return CollectConfig(
        **_settings(config.own_recording if own else config.recordings[name]),
        out=config.out / "episodes" / name,
        world=config.world,
        workers=config.workers,
        engine=config.engine,
        seed=config.seed + this.number,
        controller=this.before.controller if own else None,
        world_model=this.before.world if own else None,
    )


def _settings(part: Any) -> dict[str, Any]:
    return {entry.name: getattr(part, entry.name) for entry in dataclasses.fields(part)}


def vision_config(config: PipelineConfig) -> VisionConfig:
    """V's training."""
    return VisionConfig(
        **_settings(config.vision),
        episodes=(config.out / "episodes" / _first(config),),
        out=config.out / "vision",
        world=config.world,
        latents=config.memory.latent_size,
        seed=config.seed,
    )


def memory_config(config: PipelineConfig, this: Round) -> MemoryConfig:
    """M's training in a round.

    From nothing in the first round; then from the round before, with more of the recent episodes.
    """
    files: dict[str, Any] = {
        "latents": _latents(config, this),
        "out": this.memory.parent,
        "vision": this.vision,
        "world": config.world,
        "seed": config.seed + this.number,
    }
    if not this.number:
        return MemoryConfig(**_settings(config.memory), **files)
    later = dataclasses.replace(
        config.memory,
        steps=config.memory_round_steps,
        checkpoint_every=1250,
        # It is a pass over all episodes, and M that goes on hardly changes.
        remember_every=1250 if config.memory.remember_every else 0,
        learning_rate=config.memory.learning_rate / 2,
    )
    return MemoryConfig(
        **_settings(later),
        **files,
        initial=this.before.memory,
        recent_share=0.4,
        recent_folders=min(this.number, 3),
    )


def evolve_config(config: PipelineConfig, this: Round) -> EvolveConfig:
    """C's evolution: from the controller of the round before, where there is one."""
    goes_on = this.number > 0 and not config.from_zero
    settings = dataclasses.replace(
        config.evolve,
        generations=(config.evolve_round_generations if goes_on else None) or config.evolve.generations,
        sigma=config.evolve.sigma / 2 if goes_on else config.evolve.sigma,
        temperature=config.evolve.temperature or (config.temperature, config.temperature),
    )
    return EvolveConfig(
        **_settings(settings),
        out=this.evolution,
        world_model=this.world,
        world=config.world,
        initial=this.before.controller if goes_on else None,
        label_directions=this.memory.with_name(LABEL_DIRECTIONS) if config.search_labels else None,
        seed=config.seed + this.number,
        workers=config.workers,
        engine=config.engine,
    )


def evolve_controller(config: PipelineConfig, this: Round, seeds: Sequence[int]) -> None:
    """Evolve C in this round's dream.

    The mean that does best in the real episodes of ``seeds`` is kept.
    """
    settings = evolve_config(config, this)

    def validate(controller: LinearController) -> list[float]:
        return validation_returns(
            controller,
            seeds,
            workers=config.workers,
            engine=config.engine,
            world_model=this.world,
            world=config.world,
        )

    with DreamTrials(settings, choose_device("auto")) as trials:
        evolve(settings, trials, inputs=trials.inputs, subspace=trials.subspace, validate=validate)
