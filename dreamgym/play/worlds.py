"""The two worlds to drive in, with one face: reality as V and M see it, and the dream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym._compat import require_pygame
from dreamgym.dream.core import DreamCore
from dreamgym.dream.noise import fold_seed
from dreamgym.encoder import LatentEncoder
from dreamgym.episodes import Episode
from dreamgym.errors import DivergedError
from dreamgym.play.inside import Expectation, expectation
from dreamgym.play.saving import DriveLog
from dreamgym.real.preprocess import FRAME_SHAPE, preprocess
from dreamgym.real.world import motion
from dreamgym.world_model import WorldModel

if TYPE_CHECKING:
    import pygame

__all__ = ["DreamWorld", "Ending", "RealWorld", "World"]

Action = NDArray[np.float32]
Ending = Literal["lap", "left", "time", "lost"]
"""How a drive ended: a whole lap, off the playfield, at the step limit, or in numbers that are not finite."""

_BLACK: Final = np.zeros(FRAME_SHAPE, np.uint8)


class World:
    """What both worlds have: where the drive stands, and what M made of its last step."""

    dreamt = False

    def __init__(self, world_model: WorldModel, max_steps: int | None) -> None:
        self.world_model = world_model
        self.max_steps = max_steps
        self.picture = _BLACK
        """V's picture of the present latent, uint8 (64, 64, 3); the session keeps it up to date."""
        self.log = DriveLog()
        self._begin(0.0)
        self.begun = False
        """Whether there was ever a drive."""

    def _begin(self, progress: float, total: float = 0.0) -> None:
        self.begun = True
        self.steps = 0
        self.reward = 0.0
        self.total = total
        """The return so far."""
        self.progress = progress
        """Share of the lap made, in [0, 1]."""
        self.ended: Ending | None = None
        self.expected: Expectation | None = None

    def _count(self, reward: float, terminated: bool, lap_finished: bool) -> None:
        self.steps += 1
        self.reward = reward
        self.total += reward
        if terminated:
            self.ended = "lap" if lap_finished else "left"
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

    @property
    def lap_units(self) -> int:
        """Units of progress in a lap."""
        raise NotImplementedError

    def reset(self, seed: int) -> None:
        """Begin a drive."""
        raise NotImplementedError

    def step(self, action: Action) -> None:
        """Drive one frame with an action, float32 (3,)."""
        raise NotImplementedError

    @property
    def seen(self) -> NDArray[np.uint8]:
        """What this world shows an agent: uint8 (64, 64, 3)."""
        return self.picture

    @property
    def motion(self) -> NDArray[np.float32] | None:
        """How the car moves, where a world knows."""
        return None

    def record(self, action: Action, driver: str) -> None:
        """Put the last step into the log."""
        self.log.add(action, self.reward, self.seen, driver, self.motion)

    def episode(self) -> Episode | None:
        """The drive so far; None where there is too little of it, or it was not recorded from its beginning."""
        return self.log.episode(ended=self.ended, lap_units=self.lap_units)


class RealWorld(World):
    """CarRacing-v3, with V and M running along.

    Args:
        world_model: V and M.
        max_steps: the time limit, or None.
    """

    def __init__(self, world_model: WorldModel, max_steps: int | None = None) -> None:
        super().__init__(world_model, max_steps)
        require_pygame()
        from dreamgym.play.sharp import SharpCarRacing

        self.env = SharpCarRacing()
        self.encoder = LatentEncoder(world_model)
        self.frame = _BLACK
        """The real picture as V takes it, uint8 (64, 64, 3)."""

    def reset(self, seed: int) -> None:
        """Begin a drive on the track of a seed."""
        self.frame = preprocess(self.env.reset(seed=seed)[0])
        self.encoder.reset(self.frame[None], seeds=[seed])
        self._begin(self._share())

    def step(self, action: Action) -> None:
        """Drive one frame."""
        observation, reward, terminated, _, info = self.env.step(action)
        self.frame = preprocess(observation)
        self.encoder.step(self.frame[None], action[None])
        self._count(float(reward), bool(terminated), bool(info.get("lap_finished", False)))
        self.progress = self._share()
        memory = self.world_model.memory
        h = torch.from_numpy(self.features[memory.latent_size :])[None]
        self.expected = expectation(memory.predict(h), 1.0, self.world_model.lap_units)

    def _share(self) -> float:
        env: Any = self.env
        return float(env.tile_visited_count / max(len(env.track), 1))

    @property
    def features(self) -> NDArray[np.float32]:
        """See :class:`World`."""
        row: NDArray[np.float32] = self.encoder.features()[0]
        return row

    @property
    def lap_units(self) -> int:
        """Tiles of the track."""
        return len(self.env.track or ()) if self.begun else 0

    @property
    def seen(self) -> NDArray[np.uint8]:
        """The real picture."""
        return self.frame

    @property
    def motion(self) -> NDArray[np.float32]:
        """As recorded episodes have it, see :func:`dreamgym.real.world.motion`."""
        return motion(self.env)

    def sharp_picture(self) -> pygame.Surface:
        """What V's picture shows, as sharp as it was drawn: (1000, 700), good until the next step."""
        return self.env.sharp_picture()

    def close(self) -> None:
        """Close the environment."""
        env: Any = self.env
        env.close()


class DreamWorld(World):
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
        """Begin at the line, with the noise of a seed."""
        self.core.reset(seeds=torch.tensor([fold_seed(seed)]))
        self.from_reality = False
        self._begin(float(self.core.progress[0]))

    def follow(self, real: RealWorld, seed: int | None) -> None:
        """Begin in a real moment: its very latent, M's state as it was there, its progress and its return.

        Args:
            real: where to begin.
            seed: of the noise; None goes on with the noise of the dream before.
        """
        (z,), (h,), (c,) = (torch.from_numpy(part) for part in real.encoder.state)
        seeds = None if seed is None else torch.tensor([fold_seed(seed)])
        self.core.reset(seeds=seeds, state=(h, c), progress=real.progress)
        state = self.core.get_state()
        state["z"][0] = z
        self.core.set_state(state)
        self.from_reality = True
        self._begin(real.progress, real.total)

    def step(self, action: Action) -> None:
        """Dream one frame. Numbers that stop being finite end the drive as "lost"."""
        temperature = self.temperature
        try:
            result = self.core.step(torch.from_numpy(action)[None])
        except DivergedError:
            self.ended = "lost"
            return
        self._count(float(result.reward[0]), bool(result.terminated[0]), bool(result.lap_finished[0]))
        self.progress = float(self.core.progress[0])
        self.expected = expectation(self.core.last_prediction, temperature, self.world_model.lap_units)

    @property
    def features(self) -> NDArray[np.float32]:
        """See :class:`World`."""
        return self.core.features[0].numpy().copy()

    @property
    def lap_units(self) -> int:
        """A lap's units of progress, the mean that the card has."""
        return max(round(self.world_model.lap_units), 1)
