"""The policies that dream and reality are compared on: fixed beforehand, from good to hopeless.

Most are one controller, handicapped in ways that cost more or less; the scripted ones do what must never pay in a
dream. All are a function of an episode's seed and of what is seen, and can be sent to other processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamgym.control.linear import LinearController
from dreamgym.evaluate.policies import Policy, begin_episodes
from dreamgym.real.world import CAR_RACING

__all__ = ["Handicapped", "Scripted", "bad_policies", "disturbed", "fixed_policies"]

Actions = NDArray[np.float32]
Triple = tuple[float, float, float]
_LOW, _HIGH = (np.array(end, np.float32) for end in (CAR_RACING.action_low, CAR_RACING.action_high))


class Handicapped:
    """A policy whose actions are changed on their way to the car.

    Args:
        policy: what drives.
        scale: factors of steer, gas and brake.
        offset: added after that.
        delay: frames until an action takes effect.
        noise: standard deviation of white noise on the action, drawn from each episode's seed.
        inertia: share of the last action that is kept, in [0, 1).
    """

    def __init__(
        self,
        policy: Policy,
        *,
        scale: Triple = (1.0, 1.0, 1.0),
        offset: Triple = (0.0, 0.0, 0.0),
        delay: int = 0,
        noise: float = 0.0,
        inertia: float = 0.0,
    ) -> None:
        self._policy = policy
        self._scale, self._offset = np.array(scale, np.float32), np.array(offset, np.float32)
        self._delay, self._noise, self._inertia = delay, noise, inertia
        self.reset([])

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin episodes, one a row; see :class:`~dreamgym.evaluate.policies.Policy`."""
        begin_episodes(self._policy, seeds)
        still = np.zeros((len(seeds), 3), np.float32)
        self._waiting = [still] * self._delay
        self._last = still
        self._generators = [np.random.default_rng([0xAC, seed]) for seed in seeds]

    def __call__(self, observation: NDArray[np.float32]) -> Actions:
        """Actions, (B, 3), for features, (B, 288)."""
        action = self._policy(observation) * self._scale + self._offset
        if self._noise:
            noise = [generator.standard_normal(3, dtype=np.float32) for generator in self._generators]
            action = action + np.float32(self._noise) * np.stack(noise)
        action = self._inertia * self._last + (1.0 - self._inertia) * np.clip(action, _LOW, _HIGH)
        self._last = action.astype(np.float32)
        self._waiting = [*self._waiting, self._last]
        return self._waiting.pop(0)


class Scripted:
    """Does the same whatever it sees.

    Args:
        parts: pairs of a number of frames and an action; the last action is held from then on.
    """

    def __init__(self, *parts: tuple[int, Triple]) -> None:
        self._actions = np.repeat([action for _, action in parts], [frames for frames, _ in parts], axis=0)
        self._step = 0

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin at the first part."""
        self._step = 0

    def __call__(self, observation: NDArray[np.float32]) -> Actions:
        """Actions, (B, 3)."""
        action = self._actions[min(self._step, len(self._actions) - 1)].astype(np.float32)
        self._step += 1
        return np.tile(action, (len(observation), 1))


def bad_policies() -> dict[str, Policy]:
    """Scripted drivers that reality pays next to nothing, by name."""
    return {
        "still": Scripted((1, (0.0, 0.0, 0.0))),
        "spin": Scripted((1, (1.0, 1.0, 0.0))),
        "circle": Scripted((1, (-0.4, 0.3, 0.0))),
        # There is no reverse gear: the car turns round and creeps back.
        "reverse": Scripted((20, (0.0, 0.5, 0.0)), (80, (1.0, 0.3, 0.0)), (1, (0.0, 0.1, 0.0))),
        "wait off the road": Scripted((90, (0.3, 1.0, 0.0)), (60, (0.0, 0.0, 1.0)), (1, (0.0, 0.0, 0.0))),
        "straight on": Scripted((1, (0.0, 1.0, 0.0))),
    }


def disturbed(controller: LinearController, share: float, seed: int) -> LinearController:
    """The controller with normal noise on every parameter, ``share`` of the parameters' root mean square."""
    parameters = controller.parameters.astype(np.float64)
    noise = np.random.default_rng([0xF1DE, seed]).standard_normal(len(parameters))
    return LinearController.from_parameters(parameters + share * np.sqrt(np.mean(parameters**2)) * noise)


def fixed_policies(controller: LinearController, latent_size: int = 32) -> dict[str, Policy]:
    """All policies by name, the bad ones last.

    Args:
        controller: what most of them are made from.
        latent_size: how many of the features are z.
    """
    found: dict[str, Policy] = {"controller": controller}
    for share in (0.03, 0.06, 0.12, 0.25, 0.5):
        for seed, letter in enumerate("ab"):
            found[f"weights disturbed {share:.0%} {letter}"] = disturbed(controller, share, seed)
    for noise in (0.05, 0.1, 0.2, 0.4):
        found[f"action noise {noise:g}"] = Handicapped(controller, noise=noise)
    for delay in (1, 2, 4, 8):
        found[f"delay {delay}"] = Handicapped(controller, delay=delay)
    for gas in (0.75, 0.5, 0.25):
        found[f"gas {gas:.0%}"] = Handicapped(controller, scale=(1.0, gas, 1.0))
    for steer in (0.75, 0.5):
        found[f"steering {steer:.0%}"] = Handicapped(controller, scale=(steer, 1.0, 1.0))
    for pull in (0.1, 0.3):
        found[f"pulls right {pull:g}"] = Handicapped(controller, offset=(pull, 0.0, 0.0))
    for inertia in (0.5, 0.8):
        found[f"inertia {inertia:g}"] = Handicapped(controller, inertia=inertia)
    found["no brake"] = Handicapped(controller, scale=(1.0, 1.0, 0.0))
    forgetful = controller.weights.copy()
    forgetful[:, latent_size:] = 0.0
    found["sees no h"] = LinearController(forgetful, controller.bias)
    for seed, letter in enumerate("ab"):
        weights = np.random.default_rng([0x2A4D, seed]).normal(0.0, 0.2, len(controller.parameters))
        found[f"random linear {letter}"] = LinearController.from_parameters(weights)
    return {**found, **bad_policies()}
