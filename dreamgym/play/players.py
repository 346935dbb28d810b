"""Who can play."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import BundleNotFoundError
from dreamgym.evaluate.policies import Policy, begin_episodes, load_policy
from dreamgym.play.controls import Controls
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import ActionSet

__all__ = ["Person", "Player", "PolicyPlayer", "RandomPlayer", "choose", "players"]

_HOLD: Final = (0.1, 0.8)
"""Seconds for which the random player holds its keys, at least and at most."""


class Player(Protocol):
    """Chooses actions, in reality and in the dream alike."""

    label: str
    """As the screen shows it."""
    name: str
    """As recorded episodes name it."""

    def begin(self, seed: int) -> None:
        """Take over: at the start of an episode or in the middle of one."""

    def act(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The action, float32 (A,), for z and h, float32 of shape (Z + H,)."""


@dataclass
class Person:
    """Whoever holds the keys or the gamepad; the loop says what they do."""

    action_size: int
    label: str = "You"
    name: str = "human"

    def begin(self, seed: int) -> None:
        """See :class:`Player`."""

    def act(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Nothing: a person's action does not come from features."""
        return np.zeros(self.action_size, np.float32)


@dataclass
class PolicyPlayer:
    """A controller, or an SB3 policy."""

    policy: Policy
    label: str = "Controller"
    name: str = "controller"

    def begin(self, seed: int) -> None:
        """See :class:`Player`."""
        begin_episodes(self.policy, [seed])

    def act(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Player`."""
        return np.asarray(self.policy(features[None])[0], np.float32)


class RandomPlayer:
    """A player that presses the world's keys at random.

    None, one, or two that move different numbers, for about a tenth of a second.

    Args:
        actions: the world's.
        fps: its steps a second.
    """

    label = "Random"
    name = "random_keys"

    def __init__(self, actions: ActionSet, fps: int) -> None:
        self._actions, self._fps = actions, fps
        self.begin(0)

    def begin(self, seed: int) -> None:
        """See :class:`Player`."""
        self._rng = np.random.default_rng([seed, 2])
        self._controls = Controls(self._actions)
        self._steps_left = 0

    def act(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Player`."""
        if self._steps_left <= 0:
            self._press_others()
        self._steps_left -= 1
        return self._controls.advance(1.0 / self._fps)

    def _press_others(self) -> None:
        self._steps_left = max(round(self._rng.uniform(*_HOLD) * self._fps), 1)
        self._controls.release_all()
        taken: set[int] = set()
        for index in self._rng.permutation(len(self._actions.keys))[: self._rng.integers(3)].tolist():
            number = self._actions.keys[index].number
            if number not in taken:
                self._controls.press(index)
                taken.add(number)


def players(
    world_model: WorldModel,
    controller: Path | None = None,
    *,
    trust_pickle: bool = False,
    vec_normalize: Path | None = None,
) -> list[Player]:
    """Everyone who can play, in the order that the key goes through them.

    Args:
        world_model: whose own controller can play, if it has one.
        controller: a controller's file or an SB3 archive, which then comes before the bundle's own.
        trust_pickle: whether an archive may be unpickled.
        vec_normalize: statistics that an archive's observations were normalized with.

    Raises:
        BundleError, UntrustedPickleError: as :func:`dreamgym.evaluate.policies.load_policy`.
    """
    actions = world_model.actions
    found: list[Player] = [Person(actions.size)]
    if controller is not None or vec_normalize is not None:
        policy = load_policy(controller, world_model, trust_pickle=trust_pickle, vec_normalize=vec_normalize)
    if controller is not None:
        name = controller.absolute().parent.name if controller.stem == "controller" else controller.stem
        found.append(PolicyPlayer(policy, name[:14], name))
    if world_model.controller is not None:
        found.append(PolicyPlayer(world_model.controller))
    return [*found, RandomPlayer(actions, world_model.fps)]


def choose(found: Sequence[Player], wanted: str) -> int:
    """The index of the first player of a kind: "you", "controller" or "random".

    Raises:
        BundleNotFoundError: there is no controller.
    """
    kind = {"you": Person, "controller": PolicyPlayer, "random": RandomPlayer}[wanted]
    for index, player in enumerate(found):
        if isinstance(player, kind):
            return index
    raise BundleNotFoundError(
        "expected a controller to play; the world model has none of its own: name a file with --controller"
    )
