"""``dreamgym collect``: recording with any driver, a controller that sees through V and M among them."""

from __future__ import annotations

import functools
import time
from pathlib import Path

from dreamgym.config import CollectConfig
from dreamgym.controller_driver import ControllerDriver
from dreamgym.episodes import episode_paths
from dreamgym.errors import ConfigError
from dreamgym.real.collect import DriverFactory, collect

__all__ = ["controller_drivers", "run"]


CONTROLLERS = ("controller", "disturbed_controller", "blinded_controller")


def controller_drivers(world_model: Path | None, controller: Path | None) -> dict[str, DriverFactory]:
    """A controller as drivers: ``controller`` as it is or with noise on its actions, ``disturbed_controller`` with
    noise on its weights as well, as far as the spread of a population, ``blinded_controller`` without some or nearly
    all of what it sees.

    Args:
        world_model: the bundle it sees through.
        controller: its file; the bundle's own when None.
    """
    driver = functools.partial(ControllerDriver, world_model, controller)
    return {
        "controller": functools.partial(driver, action_noise=(0.0, 0.05, 0.15)),
        "disturbed_controller": functools.partial(driver, weight_noise=0.1, action_noise=(0.0, 0.05, 0.15, 0.3)),
        "blinded_controller": functools.partial(driver, blindness=(0.1, 0.3, 0.6, 0.9)),
    }


def run(config: CollectConfig) -> None:
    """The command ``dreamgym collect``.

    Raises:
        ConfigError: a controller is in the mix and none was given.
    """
    factories: dict[str, DriverFactory] = {}
    if any(config.mix.get(name, 0.0) > 0 for name in CONTROLLERS):
        if config.controller is None:
            raise ConfigError("mix: a controller drives, but none was given; add --controller FILE")
        factories = controller_drivers(config.world_model, config.controller)
    started = time.monotonic()
    collect(config, factories)
    shards = episode_paths(config.out)
    print(f"{len(shards)} episodes in {config.out} ({time.monotonic() - started:.0f} s)")
