"""``dreamgym collect``: recording with any player, a controller that sees through V and M among them."""

from __future__ import annotations

import functools
import time
from pathlib import Path

from dreamgym.collect.collect import PlayerFactory, collect
from dreamgym.collect.controller_player import ControllerPlayer
from dreamgym.config import CollectConfig
from dreamgym.config.recordings import CONTROLLERS
from dreamgym.data.episodes import episode_paths
from dreamgym.errors import ConfigError
from dreamgym.worlds.registry import find

__all__ = ["controller_players", "run"]


def controller_players(
    world_model: Path | None, controller: Path | None, world: str | None = None
) -> dict[str, PlayerFactory]:
    """Players made of a controller, by name.

    ``controller`` is as it is or has noise on its actions; ``disturbed_controller`` has noise on its weights as well,
    as far as the spread of a population; ``blinded_controller`` lacks some or nearly all of what it sees.

    Args:
        world_model: the bundle it sees through.
        controller: its file; the bundle's own when None.
        world: the world that the bundle must be of, by name or as ``module:OBJECT``; None for any.

    Raises:
        BundleVersionError: V and M learned from other frames or actions than the world's.
    """
    # Read here: workers may be on machines that do not have the files.
    read = ControllerPlayer(world_model, controller, world=world)
    if world is not None:
        read.world_model.require_fit(find(world))
    player = functools.partial(ControllerPlayer, read.world_model, read.controller)
    return {
        "controller": functools.partial(player, action_noise=(0.0, 0.05, 0.15)),
        "disturbed_controller": functools.partial(player, weight_noise=0.1, action_noise=(0.0, 0.05, 0.15, 0.3)),
        "blinded_controller": functools.partial(player, blindness=(0.1, 0.3, 0.6, 0.9)),
    }


def run(config: CollectConfig) -> None:
    """The command ``dreamgym collect``.

    Raises:
        ConfigError: a controller is in the mix and none was given.
    """
    factories: dict[str, PlayerFactory] = {}
    if any(config.mix.get(name, 0.0) > 0 for name in CONTROLLERS):
        if config.controller is None:
            raise ConfigError("mix: a controller plays, but none was given; add --controller FILE")
        factories = controller_players(config.world_model, config.controller, config.world)
    started = time.monotonic()
    collect(config, factories)
    shards = episode_paths(config.out)
    print(f"{len(shards)} episodes in {config.out} ({time.monotonic() - started:.0f} s)")
