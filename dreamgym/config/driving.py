"""What is done with a world model and its driver: evaluate, fidelity, demo, play."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dreamgym.config.checks import require

__all__ = ["DemoConfig", "EvaluateConfig", "FidelityConfig", "PlayConfig"]


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
    """JSON file for the report. When not given: evaluation-CONTROLLER.json, or where that is of another driver, world
    model or settings, the first such name with a number that is free."""
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
    bad_episodes: int = 32
    """Real tracks of a policy that must earn nothing: what a dream pays it too much may be a point or two."""
    bad_dream_episodes: int = 1024
    """Its dreams, at the default temperature."""
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
        require(self.seed is None or self.seed >= 0, "seed", "0 or more", self.seed)
