"""Filming one drive: reality, V's reconstruction of it, and a dream from the same start by the same driver."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pygame
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym.control.linear import LinearController
from dreamgym.demo.scene import GIF_SIZE, SIZE, Panel, Scene, view
from dreamgym.dream.core import DreamCore
from dreamgym.dream.rendering import decode_frames
from dreamgym.evaluate.real import RealStep, drive_real
from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.play.video import Video
from dreamgym.real.preprocess import preprocess
from dreamgym.real.world import CAR_RACING
from dreamgym.world_model import WorldModel

__all__ = ["Dream", "Film", "film"]

GIF_FRAMES: Final = 400
"""The GIF shows the film's first eight seconds."""

LAST_FRAMES: Final = 75
"""The end stays on the screen for a second and a half."""


class Dream:
    """A dream that begins at a real frame, one step at a time.

    Args:
        controller: the driver.
        world: the world model.
        first_frame: preprocessed, uint8 (64, 64, 3).
        seed: of the dream.
    """

    def __init__(
        self, controller: LinearController, world: WorldModel, first_frame: NDArray[np.uint8], seed: int
    ) -> None:
        self._controller, self._vision = controller, world.vision
        self._core = DreamCore(world, 1)
        self._core.reset(seeds=torch.tensor([seed]), observation=torch.from_numpy(first_frame))
        self.total = 0.0
        """Return so far."""
        self.ended = ""
        """How it ended; empty while it goes on."""

    @property
    def temperature(self) -> float:
        """The dream's temperature."""
        return float(self._core.temperature[0])

    def picture(self) -> NDArray[np.uint8]:
        """What is dreamed now, uint8 (64, 64, 3)."""
        return decode_frames(self._vision, self._core.z)[0].numpy()

    def step(self) -> None:
        """Drive on by one frame, unless it is over."""
        if self.ended:
            return
        step = self._core.step(torch.from_numpy(self._controller(self._core.features.numpy().copy())))
        self.total += float(step.reward)
        if step.terminated:
            self.ended = "lap finished" if step.lap_finished else "left the playfield"
        elif step.truncated:
            self.ended = "time is up"


class Film:
    """Draws each step of a real drive beside a dream, into a video and a GIF.

    Args:
        controller: the driver, of both.
        world: the world model.
        seed: of the dream.
        video: takes every frame.
        gif: takes the first :data:`GIF_FRAMES`.
    """

    def __init__(self, controller: LinearController, world: WorldModel, seed: int, video: Video, gif: Video) -> None:
        self._controller, self._world, self._seed = controller, world, seed
        self._video, self._gif = video, gif
        self._scene = Scene()
        self._reality = Panel("reality", "CarRacing-v3")
        self._seen = Panel("what the driver sees", f"{world.vision.latent_size} numbers, decoded")
        self._dreamt = Panel("a dream", "")
        self._dream: Dream | None = None
        self._total = 0.0
        self.frames = 0
        """Drawn so far."""

    def step(self, step: RealStep) -> None:
        """Draw one step of the real drive; it must have a picture."""
        if self._dream is None:
            self._dream = Dream(self._controller, self._world, preprocess(step.frame), self._seed)
            self._dreamt.about = f"same first frame, temperature {self._dream.temperature:g}"
        assert step.picture is not None
        z = torch.from_numpy(step.features[: self._world.vision.latent_size])
        self._reality.picture = view(step.picture)
        self._seen.picture = decode_frames(self._world.vision, z[None])[0].numpy()
        self._dreamt.picture = self._dream.picture()
        self._reality.below = f"{self.frames / CAR_RACING.fps:.1f} s   return {self._total:.0f}"
        self._seen.below = "steering {:+.2f}   gas {:.2f}   brake {:.2f}".format(*step.action)
        self._dreamt.below = f"return {self._dream.total:.0f}, as M pays"
        self._dreamt.ended = self._dream.ended
        self._add()
        self._total += step.reward
        self._dream.step()

    def end(self, score: EpisodeScore) -> None:
        """Show how it ended for a while."""
        over = "left the playfield" if score.left_playfield else "time is up"
        self._reality.ended = "lap finished" if score.lap_finished else over
        self._reality.below = f"{score.length / CAR_RACING.fps:.1f} s   return {score.score:.0f}"
        for _ in range(LAST_FRAMES):
            self._add()

    def _add(self) -> None:
        frame = self._scene.draw([self._reality, self._seen, self._dreamt])
        self._video.add(frame)
        if self.frames < GIF_FRAMES:
            self._gif.add(pygame.transform.smoothscale(frame, GIF_SIZE))
        self.frames += 1


def film(
    controller: LinearController, world: WorldModel, seed: int, out: Path, *, max_episode_steps: int = 1000
) -> EpisodeScore:
    """Drive a real track and write ``demo.mp4`` and ``demo.gif``.

    Args:
        controller: the driver.
        world: the world model.
        seed: of the track, and of the dream beside it.
        out: folder.
        max_episode_steps: the time limit.

    Raises:
        WorkerError: ffmpeg failed; nothing is left of the file.
    """
    video = Video(out / "demo.mp4", SIZE)
    gif = Video(out / "demo.gif", GIF_SIZE)
    try:
        shot = Film(controller, world, seed, video, gif)
        with tqdm(total=max_episode_steps, desc="film", unit="frame", mininterval=2) as bar:

            def keep(step: RealStep) -> None:
                shot.step(step)
                bar.update()

            score = drive_real(
                controller, seed, world_model=world, max_episode_steps=max_episode_steps, on_step=keep, pictures=True
            )
        shot.end(score)
        video.finish()
        gif.finish()
    except BaseException:
        video.discard()
        gif.discard()
        raise
    return score
