"""The policies that dream and reality are compared on: fixed beforehand, from good to hopeless.

Most are one controller with handicaps that cost more or less; the world's probes do what a dream must never reward.
All are a function of an episode's seed and of what is seen, and can be sent to other processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamgym.controller.linear import LinearController
from dreamgym.evaluate.policies import Policy, begin_episodes
from dreamgym.worlds.base import ActionSet, World

__all__ = ["Handicapped", "Scripted", "disturbed", "fixed_policies", "probe_policies"]

Actions = NDArray[np.float32]

_WEIGHT_NOISE = (0.03, 0.06, 0.12, 0.25, 0.5)
_ACTION_NOISE = (0.05, 0.1, 0.2, 0.4)
_DELAYS = (1, 2, 4, 8)
_INERTIA = (0.5, 0.8)
_RANDOM_WEIGHTS = 0.2
"""Standard deviation of a random controller's parameters."""


class Handicapped:
    """A policy whose actions are changed on their way to the world.

    Args:
        policy: what acts.
        actions: the world's, whose range the changed actions are clipped to.
        scale: factors of the action's numbers, (A,); 1 when None.
        offset: added after that, (A,); 0 when None.
        delay: steps until an action takes effect; before that, all numbers are 0.
        noise: standard deviation of white noise, drawn from each episode's seed, as a share of the largest number.
        inertia: share of the last action that is kept, in [0, 1).
    """

    def __init__(
        self,
        policy: Policy,
        actions: ActionSet,
        *,
        scale: Sequence[float] | None = None,
        offset: Sequence[float] | None = None,
        delay: int = 0,
        noise: float = 0.0,
        inertia: float = 0.0,
    ) -> None:
        self._policy = policy
        self._low, self._high = (np.array(end, np.float32) for end in (actions.low, actions.high))
        self._scale = np.ones_like(self._low) if scale is None else np.array(scale, np.float32)
        self._offset = np.zeros_like(self._low) if offset is None else np.array(offset, np.float32)
        self._delay, self._inertia = delay, inertia
        self._noise = np.float32(noise) * np.maximum(np.abs(self._low), np.abs(self._high))
        self.reset([])

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin episodes, one a row; see :class:`~dreamgym.evaluate.policies.Policy`."""
        begin_episodes(self._policy, seeds)
        still = np.zeros((len(seeds), len(self._low)), np.float32).clip(self._low, self._high)
        self._waiting = [still] * self._delay
        self._last = still
        self._generators = [np.random.default_rng([0xAC, seed]) for seed in seeds]

    def __call__(self, observation: NDArray[np.float32]) -> Actions:
        """Actions, (B, A), for features, (B, Z + H)."""
        action = self._policy(observation) * self._scale + self._offset
        if self._noise.any():
            noise = [generator.standard_normal(len(self._low), dtype=np.float32) for generator in self._generators]
            action = action + self._noise * np.stack(noise)
        action = self._inertia * self._last + (1.0 - self._inertia) * np.clip(action, self._low, self._high)
        self._last = action.astype(np.float32)
        self._waiting = [*self._waiting, self._last]
        return self._waiting.pop(0)


class Scripted:
    """Does the same whatever it sees.

    Args:
        parts: pairs of a number of steps and an action; the last action is held from then on.
    """

    def __init__(self, *parts: tuple[int, tuple[float, ...]]) -> None:
        self._actions = np.repeat([action for _, action in parts], [steps for steps, _ in parts], axis=0)
        self._step = 0

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin at the first part."""
        self._step = 0

    def __call__(self, observation: NDArray[np.float32]) -> Actions:
        """Actions, (B, A)."""
        action = self._actions[min(self._step, len(self._actions) - 1)].astype(np.float32)
        self._step += 1
        return np.tile(action, (len(observation), 1))


def probe_policies(world: World) -> dict[str, Policy]:
    """The world's scripted policies that should score at the minimum, by name."""
    return {name: Scripted(*parts) for name, parts in world.probes.items()}


def disturbed(controller: LinearController, share: float, seed: int) -> LinearController:
    """The controller with normal noise on every parameter, ``share`` of the parameters' root mean square."""
    parameters = controller.parameters.astype(np.float64)
    noise = np.random.default_rng([0xF1DE, seed]).standard_normal(len(parameters))
    return controller.with_parameters(parameters + share * np.sqrt(np.mean(parameters**2)) * noise)


def fixed_policies(controller: LinearController, world: World, latent_size: int) -> dict[str, Policy]:
    """All policies by name, the probes last.

    Args:
        controller: what most of them are made from.
        world: its actions, handicaps and probes.
        latent_size: how many of the features are z.
    """
    actions = world.actions
    found: dict[str, Policy] = {"controller": controller}
    for share in _WEIGHT_NOISE:
        for seed, letter in enumerate("ab"):
            found[f"weights disturbed {share:.0%} {letter}"] = disturbed(controller, share, seed)
    for noise in _ACTION_NOISE:
        found[f"action noise {noise:g}"] = Handicapped(controller, actions, noise=noise)
    for delay in _DELAYS:
        found[f"delay {delay}"] = Handicapped(controller, actions, delay=delay)
    for inertia in _INERTIA:
        found[f"inertia {inertia:g}"] = Handicapped(controller, actions, inertia=inertia)
    for each in world.fidelity.handicaps:
        found[each.name] = Handicapped(controller, actions, scale=each.scale, offset=each.offset)
    forgetful = controller.parameters.copy()
    outputs = len(controller.bias)
    forgetful[:-outputs].reshape(outputs, -1)[:, latent_size:] = 0.0
    found["sees no h"] = controller.with_parameters(forgetful)
    for seed, letter in enumerate("ab"):
        weights = np.random.default_rng([0x2A4D, seed]).normal(0.0, _RANDOM_WEIGHTS, len(forgetful))
        found[f"random linear {letter}"] = controller.with_parameters(weights)
    return {**found, **probe_policies(world)}
