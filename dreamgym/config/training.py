"""From recorded episodes to a bundle: train V, encode the episodes, train M, assemble.

A stage's ``...Settings`` are what ``train all`` may say of it. Its ``...Config`` are a command's options, which name
its files as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dreamgym.config.checks import name_world, require, require_not_negative, require_positive, require_seed
from dreamgym.worlds.base import ModelSizes, World
from dreamgym.worlds.registry import DEFAULT

__all__ = ["AssembleConfig", "EncodeConfig", "MemoryConfig", "MemorySettings", "VisionConfig", "VisionSettings"]


@dataclass(frozen=True, kw_only=True)
class _TrainingRun:
    """What every command that trains a network is told."""

    out: Path
    """Folder for weights, log and pictures."""
    world: str = DEFAULT
    """The world that the episodes are of: a name, or module:OBJECT for one of your own."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    initial: Path | None = None
    """Weights to go on from."""

    def _require_run(self) -> None:
        name_world(self)
        require_seed(self)


@dataclass(frozen=True, kw_only=True)
class VisionSettings:
    """How V is trained."""

    steps: int = 4000
    """Training steps."""
    batch_size: int = 128
    """Frames a step."""
    learning_rate: float = 1e-3
    """The peak of the one-cycle schedule."""
    reconstruction_weight: float = 1.0
    """Weight of the squared error against the KL divergence; 1 in the paper."""
    free_nats: float = 0.5
    """Lower limit of the KL divergence, nats a latent."""
    error_power_weight: float = 0.0
    """Weight of each pixel's error to the fourth power, added to its square: small bright things are then drawn."""
    start_at_mean: bool = False
    """Begin with the frames' mean colour: without, frames that are nearly all black or white may teach V nothing."""
    frame_stride: int = 4
    """Every so many frames of an episode are used; they are held in memory."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        require_positive(
            self, "steps", "batch_size", "learning_rate", "reconstruction_weight", "frame_stride", "checkpoint_every"
        )
        require_not_negative(self, "free_nats", "error_power_weight")


@dataclass(frozen=True, kw_only=True)
class VisionConfig(_TrainingRun, VisionSettings):
    """Train V on recorded episodes."""

    episodes: tuple[Path, ...]
    """Folders of recorded episodes."""
    latents: int | None = None
    """Numbers in a latent; the world's own when not given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_run()
        require(self.latents is None or self.latents > 0, "latents", "a positive number, or None", self.latents)


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """Encode recorded episodes with V, once, so that M can learn from latents in memory."""

    episodes: Path
    """Folder of recorded episodes."""
    vision: Path
    """V's weights."""
    out: Path
    """Folder for the latents."""
    world: str = DEFAULT
    """The world that the episodes are of: a name, or module:OBJECT for one of your own."""
    latents: int | None = None
    """Numbers in a latent, as V was trained; the world's own when not given."""
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        name_world(self)
        require(self.latents is None or self.latents > 0, "latents", "a positive number, or None", self.latents)


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Sizes of V and M that may differ from the world's."""

    latent_size: int | None = None
    """Numbers in a latent, as V was trained; the world's own when not given, as for the next four."""
    hidden_units: int | None = None
    mixtures: int | None = None
    factors: int | None = None
    """Common factors that latents are drawn with; 0 for none."""
    sequence_length: int | None = None
    """Steps in a training sequence of M."""

    def sizes(self, world: World) -> ModelSizes:
        """The world's sizes, but for those given here."""
        given = {
            "latents": self.latent_size,
            "hidden_units": self.hidden_units,
            "mixtures": self.mixtures,
            "factors": self.factors,
            "sequence_length": self.sequence_length,
        }
        return replace(world.sizes, **{name: value for name, value in given.items() if value is not None})

    def __post_init__(self) -> None:
        sizes = ("latent_size", "hidden_units", "mixtures", "sequence_length")
        require_positive(self, *(name for name in sizes if getattr(self, name) is not None))
        require(self.factors is None or self.factors >= 0, "factors", "0 or more, or None", self.factors)


@dataclass(frozen=True, kw_only=True)
class MemorySettings(_Sizes):
    """How M is trained."""

    steps: int = 3000
    """Training steps."""
    batch_size: int = 64
    """Sequences a step."""
    learning_rate: float = 2e-3
    """The peak of the one-cycle schedule."""
    latent_noise: float = 1.0
    """Share of the posterior's noise in the latents, in training and in use; 1 in the paper."""
    input_noise: float = 0.0
    """Noise on the latents that M reads: its standard deviation is drawn for each sequence, from 0 to this."""
    lasting_noise: float = 0.5
    """Share of the sequences in which that noise lasts for many frames; in the others it is drawn anew for each."""
    start_share: float = 0.125
    """Share of the sequences that begin at an episode's first frame."""
    reward_weight: float = 1.0
    """Weight of the reward head's loss, in nats against the latents' nats."""
    termination_weight: float = 1.0
    """Weight of the termination head's loss, likewise."""
    calibrate_terminations: bool = False
    """Scale and shift the termination head's logit at the end, to be right on the held-out episodes."""
    label_weight: float = 1.0
    """Factor on the weights that the world gives the losses of its labels."""
    factor_steps: int = 0
    """Steps more in which the common factors alone are fitted, to latents without noise."""
    remember_every: int = 500
    """Steps between runs of M over all episodes, from which sequences take their first states; 0 for zeros."""
    checkpoint_every: int = 500
    """Steps between checkpoints; a multiple of remember_every."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "steps", "batch_size", "learning_rate", "checkpoint_every")
        require_not_negative(self, "latent_noise", "input_noise", "factor_steps", "remember_every")
        require_not_negative(self, "reward_weight", "termination_weight", "label_weight")
        for name in ("start_share", "lasting_noise"):
            require(0 <= getattr(self, name) <= 1, name, "0 to 1", getattr(self, name))
        require(
            self.remember_every == 0 or self.checkpoint_every % self.remember_every == 0,
            "checkpoint_every",
            f"a multiple of remember_every ({self.remember_every}), so that a resumed run begins with the same states",
            self.checkpoint_every,
        )


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(_TrainingRun, MemorySettings):
    """Train M on recorded episodes as V sees them."""

    latents: tuple[Path, ...]
    """Folders of encoded episodes, made by dreamgym.vision.encode_dataset."""
    vision: Path | None = None
    """V's weights, for the pictures of dreams; none are drawn without."""
    recent_share: float = 0.0
    """Share of the sequences drawn from the last folder alone, or from the last recent_folders."""
    recent_folders: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_run()
        require_positive(self, "recent_folders")
        require(0 <= self.recent_share <= 1, "recent_share", "0 to 1", self.recent_share)


@dataclass(frozen=True, kw_only=True)
class AssembleConfig(_Sizes):
    """Make a bundle of V, M and start states from real episodes.

    It is the dream, in which C evolves.
    """

    out: Path
    """The bundle's folder."""
    vision: Path
    """V's weights."""
    memory: Path
    """M's weights."""
    latents: tuple[Path, ...]
    """Folders of encoded episodes, for the start states. Hard ones come from the last three, and not from the first."""
    world: str = DEFAULT
    """The world that V and M were trained for: a name, or module:OBJECT for one of your own."""
    controller: Path | None = None
    """A controller's file, to go into the bundle."""
    temperature: float = 1.0
    """The temperature that the dream is meant for."""
    latent_noise: float = 1.0
    """Share of the posterior's noise that M was trained with."""
    factor_gain: float = 3.0
    """Strength of what latents are drawn together with; 0 draws each alone, as the paper does."""
    dreamed_terminations: bool = False
    """Fit M's termination head to this dream as well; some episodes must fail while the same action is held."""
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        name_world(self)
        require_positive(self, "temperature")
        require_not_negative(self, "latent_noise", "factor_gain")
        require_seed(self)
