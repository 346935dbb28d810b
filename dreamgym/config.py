"""One frozen dataclass a stage: a command line, a JSON file beside the results, and a function's argument in one."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dreamgym.errors import ConfigError, OutputFolderError

__all__ = [
    "CollectConfig",
    "DemoConfig",
    "EvaluateConfig",
    "EvolveConfig",
    "FidelityConfig",
    "MemoryConfig",
    "PipelineConfig",
    "PlayConfig",
    "VisionConfig",
    "claim_folder",
    "to_json",
    "write_json",
]


@dataclass(frozen=True)
class CollectConfig:
    """Record real drives."""

    out: Path
    """Folder for the episodes."""
    frames: int = 300_000
    """How many frames to record, about."""
    mix: dict[str, float] = field(
        default_factory=lambda: {
            "follower": 0.3,
            "wild_follower": 0.3,
            "reckless_follower": 0.15,
            "jittery_follower": 0.1,
            "smooth_random": 0.1,
            "random_agent": 0.05,
            "controller": 0.0,
            "disturbed_controller": 0.0,
        }
    )
    """Share of the episodes that each driver records."""
    controller: Path | None = None
    """A controller's file, for the drivers ``controller`` and ``disturbed_controller``."""
    world_model: Path | None = None
    """The bundle that the controller sees through; the package's own when not given."""
    workers: int = 2
    """Processes recording at once."""
    seed: int = 0
    """Decides the tracks and every driver's choices."""
    lengths: tuple[int, ...] = (300, 500, 1000)
    """Time limits of episodes, one drawn for each."""
    patience: int | None = None
    """End an episode after so many frames without progress, so that a car lost on the grass fills no shards."""

    def __post_init__(self) -> None:
        _require(self.frames > 0, "frames", "a positive number", self.frames)
        _require(self.workers > 0, "workers", "a positive number", self.workers)
        _require(0 <= self.seed < 900, "seed", "0 to 899", self.seed)
        _require(
            bool(self.mix) and all(share >= 0 for share in self.mix.values()) and sum(self.mix.values()) > 0,
            "mix",
            "shares that are not negative and not all zero",
            self.mix,
        )
        _require(self.patience is None or self.patience > 0, "patience", "a positive number or None", self.patience)
        _require(bool(self.lengths) and min(self.lengths) > 0, "lengths", "positive numbers", self.lengths)


@dataclass(frozen=True)
class VisionConfig:
    """Train V on recorded episodes."""

    episodes: tuple[Path, ...]
    """Folders of recorded episodes."""
    out: Path
    """Folder for weights, log and pictures."""
    steps: int = 4000
    """Training steps."""
    batch_size: int = 128
    """Frames a step."""
    learning_rate: float = 1e-3
    """The peak of the one-cycle schedule."""
    reconstruction_weight: float = 1.0
    """Weight of the squared error against the KL divergence; 1 in the paper."""
    free_nats: float = 0.5
    """Floor of the KL divergence, nats a latent."""
    frame_stride: int = 4
    """Every so many frames of an episode are used; they are held in memory."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    initial: Path | None = None
    """Weights to go on from."""


@dataclass(frozen=True)
class MemoryConfig:
    """Train M on recorded episodes as V sees them."""

    latents: tuple[Path, ...]
    """Folders of encoded episodes, made by ``dreamgym.vision.encode``."""
    out: Path
    """Folder for weights, log and pictures."""
    vision: Path | None = None
    """V's weights, for the pictures of dreams; none are drawn without."""
    steps: int = 3000
    """Training steps."""
    batch_size: int = 64
    """Sequences a step."""
    sequence_length: int = 96
    """Steps a sequence."""
    learning_rate: float = 2e-3
    """The peak of the one-cycle schedule."""
    latent_noise: float = 1.0
    """Share of the posterior's noise in the latents; 1 in the paper."""
    start_share: float = 0.125
    """Share of the sequences that begin at an episode's first frame."""
    recent_share: float = 0.0
    """Share of the sequences drawn from the last folder alone, or from the last ``recent_folders``."""
    recent_folders: int = 1
    progress_weight: float = 1.0
    """Weight of the progress head's loss, in nats against the latents' nats."""
    termination_weight: float = 1.0
    """Weight of the termination head's loss, likewise."""
    motion_weight: float = 1.0
    """Weight of the loss of a head that only training has: how the car moves, where that was recorded."""
    remember_every: int = 500
    """Steps between runs of M over all episodes, from which sequences take their first states; 0 for zeros."""
    checkpoint_every: int = 500
    """Steps between checkpoints; a multiple of ``remember_every``."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    initial: Path | None = None
    """Weights to go on from."""

    def __post_init__(self) -> None:
        _require(
            self.remember_every == 0 or self.checkpoint_every % self.remember_every == 0,
            "checkpoint_every",
            f"a multiple of remember_every ({self.remember_every}), so that a resumed run begins with the same states",
            self.checkpoint_every,
        )


@dataclass(frozen=True)
class EvolveConfig:
    """Evolve a controller in the dream with CMA-ES."""

    out: Path
    """Folder for the controller and the log."""
    world_model: Path | None = None
    """A bundle; the environment variable DREAMGYM_MODELS, then the package's own, when not given."""
    generations: int = 100
    population: int = 64
    rollouts: int = 16
    """Rollouts a candidate is averaged over."""
    sigma: float = 0.1
    """Initial step size."""
    subspace: int = 0
    """Search in so many leading principal components of what the controller sees; 0 to search all parameters."""
    temperature: tuple[float, float] | None = None
    """Range drawn from for each rollout; the card's temperature when not given."""
    line_share: float = 0.5
    """Share of the rollouts that begin at the starting line; the others begin anywhere."""
    max_episode_steps: int = 1000
    smoothness: float = 0.0
    """Penalty on the mean absolute change of the action from one frame to the next, per unit and frame."""
    pace_limit: float = float("inf")
    """Points of progress a frame, averaged over half a second; what is gained beyond it does not count."""
    action_noise: float = 0.0
    """Standard deviation of noise on the actions of every second rollout, for a controller that survives surprises."""
    worst_share: float = 1.0
    """Share of a candidate's rollouts, the worst ones, that its fitness is the mean of."""
    initial: Path | None = None
    """A controller to go on from; zeros when not given."""
    validate_every: int = 0
    """Generations between looks at the real validation tracks; 0 for none."""
    validation_tracks: int = 16
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    workers: int = 2
    """Processes driving in reality at a validation."""

    def __post_init__(self) -> None:
        _require(self.generations > 0, "generations", "a positive number", self.generations)
        _require(self.population >= 4, "population", "4 or more", self.population)
        _require(self.rollouts > 0, "rollouts", "a positive number", self.rollouts)
        _require(self.sigma > 0, "sigma", "a positive number", self.sigma)
        _require(self.action_noise >= 0, "action_noise", "0 or more", self.action_noise)
        _require(0 < self.worst_share <= 1, "worst_share", "above 0, 1 at most", self.worst_share)
        _require(0 <= self.line_share <= 1, "line_share", "0 to 1", self.line_share)
        _require(0 < self.validation_tracks <= 16, "validation_tracks", "1 to 16", self.validation_tracks)


@dataclass(frozen=True)
class EvaluateConfig:
    """Drive with a controller in reality and in the dream."""

    controller: Path | None = None
    """A controller's safetensors file, or an SB3 archive with --trust-pickle; the bundle's own when not given."""
    world_model: Path | None = None
    """A bundle; the environment variable DREAMGYM_MODELS, then the package's own, when not given."""
    episodes: int = 100
    """Real test tracks to drive."""
    dream_episodes: int = 100
    """Dreams to drive; 0 for none."""
    first_seed: int | None = None
    """First track seed; the test tracks when not given."""
    temperature: float | None = None
    latent: Literal["sample", "mean"] = "sample"
    exact_drawing: bool = True
    """Draw with the exact fast drawing; Gymnasium's own with --no-exact-drawing."""
    workers: int = 2
    out: Path | None = None
    """JSON file for the report."""
    trust_pickle: bool = False
    """Unpickle an SB3 archive, which runs code of its author's choosing."""


@dataclass(frozen=True)
class FidelityConfig:
    """Measure how far the dream and reality agree."""

    out: Path = Path("runs/fidelity")
    """Folder for the report and plots."""
    world_model: Path | None = None
    episodes: int = 8
    """Real tracks a policy drives."""
    dream_episodes: int = 64
    """Dreams a policy drives, at each temperature."""
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.3)
    workers: int = 2
    seed: int = 0


@dataclass(frozen=True)
class DemoConfig:
    """Evolve a driver in the dream, then drive the real track with it."""

    out: Path = Path("dreamgym-demo")
    """Folder for the video, the GIF and the controller."""
    world_model: Path | None = None
    seconds: float = 120.0
    """How long to evolve."""
    tracks: int = 4
    """Real tracks to drive with each controller."""
    seed: int = 0
    workers: int = 2


@dataclass(frozen=True)
class PlayConfig:
    """Drive by hand: in reality, in the dream, or from one into the other."""

    controller: Path | None = None
    """A driver to take turns with, a controller's file or an SB3 archive; the bundle's own when not given."""
    world_model: Path | None = None
    record: Path | None = None
    """Write an MP4 or GIF without opening a window."""
    frames: int = 500
    """Length of the recording, at 50 frames a second."""
    press: tuple[str, ...] = ()
    """Keys pressed in the recording, each FRAME:KEY, for instance 150:space 300:space."""
    driver: Literal["you", "controller", "random"] | None = None
    """Who drives first; you in a window and the controller in a recording when not given."""
    world: Literal["dream", "reality", "both"] = "both"
    temperature: float | None = None
    """Of the dream, 0.05 to 2; the card's when not given."""
    max_steps: int | None = None
    """Frames a drive may take; no limit when not given. CarRacing-v3's own is 1000."""
    size: tuple[int, int] | None = None
    """Width and height of the window or recording, pixels; fitted to the screen when not given."""
    out: Path = Path("dreamgym-play")
    """Folder for pictures, videos and drives that are kept by a key."""
    save_episodes: Path | None = None
    """Folder where every drive is saved as training data: real ones in it, dreams in its folder ``dreams``."""
    seed: int | None = None
    """Decides track and dream; drawn afresh when not given."""
    trust_pickle: bool = False
    """Unpickle an SB3 archive, which runs code of its author's choosing."""

    def __post_init__(self) -> None:
        _require(self.frames > 0, "frames", "a positive number", self.frames)
        _require(
            self.record is None or self.record.suffix.lower() in (".mp4", ".gif"),
            "record",
            "a file name ending in .mp4 or .gif",
            str(self.record),
        )
        _require(
            self.temperature is None or 0.05 <= self.temperature <= 2.0, "temperature", "0.05 to 2", self.temperature
        )
        _require(self.max_steps is None or self.max_steps > 0, "max_steps", "a positive number", self.max_steps)
        _require(
            self.size is None or (320 <= self.size[0] <= 7680 and 180 <= self.size[1] <= 4320),
            "size",
            "320x180 to 7680x4320 pixels",
            self.size,
        )
        _require(self.seed is None or self.seed >= 0, "seed", "0 or more", self.seed)


@dataclass(frozen=True)
class PipelineConfig:
    """From nothing to a driver, round by round: collect, train V and M, evolve in the dream, drive in reality."""

    out: Path
    """Folder of the run."""
    rounds: int = 6
    first_frames: int = 400_000
    """Frames recorded by the scripted drivers before the first round."""
    round_frames: int = 80_000
    """Frames recorded with the current controller in each later round."""
    vision_steps: int = 3500
    reconstruction_weight: float = 16.0
    latent_noise: float = 0.3
    """Share of the posterior's noise in the latents, in training and in use; 1 in the paper."""
    memory_steps: int = 6000
    """Training steps of M in the first round."""
    memory_round_steps: int = 2500
    """Training steps of M in each later round."""
    generations: int = 60
    """Generations in each round."""
    population: int = 64
    rollouts: int = 16
    subspace: int = 64
    """Principal components of its features that C is searched in; see ``dreamgym evolve``."""
    pace_limit: float = 1.2
    """Points of progress a frame beyond which nothing counts in the fitness; see ``dreamgym evolve``."""
    validate_every: int = 20
    """Generations between looks at the real validation tracks."""
    smoothness: float = 1.0
    """Penalty on changes of the action, per unit and frame; see ``dreamgym evolve``."""
    from_zero: bool = False
    """Evolve each round's controller from zero instead of from the round before."""
    line_share: float = 0.5
    """Share of the rollouts that begin at the starting line."""
    temperature: float = 1.5
    """Temperature to evolve at."""
    stop_at: float = float("inf")
    """Stop after a round whose controller reaches this mean on the validation tracks."""
    workers: int = 2
    seed: int = 0


def _require(condition: bool, name: str, wanted: str, got: object) -> None:
    if not condition:
        raise ConfigError(f"{name}: expected {wanted}, got {got!r}")


def to_json(config: Any) -> dict[str, Any]:
    """A config dataclass as plain JSON values; paths become strings."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return value

    return {entry.name: plain(getattr(config, entry.name)) for entry in dataclasses.fields(config)}


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def claim_folder(folder: Path, config: Any, *, may_differ: tuple[str, ...] = ()) -> None:
    """Make an output folder this run's own, or go on in it if the same run began there.

    Writes ``config.json``. A folder that holds other things, or a run with another configuration, is left alone.

    Args:
        folder: the output folder.
        config: the stage's config dataclass.
        may_differ: fields that may have changed since the run began, such as the number of workers.

    Raises:
        OutputFolderError: if the folder belongs to something else.
    """
    path = folder / "config.json"
    wanted = {"stage": type(config).__name__, **to_json(config)}
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{key}: {found.get(key)!r} there, {value!r} now"
            for key, value in wanted.items()
            if key not in may_differ and key != "out" and found.get(key) != value
        ]
        if changed:
            raise OutputFolderError(
                f"{folder} holds a run with another configuration ({'; '.join(changed)}); "
                "choose another output folder, or the same configuration to go on"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise OutputFolderError(
            f"{folder} holds something else and no run's config.json; choose an empty output folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)
