"""The game itself, without a window: which worlds are driven, by whom, and what each command does."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import torch

from dreamgym.dream.rendering import decode_frames
from dreamgym.play.clock import Clock
from dreamgym.play.drivers import Driver, Person
from dreamgym.play.inside import Reading, read
from dreamgym.play.saving import EpisodeFolder
from dreamgym.play.worlds import Action, DreamWorld, RealWorld, World
from dreamgym.real.world import CAR_RACING
from dreamgym.seeds import TEST_SEEDS, refuse_test_seeds
from dreamgym.world_model import WorldModel

__all__ = ["HISTORY", "Session", "View"]

View = Literal["reality", "dream", "both"]

HISTORY: Final = 250
"""Steps that the charts reach back: five seconds."""
_REST: Final = 2 * CAR_RACING.fps
"""Steps between the end of a drive and the next one where no person drives."""
_MESSAGE_TICKS: Final = 3 * CAR_RACING.fps


class Session:
    """Everything that a player can see and do. Each tick the worlds advance by a step, as the clock has it.

    Args:
        world_model: V, M and the start states.
        drivers: who can drive.
        driver: the index of who does first.
        view: the worlds to show and drive.
        temperature: of the dream; None for the card's.
        seed: of track and dream.
        max_steps: a drive's time limit; None for none.
        folder: where every drive is saved, if anywhere.

    Raises:
        SeedError: when drives are saved and the seed is a test track's.
    """

    def __init__(
        self,
        world_model: WorldModel,
        drivers: Sequence[Driver],
        *,
        driver: int = 0,
        view: View = "both",
        temperature: float | None = None,
        seed: int = 0,
        max_steps: int | None = None,
        folder: EpisodeFolder | None = None,
    ) -> None:
        self.world_model = world_model
        self.drivers = drivers
        self.view: View = view
        self.asleep = False
        """Whether a dream that began here is being dreamt, with reality frozen."""
        self.real = RealWorld(world_model, max_steps)
        self.dream = DreamWorld(world_model, temperature, max_steps)
        self.action: Action = np.zeros(3, np.float32)
        """The last action executed."""
        self.readings: deque[Reading] = deque(maxlen=HISTORY)
        self.guess = self.dream.picture
        """V's picture of what M expected of the dream's last step, in the view "dream"; uint8 (64, 64, 3)."""
        self.inside = False
        self.help = False
        self.clock = Clock()
        self.message = ""
        self.seed = seed
        self._driver = driver
        self._folder = folder
        self._at_start = True
        self._undreamt = True  # nothing has been dreamed since the seed was given
        self._resting = 0
        self._message_left = 0
        self.begin(seed)

    @property
    def driver(self) -> Driver:
        """Who is at the wheel."""
        return self.drivers[self._driver]

    @property
    def person_drives(self) -> bool:
        """Whether the player is at the wheel."""
        return isinstance(self.driver, Person)

    @property
    def waiting(self) -> bool:
        """Whether the worlds wait at the start until the player touches the controls."""
        return self._at_start and self.person_drives and not self.clock.paused

    @property
    def leader(self) -> World:
        """The world that the driver sees."""
        return self.dream if self.asleep or self.view == "dream" else self.real

    @property
    def side_by_side(self) -> bool:
        """Whether both worlds are being driven by the same actions."""
        return self.view == "both" and not self.asleep

    def say(self, message: str) -> None:
        """Show the player a line for three seconds."""
        self.message, self._message_left = message, _MESSAGE_TICKS

    def tick(self, action: Action) -> bool:
        """A fiftieth of a second passes; says whether the worlds advanced.

        Args:
            action: the player's, float32 (3,), used where the player drives.
        """
        self._message_left -= 1
        if self._message_left <= 0:
            self.message = ""
        if self.help or not self.clock.tick() or (self.waiting and not action.any()):
            return False
        self._at_start = False
        if self.leader.ended is None:
            self._step(action)
        else:
            self._rest()
        return True

    def _step(self, action: Action) -> None:
        self.action = action if self.person_drives else self.driver.act(self.leader.features)
        both = self.side_by_side
        if both and self.dream.ended is not None:
            self._resting += 1
            if self._resting > _REST // 2:  # long enough to see that the dream ended
                self.follow()
        real = self.real if both or self.leader is self.real else None
        dream = self.dream if self.leader is self.dream or (both and self.dream.ended is None) else None
        driven = [world for world in (real, dream) if world is not None]
        for world in driven:
            world.step(self.action)
        self._look(*driven)
        for world in driven:
            world.record(self.action, self.driver.name)
        reading = read(real, dream)
        if reading is not None:
            self.readings.append(reading)

    def _rest(self) -> None:
        """After the end: whoever is no person goes on by itself."""
        self._resting += 1
        if self._resting > _REST and not self.person_drives:
            if self.asleep:
                self.wake()
            else:
                self.begin_next()

    def _look(self, *worlds: World) -> None:
        """Decode what is shown, together: two pictures cost little more than one."""
        latents = [world.z for world in worlds]
        if self.view == "dream":
            latents.append(latents[0] if self.dream.expected is None else self.dream.expected.mean)
        pictures = decode_frames(self.world_model.vision, torch.from_numpy(np.stack(latents))).numpy()
        for world, picture in zip(worlds, pictures, strict=False):
            world.picture = picture
        self.guess = pictures[-1]

    def begin(self, seed: int) -> None:
        """New drives, in the worlds that are shown.

        Raises:
            SeedError: for a seed that drives must not be saved on; nothing has changed.
        """
        if self._folder is not None:
            refuse_test_seeds([seed], "drives that are saved as training data")
        self.seed, self.asleep, self._undreamt = seed, False, True
        self._start(self.dream if self.view == "dream" else self.real)
        if self.view == "both":
            self.follow()

    def begin_next(self) -> None:
        """New drives on the next track; test tracks are passed over where drives are saved."""
        following = self.seed + 1
        self.begin(TEST_SEEDS.stop if self._folder is not None and following in TEST_SEEDS else following)

    def set_view(self, view: View) -> None:
        """Show and drive other worlds, each from where it stands; a dream begun in reality ends."""
        self.view, self.asleep = view, False
        if view != "dream" and not self.real.begun:
            self._start(self.real)
        if view == "both":
            self.follow()
        elif view == "dream" and (self.dream.from_reality or not self.dream.begun):
            self._start(self.dream)
        self.readings.clear()

    def follow(self) -> None:
        """The dream begins in reality's present moment."""
        self.keep(self.dream)
        self.dream.follow(self.real, self.seed if self._undreamt else None)
        self._undreamt = False
        self._enter(self.dream)

    def fall_asleep(self) -> None:
        """Freeze reality, and dream on from where it stands."""
        self.follow()
        self.asleep = True

    def wake(self) -> None:
        """Reality goes on where it stood."""
        self.asleep = False
        self.readings.clear()
        if self.view == "both":
            self.follow()
        else:
            self.keep(self.dream)

    def take_turns(self) -> None:
        """The next driver takes the wheel, in the middle of the drive."""
        self._driver = (self._driver + 1) % len(self.drivers)
        self.driver.begin(self.seed)

    def _start(self, world: World) -> None:
        self.keep(world)
        world.reset(self.seed)
        self._undreamt = self._undreamt and world is not self.dream
        self._at_start = True
        self._enter(world)
        self.driver.begin(self.seed)

    def _enter(self, world: World) -> None:
        self._resting = 0
        self.readings.clear()
        self._look(world)
        world.log.begin(world.seen, self.seed, world.motion)

    def keep(self, world: World) -> None:
        """Save a drive that is over, where drives are saved; more of it is not recorded."""
        if self._folder is not None:
            self._folder.keep(world.episode(), dream=world.dreamt)
        world.log.end()

    def close(self) -> None:
        """Save what is to be saved, and close reality."""
        try:
            self.keep(self.real)
            self.keep(self.dream)
        finally:
            self.real.close()
