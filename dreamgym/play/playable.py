"""What can be played in, with one face: reality as V and M see it, and the dream."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.data.episodes import Episode
from dreamgym.dream.core import DreamCore
from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.dream.noise import fold_seed
from dreamgym.errors import ConfigError, DivergedError
from dreamgym.memory.mdn_rnn import Prediction
from dreamgym.memory.mixture import mixture_moments
from dreamgym.play.episode_log import EpisodeLog
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import FRAME_SHAPE, RewardRule, World

__all__ = ["Ending", "Expectation", "Playable", "PlayableDream", "PlayableReality", "expectation"]

Action = NDArray[np.float32]
Ending = Literal["complete", "failed", "time", "lost"]
"""How an episode ended: complete, otherwise ended by the world, at the step limit, in numbers that are not finite."""


class Expectation(NamedTuple):
    """What M says of one step."""

    mean: NDArray[np.float32]
    """Of the mixtures over the latents at the temperature, (Z,)."""
    spread: NDArray[np.float32]
    """Their standard deviation, (Z,)."""
    reward: float
    """By the world's rule, where the step does not end the episode."""
    end: float
    """Probability that the step ends the episode otherwise than by its completion."""


@torch.no_grad()
def expectation(prediction: Prediction, temperature: float, rewards: RewardRule) -> Expectation:
    """The prediction for a single row.

    Args:
        prediction: as the dream's step gives it, leading dimension 1.
        temperature: logits are divided by it, and each sigma multiplied by its square root.
        rewards: the world's rule.
    """
    mixture = prediction.mixture[0].clone()  # (3, K, Z)
    mixture[0] /= temperature
    common = prediction.loadings[0].square().sum(dim=0)  # the common factors' part of each latent's variance, (Z,)
    mixture[2] += 0.5 * (math.log(temperature) + torch.log1p(common))
    mean, variance = mixture_moments(mixture)
    return Expectation(
        mean.numpy(),
        variance.clamp_min(0.0).sqrt().numpy(),
        float(rewards.expected(prediction.reward[0])),
        float(torch.sigmoid(prediction.termination_logit[0])),
    )


class Playable:
    """What reality and the dream have in common.

    Where the episode stands, and what M predicted of its last step.

    Args:
        world_model: V and M.
        max_steps: the time limit, or None.
    """

    dreamt = False

    def __init__(self, world_model: WorldModel, max_steps: int | None) -> None:
        self.world_model = world_model
        self.rewards = world_model.rewards
        self.max_steps = max_steps
        self.picture = np.zeros(FRAME_SHAPE, np.uint8)
        """V's picture of the present latent, uint8 (64, 64, 3); the session keeps it up to date."""
        self.log = EpisodeLog()
        self._begin(0.0)
        self.begun = False
        """Whether there was ever an episode."""
        self.seed = 0
        """Of the episode; a dream that began in reality has reality's."""

    def _begin(self, progress: float, total: float = 0.0) -> None:
        self.begun = True
        self.steps = 0
        self.reward = 0.0
        self.total = total
        """The return so far."""
        self.progress = progress
        """Share of what completes an episode, in [0, 1]; 0 in a world without."""
        self.ended: Ending | None = None
        self.expected: Expectation | None = None

    def _count(self, reward: float, terminated: bool, complete: bool) -> None:
        self.steps += 1
        self.reward = reward
        self.total += reward
        if terminated:
            self.ended = "complete" if complete else "failed"
        elif self.max_steps is not None and self.steps >= self.max_steps:
            self.ended = "time"

    @property
    def z(self) -> NDArray[np.float32]:
        """The latent, float32 (Z,), a copy."""
        return self.features[: self.world_model.memory.latent_size]

    @property
    def features(self) -> NDArray[np.float32]:
        """z and h, float32 (Z + H,), a copy."""
        raise NotImplementedError

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        raise NotImplementedError

    def step(self, action: Action) -> None:
        """Advance by one step with an executed action, float32 (A,)."""
        raise NotImplementedError

    def start_log(self) -> None:
        """Record from here on."""
        self.log.begin(self.picture, self.seed)

    def record(self, action: Action, player: str) -> None:
        """Put the last step into the log."""
        self.log.add(action, self.reward, self.picture, player)

    def episode(self) -> Episode | None:
        """The episode so far, as training data.

        None where there is too little of it, or it was not recorded from its beginning.
        """
        return self.log.episode(
            ended=self.ended,
            total_units=self.rewards.unit,
            world=self.world_model.world_name,
            versions={"preprocess": self.world_model.preprocess_version},
        )


class PlayableReality(Playable):
    """The real environment, with V and M running along.

    It is made when its first episode begins.

    Args:
        world_model: V and M.
        world: the description of the environment; None where it is not known here.
        max_steps: the time limit, or None.
    """

    def __init__(self, world_model: WorldModel, world: World | None, max_steps: int | None = None) -> None:
        super().__init__(world_model, max_steps)
        self._world = world
        self._env: Any = None
        self.encoder = LatentEncoder(world_model, preprocessed=True)
        self.frame = self.picture
        """The real picture as V takes it, uint8 (64, 64, 3)."""
        self._raw: NDArray[np.uint8] | None = None

    @property
    def world(self) -> World:
        """The description of the environment.

        Raises:
            ConfigError: it is not known here.
        """
        if self._world is None:
            name = self.world_model.world_name
            raise ConfigError(
                f"the real {name} is not known here, only its dream: name its description with --world module:OBJECT, "
                "or play with --view dream"
            )
        return self._world

    @property
    def env(self) -> Any:
        """The environment, without a time limit.

        Raises:
            BundleVersionError: V and M learned from other frames or actions.
            ConfigError: its description is not known here.
            InstallationError: what it needs is not installed.
        """
        if self._env is None:
            self.world_model.require_fit(self.world)
            self._env = self.world.make_env(max_episode_steps=None, continuous=self.world.actions.box)
        return self._env

    def _see(self, raw: NDArray[np.uint8]) -> None:
        self._raw, self.frame = raw, self.world.preprocess(raw)

    def reset(self, seed: int) -> None:
        """Begin the episode of a seed."""
        self.seed = seed
        self._see(self.env.reset(seed=seed)[0])
        self.encoder.reset(self.frame[None], seeds=[seed])
        self._begin(self._made())

    def step(self, action: Action) -> None:
        """Advance by one frame."""
        raw, reward, terminated, _, info = self.env.step(self.world.actions.as_given(action))
        self._see(raw)
        self.encoder.step(self.frame[None], action[None])
        self._count(float(reward), bool(terminated), self.rewards.completed(info))
        self.progress = self._made()
        self.expected = expectation(self.encoder.prediction(), 1.0, self.rewards)

    def _made(self) -> float:
        """The share made so far."""
        made, total = self.world.progress_made(self.env)
        return made / max(total, 1.0)

    @property
    def features(self) -> NDArray[np.float32]:
        """See :class:`Playable`."""
        row: NDArray[np.float32] = self.encoder.features()[0]
        return row

    @property
    def view(self) -> NDArray[np.uint8]:
        """What V's picture shows, as sharp as there is.

        uint8 (height, width, 3); good until the next step.
        """
        if self._raw is None or self.world.picture is None:
            return self.frame
        return self.world.picture(self.env, self._raw)

    def start_log(self) -> None:
        """Record from here on, with what the simulator says."""
        record = self.world.labels.record
        self.log.begin(self.frame, self.seed, None if record is None else record(self.env))

    def record(self, action: Action, player: str) -> None:
        """Put the last step into the log."""
        self.log.add(action, self.reward, self.frame, player)

    def episode(self) -> Episode | None:
        """See :class:`Playable`."""
        if not self.begun:
            return None
        units = self.world.labels.total_units
        return self.log.episode(
            ended=self.ended,
            total_units=self.rewards.unit if units is None else units(self.env),
            world=self.world.name,
            versions=self.world.recorded_versions(),
        )

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()


class PlayableDream(Playable):
    """The dream, in a batch of one.

    Args:
        world_model: V, M and the start states.
        temperature: None for the card's.
        max_steps: the time limit, or None.
    """

    dreamt = True

    def __init__(self, world_model: WorldModel, temperature: float | None = None, max_steps: int | None = None) -> None:
        super().__init__(world_model, max_steps)
        self.core = DreamCore(world_model, 1, temperature=temperature, max_episode_steps=None)
        self.from_reality = False
        """Whether this dream began in a real moment."""

    @property
    def temperature(self) -> float:
        """How uncertain the dream is; holds from the next step on."""
        return float(self.core.temperature[0])

    @temperature.setter
    def temperature(self, value: float) -> None:
        self.core.set_temperature(value)

    def reset(self, seed: int) -> None:
        """Begin at the start, with the noise of a seed."""
        self.seed = seed
        self.core.reset(seeds=torch.tensor([fold_seed(seed)]))
        self.from_reality = False
        self._begin(float(self.core.progress[0]))

    def follow(self, real: PlayableReality, seed: int | None) -> None:
        """Begin in a real moment.

        With its latent, M's state, its progress and its return.

        Args:
            real: where to begin.
            seed: of the noise; None goes on with the noise of the dream before.
        """
        self.seed = real.seed
        (z,), (h,), (c,) = (torch.from_numpy(part) for part in real.encoder.state)
        seeds = None if seed is None else torch.tensor([fold_seed(seed)])
        self.core.reset(seeds=seeds, state=(h, c), progress=real.progress)
        state = self.core.get_state()
        state["z"][0] = z
        self.core.set_state(state)
        self.from_reality = True
        self._begin(real.progress, real.total)

    def step(self, action: Action) -> None:
        """Dream one frame. Numbers that stop being finite end the episode as "lost"."""
        temperature = self.temperature
        try:
            result = self.core.step(torch.from_numpy(action)[None])
        except DivergedError:
            self.ended = "lost"
            return
        self._count(float(result.reward[0]), bool(result.terminated[0]), bool(result.complete[0]))
        self.progress = float(self.core.progress[0])
        self.expected = expectation(self.core.last_prediction, temperature, self.rewards)

    @property
    def features(self) -> NDArray[np.float32]:
        """See :class:`Playable`."""
        return self.core.features[0].numpy().copy()
