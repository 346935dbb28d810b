"""What is done with a world model and its controller: evaluate, fidelity, demo, play, export, web."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dreamgym.config.bundles import WorldSettings
from dreamgym.config.checks import require, require_positive, require_seed
from dreamgym.config.workers import WorkerSettings

__all__ = ["DemoConfig", "EvaluateConfig", "ExportConfig", "FidelityConfig", "PlayConfig", "WebConfig"]


@dataclass(frozen=True)
class EvaluateConfig(WorldSettings, WorkerSettings):
    """Score a controller in reality and in the dream.

    Or one of the world's own players in reality.
    """

    controller: Path | None = None
    """A controller's safetensors file, or an SB3 archive with --trust-pickle; the bundle's own when not given."""
    player: str | None = None
    """One of the world's own players instead of a controller; it needs no bundle, and plays in reality alone."""
    episodes: int = 100
    """Real episodes to play; 0 for none."""
    dream_episodes: int | None = None
    """Dreams to play; 0 for none. When not given, 100 of a controller."""
    first_seed: int | None = None
    """First seed of the real episodes; the test seeds, from 30000 on, when not given."""
    temperature: float | None = None
    latent: Literal["sample", "mean"] = "sample"
    exact_drawing: bool = True
    """Draw with the world's exact fast drawing, if any; the environment's own with --no-exact-drawing."""
    out: Path | None = None
    """JSON file for the report; OUT.part beside it keeps what was played until then. When not given:
    evaluation-CONTROLLER.json, or where that is of another player, world model or settings, the first such name with
    a number that is free."""
    trust_pickle: bool = False
    """Unpickle an SB3 archive, which runs code of its author's choosing."""
    vec_normalize: Path | None = None
    """For an SB3 policy trained behind VecNormalize, the statistics that its save wrote; unpickled as well."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_workers()


@dataclass(frozen=True)
class FidelityConfig(WorldSettings, WorkerSettings):
    """Measure how far the dream and reality agree."""

    out: Path = Path("runs/fidelity")
    """Folder for the report and plots."""
    episodes: int = 8
    """Real episodes of a policy."""
    dream_episodes: int = 64
    """Dreams of a policy, at each temperature."""
    bad_episodes: int = 32
    """Real episodes of a policy that should score at the minimum; more, since a dream may pay it a point too much."""
    bad_dream_episodes: int = 1024
    """Its dreams, at the default temperature."""
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.3)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_workers()


@dataclass(frozen=True)
class DemoConfig(WorldSettings):
    """Evolve a controller in the dream, then play reality with it."""

    out: Path = Path("dreamgym-demo")
    """Folder for the video, the GIF and the controller."""
    seconds: float = 120.0
    """How long to evolve."""
    episodes: int = 4
    """Real episodes to play with each controller."""
    seed: int = 0
    workers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "workers")
        require_seed(self)


@dataclass(frozen=True)
class PlayConfig(WorldSettings):
    """Play by hand: in reality, in the dream, or from one into the other."""

    controller: Path | None = None
    """A player to take turns with, a controller's file or an SB3 archive; the bundle's own when not given."""
    record: Path | None = None
    """Write an MP4 or GIF without opening a window."""
    frames: int = 500
    """Length of the recording, at the world's frames a second."""
    press: tuple[str, ...] = ()
    """Keys pressed in the recording, each FRAME:KEY, for instance 150:space 300:space."""
    player: Literal["you", "controller", "random"] | None = None
    """Who plays first; you in a window and the controller in a recording when not given."""
    view: Literal["dream", "reality", "both"] = "both"
    """What to show and play first."""
    temperature: float | None = None
    """Of the dream, 0.05 to 2; the card's when not given."""
    max_steps: int | None = None
    """Steps an episode may take; no limit when not given."""
    size: tuple[int, int] | None = None
    """Width and height of the window or recording, pixels; fitted to the screen when not given."""
    out: Path = Path("dreamgym-play")
    """Folder for images, videos and episodes that are saved by a key."""
    save_episodes: Path | None = None
    """Folder where every episode is saved as training data: real ones in it, dreams in its folder dreams."""
    seed: int | None = None
    """Decides the real episode and the dream; drawn afresh when not given."""
    trust_pickle: bool = False
    """Unpickle an SB3 archive, which runs code of its author's choosing."""
    vec_normalize: Path | None = None
    """Statistics that an SB3 archive's observations were normalized with; unpickled, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.frames > 0, "frames", "a positive number", self.frames)
        require(
            self.record is None or self.record.suffix.lower() in (".mp4", ".gif"),
            "record",
            "a file name ending in .mp4 or .gif",
            str(self.record),
        )
        require(
            self.temperature is None or 0.05 <= self.temperature <= 2.0, "temperature", "0.05 to 2", self.temperature
        )
        require(self.max_steps is None or self.max_steps > 0, "max_steps", "a positive number", self.max_steps)
        require(
            self.size is None or (320 <= self.size[0] <= 7680 and 180 <= self.size[1] <= 4320),
            "size",
            "320x180 to 7680x4320 pixels",
            self.size,
        )
        if self.seed is not None:
            require_seed(self)


@dataclass(frozen=True)
class ExportConfig(WorldSettings):
    """Write a world model for runtimes that have no torch.

    M's step, V's decoder and encoder, C, and start states.
    """

    format: Literal["onnx"] = "onnx"
    out: Path = Path("dream-onnx")
    """Folder for the files."""
    half: bool = False
    """Store weights in float16: half the size, and pictures differ by a level of 255 in places."""


@dataclass(frozen=True)
class WebConfig(WorldSettings):
    """Make a page on which anyone plays in the dream, without a server."""

    out: Path = Path("dream.html")
    """One file that opens by double click; or, for a web server, a folder (a name that does not end in .html)."""
