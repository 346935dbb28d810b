"""Who can sit at the wheel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import BundleNotFoundError
from dreamgym.evaluate.policies import Policy, begin_episodes, load_policy
from dreamgym.real.drivers import SmoothRandom
from dreamgym.world_model import WorldModel

__all__ = ["Driver", "Person", "PolicyDriver", "RandomDriver", "choose", "drivers"]


class Driver(Protocol):
    """Chooses actions, in reality and in the dream alike."""

    label: str
    """As the screen shows it."""
    name: str
    """As recorded episodes name it."""

    def begin(self, seed: int) -> None:
        """Take the wheel: at the start of a drive or in the middle of one."""

    def act(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The action, float32 (3,), for z and h, float32 of shape (Z + H,)."""


@dataclass
class Person:
    """Whoever holds the keys or the gamepad; the loop says what they do."""

    label: str = "You"
    name: str = "human"

    def begin(self, seed: int) -> None:
        """See :class:`Driver`."""

    def act(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Nothing: a person's action does not come from features."""
        return np.zeros(3, np.float32)


@dataclass
class PolicyDriver:
    """A controller, or an SB3 policy."""

    policy: Policy
    label: str = "Controller"
    name: str = "controller"

    def begin(self, seed: int) -> None:
        """See :class:`Driver`."""
        begin_episodes(self.policy, [seed])

    def act(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Driver`."""
        return np.asarray(self.policy(features[None])[0], np.float32)


class RandomDriver:
    """Smooth random controls, as in the data that V and M learned from."""

    label = "Random"
    name = "smooth_random"

    def __init__(self) -> None:
        self._walk = SmoothRandom()

    def begin(self, seed: int) -> None:
        """See :class:`Driver`."""
        self._walk.reset(None, np.random.default_rng([seed, 2]))

    def act(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Driver`."""
        return self._walk.act(np.empty(0, np.uint8))  # it does not look


def drivers(world_model: WorldModel, controller: Path | None = None, *, trust_pickle: bool = False) -> list[Driver]:
    """Everyone who can drive, in the order that the key goes through them.

    Args:
        world_model: whose own controller can drive, if it has one.
        controller: a controller's file or an SB3 archive, which then comes before the bundle's own.
        trust_pickle: whether an archive may be unpickled.

    Raises:
        BundleError, UntrustedPickleError: as :func:`dreamgym.evaluate.policies.load_policy`.
    """
    found: list[Driver] = [Person()]
    if controller is not None:
        policy = load_policy(controller, world_model, trust_pickle=trust_pickle)
        name = controller.absolute().parent.name if controller.stem == "controller" else controller.stem
        found.append(PolicyDriver(policy, name[:14], name))
    if world_model.controller is not None:
        found.append(PolicyDriver(world_model.controller))
    return [*found, RandomDriver()]


def choose(found: Sequence[Driver], wanted: str) -> int:
    """The index of the first driver of a kind: "you", "controller" or "random".

    Raises:
        BundleNotFoundError: there is no controller.
    """
    kind = {"you": Person, "controller": PolicyDriver, "random": RandomDriver}[wanted]
    for index, driver in enumerate(found):
        if isinstance(driver, kind):
            return index
    raise BundleNotFoundError(
        "expected a controller to drive; the world model has none of its own: name a file with --controller"
    )
