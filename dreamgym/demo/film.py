"""Filming one episode: reality, V's reconstruction of it, and a dream from the same start by the same controller."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym.controller.linear import LinearController
from dreamgym.demo.scene import Panel, Scene
from dreamgym.dream.rendering import decode_frames
from dreamgym.play.panels import signed, why_ended
from dreamgym.play.playable import Playable, PlayableDream, PlayableReality
from dreamgym.play.video import Video
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import World

__all__ = ["Film", "film"]

GIF_SECONDS: Final = 8.0
"""The GIF shows so much of the film's beginning."""

LAST_SECONDS: Final = 1.5
"""For which the end stays on the screen."""


class Film:
    """Films a real episode and a dream that begins in its first moment.

    Draws each step into a video and a GIF.

    Args:
        controller: plays both.
        world_model: V and M.
        world: the real environment.
        seed: of both.
        max_steps: the time limit of both.
        scene: draws the frames.
        video: takes every frame.
        gif: takes those of the first :data:`GIF_SECONDS`.
    """

    def __init__(
        self,
        controller: LinearController,
        world_model: WorldModel,
        world: World,
        seed: int,
        max_steps: int,
        scene: Scene,
        video: Video,
        gif: Video,
    ) -> None:
        self._controller, self._world_model, self._world = controller, world_model, world
        self._scene, self._video, self._gif = scene, video, gif
        self.real = PlayableReality(world_model, world, max_steps)
        self.dream = PlayableDream(world_model, max_steps=max_steps)
        self.real.reset(seed)
        self.dream.follow(self.real, seed)
        self._panels = [
            Panel("reality", world.env_id),
            Panel("reconstruction", f"from {world_model.vision.latent_size} latents"),
            Panel("a dream", f"same first moment, temperature {self.dream.temperature:g}"),
        ]
        self.frames = 0
        """Drawn so far."""

    def step(self) -> None:
        """Draw this moment, and play on by a step where it is not over."""
        pair: tuple[Playable, Playable] = (self.real, self.dream)
        latents = torch.from_numpy(np.stack([each.z for each in pair]))
        seen, dreamt = decode_frames(self._world_model.vision, latents).numpy()
        actions = [self._action(each) for each in pair]
        reality, reconstruction, dream = self._panels
        reality.picture, reconstruction.picture, dream.picture = self.real.view, seen, dreamt
        reality.below = f"{self.real.steps / self._world_model.fps:.1f} s   return {signed(self.real.total)}"
        numbers = zip(self._world_model.actions.names, actions[0].tolist(), strict=True)
        reconstruction.below = "   ".join(f"{name} {value:.2f}" for name, value in numbers)
        dream.below = f"return {signed(self.dream.total)}, as M pays"
        for panel, each in zip((reality, dream), pair, strict=True):
            panel.ended = "" if each.ended is None else why_ended(each, self._world.score.failed)
        self._add()
        for each, action in zip(pair, actions, strict=True):
            if each.ended is None:
                each.step(action)

    def _action(self, played: Playable) -> NDArray[np.float32]:
        wanted: NDArray[np.float32] = self._controller(played.features[None])[0]
        return self._world_model.actions.executed(wanted)

    def end(self) -> None:
        """Show how it ended for a while."""
        self.step()
        for _ in range(round(LAST_SECONDS * self._world_model.fps) - 1):
            self._add()

    def _add(self) -> None:
        frame = self._scene.draw(self._panels)
        self._video.add(frame)
        if self.frames < GIF_SECONDS * self._world_model.fps:
            self._gif.add(frame)
        self.frames += 1


def film(
    controller: LinearController, world_model: WorldModel, world: World, seed: int, out: Path, *, max_steps: int
) -> float:
    """Play a real episode and write ``demo.mp4`` and ``demo.gif``.

    Args:
        controller: the player.
        world_model: V and M.
        world: the real environment.
        seed: of the episode, and of the dream beside it.
        out: folder.
        max_steps: the time limit.

    Returns:
        The real episode's return.

    Raises:
        WorkerError: ffmpeg failed; nothing is left of the file.
    """
    scene = Scene(world_model.aspect)
    width, height = scene.size
    video = Video(out / "demo.mp4", scene.size, world_model.fps)
    gif = Video(out / "demo.gif", (width // 2, height // 2), world_model.fps)
    try:
        shot = Film(controller, world_model, world, seed, max_steps, scene, video, gif)
        try:
            with tqdm(total=max_steps, desc="film", unit="frame", mininterval=2) as bar:
                while shot.real.ended is None:
                    shot.step()
                    bar.update()
            shot.end()
        finally:
            shot.real.close()
        video.finish()
        gif.finish()
    finally:
        video.discard()
        gif.discard()
    return shot.real.total
