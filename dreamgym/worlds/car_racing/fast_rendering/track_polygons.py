"""Which polygons of a CarRacing track fall into the picture, and at which pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing
from numpy.typing import NDArray

from dreamgym.worlds.car_racing.fast_rendering.dashboard import BOARD_HEIGHT, BOARD_TOP

__all__ = ["SEEN", "Camera", "TrackPolygons", "grass_patches", "window_inside_playfield"]

SEEN = (0, BOARD_HEIGHT, car_racing.WINDOW_W, BOARD_TOP)
"""What is seen of the road, as left, lower end, width and height with y upwards; the rest is dashboard."""
_SLACK = 6.0
"""How far the view may move, in world units, before its surroundings are looked up again."""
_SIZE = np.array((car_racing.WINDOW_W, car_racing.WINDOW_H)).reshape(2, 1, 1)
# Nothing drawn reaches beyond a polygon's corners, but for anti-aliased lines, which reach one row further up.
_LOWEST = np.array(((0,), (BOARD_HEIGHT - 1,)))
_HIGHEST = np.array(((car_racing.WINDOW_W,), (car_racing.WINDOW_H,)))


class Camera(NamedTuple):
    """From the world to the window.

    Rotate by ``angle``, scale by ``zoom`` (pixels a unit), move by ``x``, ``y`` (pixels).
    """

    zoom: float
    x: float
    y: float
    cosine: float
    sine: float

    @classmethod
    def looking(cls, zoom: float, translation: tuple[float, float], angle: float) -> Camera:
        """The camera of Gymnasium's drawing functions, ``angle`` in radians."""
        # pygame leaves coordinates unrounded in turns very near to quarter turns: whatever it does to (1, 0), take.
        cosine, sine = pygame.math.Vector2(1.0, 0.0).rotate_rad(angle)
        return cls(zoom, translation[0], translation[1], cosine, sine)

    def to_window(self, x: float, y: float) -> tuple[float, float]:
        """Window coordinates, y upwards, of a point of the world, rounded as Gymnasium's are."""
        turned_x, turned_y = self.cosine * x - self.sine * y, self.sine * x + self.cosine * y
        return turned_x * self.zoom + self.x, turned_y * self.zoom + self.y

    def to_world(self, px: float, py: float) -> tuple[float, float]:
        """World coordinates of a point of the window, y upwards, to within rounding."""
        u, v = (px - self.x) / self.zoom, (py - self.y) / self.zoom
        return self.cosine * u + self.sine * v, self.cosine * v - self.sine * u


def window_inside_playfield(camera: Camera) -> bool:
    """Whether the background, a square, covers every pixel of the window.

    Whichever way its edges are rounded.
    """
    # The square's corners are truncated to pixels, then its edges: two pixels at the most, and eight are safe.
    limit = car_racing.PLAYFIELD - 8.0 / camera.zoom
    corners = ((0, 0), (0, car_racing.WINDOW_H), (car_racing.WINDOW_W, 0), (car_racing.WINDOW_W, car_racing.WINDOW_H))
    return all(max(map(abs, camera.to_world(*corner))) < limit for corner in corners)


@cache
def grass_patches() -> list[list[tuple[float, float]]]:
    """The 400 grass patches in Gymnasium's order and arithmetic.

    Four (x, y) corners each, world units.
    """
    dim = car_racing.GRASS_DIM
    return [
        [
            (dim * x + dim, dim * y + 0),
            (dim * x + 0, dim * y + 0),
            (dim * x + 0, dim * y + dim),
            (dim * x + dim, dim * y + dim),
        ]
        for x in range(-20, 20, 2)
        for y in range(-20, 20, 2)
    ]


class TrackPolygons:
    """Quadrilaterals of one track, rotated and culled all at once.

    Args:
        polygons: four (x, y) corners each, world units, in drawing order.
    """

    def __init__(self, polygons: Sequence[Sequence[tuple[float, float]]]) -> None:
        # (num_polygons, 4, 2) -> (2, 4, num_polygons), so that what is done to a corner is done along memory
        self._corners: NDArray[np.float64] = np.array(polygons, dtype=np.float64).transpose(2, 1, 0).copy()
        self._centers = self._corners.mean(axis=1)
        spread = self._corners - self._centers[:, None]
        self._radii: NDArray[np.float64] = np.sqrt((spread**2).sum(axis=0)).max(axis=0)
        longest = 2 * self._radii.max() * car_racing.ZOOM * car_racing.SCALE
        # Gymnasium draws what has a corner within this margin of the window: all that is visible, unless it is longer.
        self._margin_matters = bool(longest > car_racing.MAX_SHAPE_DIM * (1 + 1e-9))
        self._seen_from = (math.inf, math.inf, 0.0)

    def visible(self, camera: Camera) -> tuple[list[int], list[list[list[int]]]]:
        """Polygons that may colour a pixel above the dashboard, in drawing order.

        Returns:
            Their indices, and for each its four [x, y] corners in window pixels, y upwards, truncated as
            ``pygame.gfxdraw`` truncates.
        """
        self._look_around(camera)
        x, y = self._near_corners
        # Gymnasium's operations in Gymnasium's order: any other would round differently.
        window = np.stack((camera.cosine * x - camera.sine * y, camera.sine * x + camera.cosine * y))
        window *= camera.zoom
        window += np.array((camera.x, camera.y)).reshape(2, 1, 1)
        pixels = window.astype(np.int64)
        shown = ((pixels.max(axis=1) >= _LOWEST) & (pixels.min(axis=1) < _HIGHEST)).all(axis=0)
        if self._margin_matters:
            margin = car_racing.MAX_SHAPE_DIM
            shown &= ((window >= -margin) & (window <= _SIZE + margin)).all(axis=0).any(axis=0)
        chosen = shown.nonzero()[0]
        return self._near[chosen].tolist(), pixels[:, :, chosen].transpose(2, 1, 0).tolist()

    def _look_around(self, camera: Camera) -> None:
        """Note the polygons near a circle around the visible part of the window, unless it has hardly moved."""
        half_w, half_h = car_racing.WINDOW_W / 2, BOARD_TOP / 2
        x, y = camera.to_world(half_w, BOARD_HEIGHT + half_h)
        seen_x, seen_y, seen_zoom = self._seen_from
        if seen_zoom == camera.zoom and math.hypot(x - seen_x, y - seen_y) < _SLACK:
            return
        reach = self._radii + (math.hypot(half_w, half_h) + 8.0) / camera.zoom + _SLACK
        dx, dy = self._centers[0] - x, self._centers[1] - y
        self._near: NDArray[np.intp] = np.flatnonzero(dx * dx + dy * dy < reach * reach)
        self._near_corners: NDArray[np.float64] = self._corners.take(self._near, axis=2)
        self._seen_from = x, y, camera.zoom
