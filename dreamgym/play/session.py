"""The game itself, without a window: what is played, by whom, and what each command does."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dreamgym.data.seeds import beyond_test_seeds, refuse_test_seeds
from dreamgym.dream.rendering import decode_frames
from dreamgym.play.episode_log import EpisodeFolder
from dreamgym.play.playable import Action, Playable, PlayableDream, PlayableReality
from dreamgym.play.players import Person, Player
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import ScoreRule, World

__all__ = ["HISTORY", "SPEEDS", "Clock", "Reading", "Session", "View", "difference"]

View = Literal["reality", "dream", "both"]

HISTORY: Final = 5
"""Seconds that the charts reach back."""
SPEEDS: Final = (1.0, 0.5, 0.25, 0.1)
"""Steps in a tick; one key goes through them."""
_REST: Final = 2
"""Seconds between the end of an episode and the next one where no person plays."""
_MESSAGE: Final = 3
"""Seconds for which a message is shown."""


class Reading(NamedTuple):
    """One step as the charts show it.

    None where reality or the dream was not played.
    """

    expected_reward: float
    real_reward: float | None
    end: float
    drift: float | None = None
    """Mean difference between the dream's picture and the real one, as a share of full scale."""
    reconstruction: float | None = None
    """The same between V's picture of reality and the real one."""


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two pictures of one shape.

    As a share of full scale, in [0, 1].
    """
    return float(np.abs(one.astype(np.int16) - other).mean() / 255.0)


class Clock:
    """Decides in which of the window's ticks the game advances.

    Full speed, slow motion, pause and single steps.
    """

    def __init__(self) -> None:
        self.paused = False
        self.speed = SPEEDS[0]
        self._due = 0.0
        self._single = False

    def tick(self) -> bool:
        """Whether the game advances in this tick."""
        if self._single:
            self._single = False
            return True
        if self.paused:
            return False
        self._due += self.speed
        if self._due < 1.0 - 1e-9:
            return False
        self._due = 0.0
        return True

    def single_step(self) -> None:
        """Pause but for one step, in the next tick."""
        self.paused = self._single = True

    def slower(self) -> None:
        """The next lower speed; after the lowest, full speed."""
        self.speed = SPEEDS[(SPEEDS.index(self.speed) + 1) % len(SPEEDS)]


class Session:
    """Everything that a person can see and do.

    In each tick reality and dream advance by a step, if the clock says so.

    Args:
        world_model: V, M and the start states.
        found: who can play.
        world: the description of the real environment; None where it is not known here, and only the dream is.
        player: the index of who plays first.
        view: what to show and play.
        temperature: of the dream; None for the card's.
        seed: of the real episode and the dream.
        max_steps: the time limit; None for none.
        folder: where every episode is saved, if anywhere.

    Raises:
        SeedError: when episodes are saved and the seed is kept for tests.
        ConfigError: reality is asked for and not known here.
    """

    def __init__(
        self,
        world_model: WorldModel,
        found: Sequence[Player],
        world: World | None = None,
        *,
        player: int = 0,
        view: View = "both",
        temperature: float | None = None,
        seed: int = 0,
        max_steps: int | None = None,
        folder: EpisodeFolder | None = None,
    ) -> None:
        self.world_model = world_model
        self.actions = world_model.actions
        self.fps = world_model.fps
        self.failed = (ScoreRule() if world is None else world.score).failed
        """A word for episodes that the world ended otherwise than by completing them."""
        self.players = found
        self.view: View = view
        self.asleep = False
        """Whether a dream that began here is being dreamt, with reality frozen."""
        self.real = PlayableReality(world_model, world, max_steps)
        self.dream = PlayableDream(world_model, temperature, max_steps)
        self.action: Action = np.zeros(self.actions.size, np.float32)
        """The last action executed."""
        self.readings: deque[Reading] = deque(maxlen=HISTORY * self.fps)
        self.guess = self.dream.picture
        """V's picture of what M expected of the dream's last step, in the view "dream"; uint8 (64, 64, 3)."""
        self.inside = False
        self.help = False
        self.clock = Clock()
        self.message = ""
        self.seed = seed
        """The last one that was begun with; an episode that is not shown may have another."""
        self._player = player
        self._folder = folder
        self._at_start = True
        self._undreamt = True  # nothing has been dreamed since the seed was given
        self._resting = 0
        self._message_left = 0
        self.begin(seed)

    @property
    def player(self) -> Player:
        """Who plays."""
        return self.players[self._player]

    @property
    def person_plays(self) -> bool:
        """Whether the person at the window plays."""
        return isinstance(self.player, Person)

    @property
    def waiting(self) -> bool:
        """Whether the game waits at the start until the person touches the controls."""
        keys = bool(self.actions.keys)  # without any, it would wait for ever
        return self._at_start and self.person_plays and keys and not self.clock.paused

    @property
    def leader(self) -> Playable:
        """What the player sees: reality or the dream."""
        return self.dream if self.asleep or self.view == "dream" else self.real

    @property
    def side_by_side(self) -> bool:
        """Whether reality and dream are both played, by the same actions."""
        return self.view == "both" and not self.asleep

    def say(self, message: str) -> None:
        """Show a line for three seconds."""
        self.message, self._message_left = message, _MESSAGE * self.fps

    def tick(self, action: Action) -> bool:
        """The time of one step passes; says whether the game advanced.

        Args:
            action: the person's, float32 (A,), used where the person plays.
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
        wanted = action if self.person_plays else self.player.act(self.leader.features)
        self.action = self.actions.executed(wanted)
        both = self.side_by_side
        if both and self.dream.ended is not None:
            self._resting += 1
            if self._resting > _REST * self.fps // 2:  # long enough to see that the dream ended
                self.follow()
        real = self.real if both or self.leader is self.real else None
        dream = self.dream if self.leader is self.dream or (both and self.dream.ended is None) else None
        played: list[Playable] = [each for each in (real, dream) if each is not None]
        before = [each.steps for each in played]
        for each in played:
            each.step(self.action)
        self._decode(*played)
        for each, steps in zip(played, before, strict=True):
            if each.steps > steps:  # else the dream is lost, and made no step
                each.record(self.action, self.player.name)
        self._read(real, dream)

    def _read(self, real: PlayableReality | None, dream: PlayableDream | None) -> None:
        """Keep how M's expectation of the step came out; the dream's where both took it."""
        expected = dream.expected if dream is not None else real.expected if real is not None else None
        if expected is None:
            return
        paid = None if real is None else real.reward
        if real is None or dream is None:
            reading = Reading(expected.reward, paid, expected.end)
        else:
            drift, reconstruction = difference(dream.picture, real.frame), difference(real.picture, real.frame)
            reading = Reading(expected.reward, paid, expected.end, drift, reconstruction)
        self.readings.append(reading)

    def _rest(self) -> None:
        """After the end: whoever is no person goes on by itself."""
        self._resting += 1
        if self._resting > _REST * self.fps and not self.person_plays:
            if self.asleep:
                self.wake()
            else:
                self.begin_next()

    def _decode(self, *played: Playable) -> None:
        """Decode what is shown, together: two pictures cost little more than one."""
        latents = [each.z for each in played]
        if self.view == "dream":
            latents.append(latents[0] if self.dream.expected is None else self.dream.expected.mean)
        pictures = decode_frames(self.world_model.vision, torch.from_numpy(np.stack(latents))).numpy()
        for each, picture in zip(played, pictures, strict=False):
            each.picture = picture
        self.guess = pictures[-1]

    def begin(self, seed: int) -> None:
        """New episodes, in what is shown.

        Raises:
            SeedError: for a seed that must not be saved; nothing has changed.
            OSError: the episode so far cannot be saved; nothing has changed.
        """
        if self._folder is not None:
            refuse_test_seeds([seed], "episodes that are saved as training data")
        played: Playable = self.dream if self.view == "dream" else self.real
        self.save(played)
        self.seed, self.asleep, self._undreamt = seed, False, True
        self._start(played)
        if self.view == "both":
            self.follow()

    def begin_next(self) -> None:
        """New episodes of the next seed.

        Those kept for tests are passed over where episodes are saved.
        """
        following = self.seed + 1
        self.begin(following if self._folder is None else beyond_test_seeds(following))

    def set_view(self, view: View) -> None:
        """Show and play something else, each from where it stands.

        A dream that began in reality ends.

        Raises:
            ConfigError, InstallationError: there is no reality here; nothing has changed.
        """
        if view != "dream" and not self.real.begun:
            _ = self.real.env
            self._start(self.real)
        self.view, self.asleep, self._resting = view, False, 0
        if view == "both":
            self.follow()
        elif view == "dream" and (self.dream.from_reality or not self.dream.begun):
            self._start(self.dream)
        self.readings.clear()

    def follow(self) -> None:
        """The dream begins in reality's present moment."""
        self.save(self.dream)
        self.dream.follow(self.real, self.seed if self._undreamt else None)
        self._undreamt = False
        self._enter(self.dream)

    def fall_asleep(self) -> None:
        """Freeze reality, and dream on from where it stands."""
        self.follow()
        self.asleep = True

    def wake(self) -> None:
        """Reality goes on where it stood."""
        self.asleep, self._resting = False, 0
        self.readings.clear()
        if self.view == "both":
            self.follow()
        else:
            self.save(self.dream)

    def take_turns(self) -> None:
        """The next player takes over, in the middle of the episode."""
        self._player = (self._player + 1) % len(self.players)
        self.player.begin(self.leader.seed)

    def _start(self, played: Playable) -> None:
        self.save(played)
        played.reset(self.seed)
        self._undreamt = self._undreamt and played is not self.dream
        self._at_start = True
        self._enter(played)
        self.player.begin(played.seed)

    def _enter(self, played: Playable) -> None:
        self._resting = 0
        self.readings.clear()
        self._decode(played)
        played.start_log()

    def save(self, played: Playable) -> None:
        """Save an episode that is over, where episodes are saved.

        More of it is not recorded.
        """
        episode = None if self._folder is None else played.episode()
        if self._folder is not None and episode is not None:
            self._folder.write(episode, dream=played.dreamt)
        played.log.end()

    def close(self) -> None:
        """Save what is to be saved, and close reality."""
        try:
            try:
                self.save(self.real)
            finally:
                self.save(self.dream)
        finally:
            self.real.close()
