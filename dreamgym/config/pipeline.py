"""All of the stages, round by round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamgym.config.checks import name_world
from dreamgym.config.evolution import EvolveSettings
from dreamgym.config.recordings import default_own_recording, default_recordings
from dreamgym.config.training import MemorySettings, VisionSettings
from dreamgym.config.workers import WorkerSettings
from dreamgym.worlds.base import Recording
from dreamgym.worlds.registry import DEFAULT, find

__all__ = ["PipelineConfig"]


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(WorkerSettings):
    """From nothing to a controller, round by round.

    Collect, train V and M, evolve in the dream, play in reality.

    PipelineConfig.of gives the settings that a world's description recommends.
    """

    out: Path
    """Folder of the run."""
    world: str = DEFAULT
    """The world to learn: a name, or module:OBJECT for one of your own."""
    rounds: int = 6
    """How many at most; ``stop_at`` may end the run sooner."""
    recordings: dict[str, Recording] = field(default_factory=lambda: default_recordings(find()))
    """What is recorded before the first round, by name; V trains on the first."""
    own_recording: Recording = field(default_factory=lambda: default_own_recording(find()))
    """What each later round records with the current controller."""
    vision: VisionSettings = field(
        default_factory=lambda: VisionSettings(steps=3500, reconstruction_weight=16.0, checkpoint_every=700)
    )
    memory: MemorySettings = field(default_factory=lambda: MemorySettings(steps=6000, checkpoint_every=1000))
    """M's training in the first round."""
    memory_round_steps: int = 2500
    """Training steps of M in each later round."""
    evolve: EvolveSettings = field(
        default_factory=lambda: EvolveSettings(
            generations=60, rollouts=8, subspace=64, smoothness=1.0, validate_every=20, precision="auto"
        )
    )
    """C's evolution in each round."""
    evolve_round_generations: int | None = None
    """Generations in each later round, which goes on from the controller before; those of the first when None."""
    search_labels: bool = False
    """Search C in the directions from which M read the simulator's labels, too; needs a subspace."""
    from_zero: bool = False
    """Evolve each round's controller from zero instead of from the round before."""
    temperature: float = 1.0
    """The dream's temperature, and that to evolve at unless the evolution's own is given."""
    factor_gain: float = 3.0
    """Strength of what latents are drawn together with; 0 draws each alone, as the paper does. With 3 a dream's roads
    bend as real ones do, at temperature 1."""
    dreamed_terminations: bool = False
    """Fit M's termination head to its own dreams as well; see dreamgym.memory.fit_termination. The recordings must have
    episodes that fail while the same action is held."""
    stop_at: float = float("inf")
    """Stop after a round whose controller reaches this mean on the validation episodes."""
    seed: int = 0

    def __post_init__(self) -> None:
        name_world(self)

    @classmethod
    def of(cls, world: str | None = None, **settings: Any) -> PipelineConfig:
        """Settings with what a world recommends where they are not given.

        Args:
            world: its name, or module:OBJECT; None for the default one.
            settings: the other fields. Those of the stages, ``vision``, ``memory`` and ``evolve``, may be mappings, and
                what they do not name is as the world recommends.

        Raises:
            ConfigError: an unknown world, or a setting out of range.
        """
        description = find(world)
        basis = cls(out=Path())
        stages = {
            name: replace(getattr(basis, name), **{**description.recipe.get(name, {}), **settings.get(name, {})})
            for name in ("vision", "memory", "evolve")
            if not isinstance(settings.get(name), VisionSettings | MemorySettings | EvolveSettings)
        }
        recorded = {
            "recordings": default_recordings(description),
            "own_recording": default_own_recording(description),
        }
        found = {**recorded, **description.recipe}
        return cls(**{**found, "world": world or DEFAULT, **settings, **stages})
