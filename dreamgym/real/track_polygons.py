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

__all__ = ["DASHBOARD_TOP", "Camera", "TrackPolygons", "grass_patches", "window_inside_playfield"]

DASHBOARD_TOP = car_racing.WINDOW_H - 5 * car_racing.WINDOW_H // 40
"""First row of the dashboard, which hides everything drawn below it; pixels of the 1000x800 picture."""
_HIDDEN = car_racing.WINDOW_H - DASHBOARD_TOP
"""Rows at the lower end of the unflipped y axis that end up behind the dashboard."""


class Camera(NamedTuple):
    """World to window: rotate by ``angle``, scale by ``zoom`` (pixels a unit), move by ``x``, ``y`` (pixels)."""

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
    """Whether the background, a square, covers every pixel of the window whichever way its edges are rounded."""
    # The square's corners are truncated to pixels, then its edges: two pixels at the most, and eight are safe.
    limit = car_racing.PLAYFIELD - 8.0 / camera.zoom
    corners = ((0, 0), (0, car_racing.WINDOW_H), (car_racing.WINDOW_W, 0), (car_racing.WINDOW_W, car_racing.WINDOW_H))
    return all(max(map(abs, camera.to_world(*corner))) < limit for corner in corners)


@cache
def grass_patches() -> list[list[tuple[float, float]]]:
    """The 400 grass patches in Gymnasium's order and arithmetic; four (x, y) corners each, world units."""
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
        corners = np.array(polygons, dtype=np.float64)
        # (num_polygons, 4, 2) -> (2, 4, num_polygons), so that what is done to a corner is done along memory
        self._corners: NDArray[np.float64] = np.ascontiguousarray(corners.transpose(2, 1, 0))
        self._centers = self._corners.mean(axis=1)
        spread = self._corners - self._centers[:, None]
        self._radii: NDArray[np.float64] = np.sqrt((spread**2).sum(axis=0)).max(axis=0)

    def visible(self, camera: Camera) -> tuple[list[int], list[list[list[int]]]]:
        """Polygons that may colour a pixel above the dashboard, in drawing order.

        Returns:
            Their indices, and for each its four [x, y] corners in window pixels, y upwards, truncated as
            ``pygame.gfxdraw`` truncates.
        """
        near = self._near(camera)
        x, y = self._corners[0].take(near, axis=1), self._corners[1].take(near, axis=1)
        # Gymnasium's operations in Gymnasium's order: any other would round differently.
        px = (camera.cosine * x - camera.sine * y) * camera.zoom + camera.x
        py = (camera.sine * x + camera.cosine * y) * camera.zoom + camera.y
        margin = car_racing.MAX_SHAPE_DIM
        kept = (px >= -margin) & (px <= car_racing.WINDOW_W + margin)
        kept &= (py >= -margin) & (py <= car_racing.WINDOW_H + margin)
        pixels = np.stack((px, py)).astype(np.int64)
        (right, top), (left, bottom) = pixels.max(axis=1), pixels.min(axis=1)
        # An anti-aliased line reaches one row further up than its end points, and nothing reaches further out.
        inside = (right >= 0) & (left < car_racing.WINDOW_W) & (top >= _HIDDEN - 1) & (bottom < car_racing.WINDOW_H)
        chosen = np.flatnonzero(inside & kept.any(axis=0))
        return near[chosen].tolist(), pixels[:, :, chosen].transpose(2, 1, 0).tolist()

    def _near(self, camera: Camera) -> NDArray[np.intp]:
        """Indices of the polygons near a circle around the visible part of the window."""
        half_w, half_h = car_racing.WINDOW_W / 2, DASHBOARD_TOP / 2
        x, y = camera.to_world(half_w, _HIDDEN + half_h)
        reach = self._radii + (math.hypot(half_w, half_h) + 8.0) / camera.zoom
        dx, dy = self._centers[0] - x, self._centers[1] - y
        return np.flatnonzero(dx * dx + dy * dy < reach * reach)
