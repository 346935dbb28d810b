"""Gymnasium's CarRacing, drawn faster and not one byte differently.

Nearly all the time of a CarRacing step goes into drawing: about 730 polygons are rotated in Python for each frame, of
which two dozen touch the picture. Here all of them are rotated and culled at once, in the same float64 operations in
the same order, and the rest are drawn with the same pygame calls.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import CarRacing
from numpy.typing import NDArray
from pygame import gfxdraw

from dreamgym.worlds.car_racing.fast_rendering.canvas import Canvas
from dreamgym.worlds.car_racing.fast_rendering.car_sprite import CarSprite
from dreamgym.worlds.car_racing.fast_rendering.dashboard import Gauges, draw_dashboard
from dreamgym.worlds.car_racing.fast_rendering.track_polygons import (
    SEEN,
    Camera,
    TrackPolygons,
    grass_patches,
    window_inside_playfield,
)

__all__ = ["ExactCarRacing"]

_SIZES = {
    "state_pixels": (car_racing.STATE_W, car_racing.STATE_H),
    "rgb_array": (car_racing.VIDEO_W, car_racing.VIDEO_H),
}

_SCORE_TEXTS: dict[str, Callable[[float], str]] = {
    "f5d51021891e8b1a": lambda reward: f"{int(reward):04d}",  # Gymnasium 1.1 and 1.2
    "4a1741afc904d744": lambda reward: f"{reward:04}",  # 1.3
    "b764a83b837dc863": lambda reward: f"{reward:04.0f}",  # 1.4
}
"""How the score is written, by the fingerprint of Gymnasium's drawing code."""


def _fingerprint() -> str:
    """Hash of the drawing code that this module replaces, empty where Python cannot find it."""
    replaced = (
        CarRacing._render,
        CarRacing._render_road,
        CarRacing._draw_colored_polygon,
        CarRacing._render_indicators,
        CarRacing._create_image_array,
        Car.draw,
    )
    try:
        source = "".join(inspect.getsource(function) for function in replaced)
    except OSError:
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


_score_text = _SCORE_TEXTS.get(_fingerprint())


class ExactCarRacing(CarRacing):
    """CarRacing-v3 with observations and pictures byte-identical to Gymnasium's, at several times its speed.

    Takes the arguments of :class:`gymnasium.envs.box2d.car_racing.CarRacing` and behaves like it in all else, save
    that the surface ``surf`` is a work area, which holds no finished picture after a step. With a Gymnasium whose
    drawing code is not one of those compared (1.1 to 1.4), it draws with Gymnasium's own code, at Gymnasium's speed.
    """

    # Untyped in Gymnasium, or typed by their first value
    car: Any
    surf: Any
    grass_color: Any

    _canvas: Canvas | None = None
    _polygons: TrackPolygons
    _polygons_of: Any = None
    _sprite: CarSprite | None = None

    def _render(self, mode: str) -> Any:
        """Draw one picture: uint8 of shape (96, 96, 3) in mode "state_pixels", (400, 600, 3) in "rgb_array"."""
        if _score_text is None or mode not in _SIZES or "t" not in self.__dict__:
            return super()._render(mode)
        gauges = Gauges.of(self.car)
        if not gauges.fit():
            return super()._render(mode)
        if self._canvas is None or not self._canvas.fits():
            self._canvas = Canvas()
        camera = self._camera()
        self.surf = self._canvas.road
        self._draw_road(camera)
        self._draw_car(camera, skid_marks=mode == "rgb_array")
        draw_dashboard(self._canvas.board, gauges, _score_text(self.reward))
        return self._canvas.picture(*_SIZES[mode])

    def _render_road(self, zoom: float, translation: tuple[float, float], angle: float) -> None:
        """Draw background, grass and road onto ``surf``, y upwards; called by Gymnasium's drawing for people to see."""
        if _score_text is None:
            super()._render_road(zoom, translation, angle)  # type: ignore[no-untyped-call]
        else:
            self._draw_road(Camera.looking(zoom, translation, angle))

    def sharp_view(self) -> NDArray[np.uint8]:
        """The view above the dashboard, before it was shrunk.

        As it was last drawn; uint8 (700, 1000, 3).

        It costs nothing that the observation did not cost already. Black before the first reset.
        """
        size = car_racing.WINDOW_W, car_racing.WINDOW_H * 7 // 8
        if self._canvas is None:  # Gymnasium's own drawing, which keeps the finished picture
            surface = pygame.Surface(size) if self.surf is None else self.surf.subsurface((0, 0, *size))
        else:
            surface = self._canvas.road.subsurface((0, car_racing.WINDOW_H - size[1], *size))
        pixels = pygame.image.tobytes(surface, "RGB", self._canvas is not None)  # the road is drawn upside down
        return np.frombuffer(pixels, np.uint8).reshape(size[1], size[0], 3)

    def _camera(self) -> Camera:
        """The view of this moment, in Gymnasium's arithmetic."""
        position, angle = self.car.hull.position, -self.car.hull.angle
        scale = car_racing.SCALE
        zoom = 0.1 * scale * max(1 - self.t, 0) + car_racing.ZOOM * scale * min(self.t, 1)
        moved = pygame.math.Vector2((-(position[0]) * zoom, -(position[1]) * zoom)).rotate_rad(angle)
        return Camera.looking(zoom, (car_racing.WINDOW_W / 2 + moved[0], car_racing.WINDOW_H / 4 + moved[1]), angle)

    def _draw_road(self, camera: Camera) -> None:
        surface = self.surf
        self._draw_background(camera)
        grass = grass_patches()
        if self._polygons_of is not self.road_poly:
            self._polygons = TrackPolygons([*grass, *(corners for corners, _ in self.road_poly)])
            self._polygons_of = self.road_poly
        for index, points in zip(*self._polygons.visible(camera), strict=True):
            # Read each time, because tiles change colour when they are visited
            color = self.grass_color if index < len(grass) else self.road_poly[index - len(grass)][1]
            if isinstance(color, np.ndarray):
                color = color.astype(np.int64).tolist()  # truncated, like Gymnasium's and pygame's
            gfxdraw.aapolygon(surface, points, color)
            gfxdraw.filled_polygon(surface, points, color)

    def _draw_background(self, camera: Camera) -> None:
        if window_inside_playfield(camera):
            self.surf.fill(self.bg_color, SEEN)
            return
        self.surf.fill((0, 0, 0))
        bound = car_racing.PLAYFIELD
        corners = ((bound, bound), (bound, -bound), (-bound, -bound), (-bound, bound))
        field = [camera.to_window(*corner) for corner in corners]
        gfxdraw.aapolygon(self.surf, field, self.bg_color)
        gfxdraw.filled_polygon(self.surf, field, self.bg_color)

    def _draw_car(self, camera: Camera, *, skid_marks: bool) -> None:
        if skid_marks:
            self.car.draw(self.surf, camera.zoom, (camera.x, camera.y), -self.car.hull.angle, True)
            return
        if self._sprite is None or self._sprite.car is not self.car:
            self._sprite = CarSprite(self.car)
        self._sprite.draw(self.surf, camera)
