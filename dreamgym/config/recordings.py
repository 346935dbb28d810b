"""Which episodes are recorded: ``dreamgym collect``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dreamgym.config.checks import name_world, require
from dreamgym.config.workers import WorkerSettings
from dreamgym.worlds.base import Recording, World
from dreamgym.worlds.registry import DEFAULT, find

__all__ = ["CONTROLLERS", "CollectConfig", "default_own_recording", "default_recordings"]

CONTROLLERS: Final = ("controller", "disturbed_controller", "blinded_controller")
"""Players of every world: a controller that sees through V and M, as it is or disturbed."""
_OWN: Final = "own"
"""The name of a world's recording with a controller."""


def default_recordings(world: World) -> dict[str, Recording]:
    """What is recorded before there is a controller, by name.

    By all players of the world alike, where its description does not say.

    Raises:
        ConfigError: the world has no players.
    """
    if world.recordings:
        return dict(world.recordings)
    require(bool(world.players), "players", f"players in the description of {world.name}, to record data", None)
    return {
        "scripted": Recording(mix=dict.fromkeys(world.players, 1.0), frames=300_000, lengths=(world.max_episode_steps,))
    }


def default_own_recording(world: World) -> Recording:
    """What is recorded of a world with a controller of its own."""
    return world.own_recording or Recording(
        mix={"controller": 0.5, "disturbed_controller": 0.5}, frames=80_000, lengths=(world.max_episode_steps,)
    )


def _recording(world: World, name: str | None) -> dict[str, Any]:
    """Settings of one of a world's recordings, or its first one's players and lengths.

    The mix has a share of 0 for all other players.

    Raises:
        ConfigError: there is no such recording.
    """
    known = default_recordings(world)
    first = next(iter(known))
    known |= {_OWN: default_own_recording(world)}
    require(name is None or name in known, "recording", f"one of {[*known]}", name)
    found = known[name or first]
    mix = dict.fromkeys((*world.players, *CONTROLLERS), 0.0) | found.mix
    chosen = {"recording": name, "frames": found.frames, "patience": found.patience} if name else {}
    return {**chosen, "mix": mix, "lengths": found.lengths}


@dataclass(frozen=True, kw_only=True)
class CollectConfig(WorkerSettings, Recording):
    """Record real episodes.

    Players and lengths are the world's own where they are not given. In Python, CollectConfig.of gives them.
    """

    out: Path
    """Folder for the episodes."""
    world: str = DEFAULT
    """The world to record: a name, or module:OBJECT for one of your own."""
    recording: str | None = None
    """One of the world's recordings, by its name, whose settings hold where no others are given; own for that of a
    controller. When not given, the first one's players and lengths."""
    mix: dict[str, float] = field(default_factory=lambda: dict(_recording(find(), None)["mix"]))
    """Share of the episodes that each player records."""
    frames: int = 300_000
    """Time limits of the planned episodes, added up: fewer frames are recorded where episodes end sooner."""
    lengths: tuple[int, ...] = field(default_factory=lambda: tuple(_recording(find(), None)["lengths"]))
    """Time limits of episodes, one drawn for each."""
    controller: Path | None = None
    """A controller's file, for the players controller, disturbed_controller and blinded_controller."""
    world_model: Path | None = None
    """The bundle that the controller sees through; the package's own when not given."""
    seed: int = 0
    """Decides the environment's episodes and every player's choices."""

    @classmethod
    def of(cls, world: str | None = None, recording: str | None = None, **settings: Any) -> CollectConfig:
        """Settings with a world's own where they are not given.

        Args:
            world: its name, or module:OBJECT; None for the default one.
            recording: one of its recordings; None for the first one's players and lengths.
            settings: the other fields.

        Raises:
            ConfigError: an unknown world or recording, or a setting out of range.
        """
        return cls(**{**_recording(find(world), recording), "world": world or DEFAULT, **settings})

    def __post_init__(self) -> None:
        super().__post_init__()
        name_world(self)
        self._require_workers()
        require(0 <= self.seed < 900, "seed", "0 to 899", self.seed)
        known = {*find(self.world).players, *CONTROLLERS}
        unknown = sorted({name for name, share in self.mix.items() if share > 0} - known)
        require(not unknown, "mix", f"players of {self.world}, {sorted(known)}", unknown)
