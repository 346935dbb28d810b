"""The car of CarRacing, drawn as Gymnasium draws it, without asking Box2D for its shape in every frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d import car_dynamics

from dreamgym.worlds.car_racing.fast_rendering.track_polygons import Camera

__all__ = ["CarSprite"]

_SPOKE_ANGLE = 1.2  # radians of a wheel's turn that its white patch covers


class CarSprite:
    """Hull and wheels of one car.

    Args:
        car: Gymnasium's ``Car``; its fixtures never change.
    """

    def __init__(self, car: Any) -> None:
        self.car = car
        self._parts = [(part, self._shapes(part)) for part in car.drawlist]

    @staticmethod
    def _shapes(part: Any) -> list[list[tuple[float, float]]]:
        return [list(fixture.shape.vertices) for fixture in part.fixtures]

    def draw(self, surface: pygame.Surface, camera: Camera) -> None:
        """Draw the car without its skid marks, y upwards."""
        for part, shapes in self._parts:
            pose = part.transform
            color = [int(c * 255) for c in part.color]
            for shape in shapes:
                pygame.draw.polygon(surface, color, _project(pose, shape, camera))
                if "phase" in part.__dict__:
                    patch = _white_patch(part.phase)
                    if patch is not None:
                        pygame.draw.polygon(surface, car_dynamics.WHEEL_WHITE, _project(pose, patch, camera))


def _project(pose: Any, shape: list[tuple[float, float]], camera: Camera) -> list[tuple[float, float]]:
    """Body coordinates to window pixels."""
    zoom, to_x, to_y, cosine, sine = camera
    points = []
    for vertex in shape:
        moved = pose * vertex  # in Box2D's float32, the rest in float64
        x, y = moved.x, moved.y
        points.append(((cosine * x - sine * y) * zoom + to_x, (sine * x + cosine * y) * zoom + to_y))
    return points


def _white_patch(phase: float) -> list[tuple[float, float]] | None:
    """The patch that shows a wheel turning, body coordinates; None while it is on the far side."""
    start, end = phase, phase + _SPOKE_ANGLE
    start_sine, end_sine = math.sin(start), math.sin(end)
    if start_sine > 0 and end_sine > 0:
        return None
    start_cosine, end_cosine = math.cos(start), math.cos(end)
    if start_sine > 0:
        start_cosine = float(np.sign(start_cosine))
    if end_sine > 0:
        end_cosine = float(np.sign(end_cosine))
    size, width, radius = car_dynamics.SIZE, car_dynamics.WHEEL_W, car_dynamics.WHEEL_R
    return [
        (-width * size, +radius * start_cosine * size),
        (+width * size, +radius * start_cosine * size),
        (+width * size, +radius * end_cosine * size),
        (-width * size, +radius * end_cosine * size),
    ]
