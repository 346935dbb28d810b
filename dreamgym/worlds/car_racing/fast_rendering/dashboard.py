"""The dashboard of a CarRacing picture: score, speed, four wheels, steering and spin."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

import pygame
from gymnasium.envs.box2d import car_racing

__all__ = ["BOARD", "BOARD_HEIGHT", "BOARD_TOP", "Gauges", "draw_dashboard"]

_WIDTH, _HEIGHT = car_racing.WINDOW_W, car_racing.WINDOW_H
_CELL_W, _CELL_H = _WIDTH / 40.0, _HEIGHT / 40.0
BOARD_TOP: Final = _HEIGHT - 5 * _HEIGHT // 40
"""First row of the dashboard, which hides everything drawn below it; pixels of the 1000x800 window."""
BOARD_HEIGHT: Final = _HEIGHT - BOARD_TOP
BOARD: Final = (0, BOARD_TOP, _WIDTH, BOARD_HEIGHT)
"""Left, top, width and height of the dashboard."""

_SPEED_COLOR = (255, 255, 255)
_WHEEL_COLORS = ((0, 0, 255), (0, 0, 255), (51, 0, 255), (51, 0, 255))
_STEERING_COLOR = (0, 255, 0)
_SPIN_COLOR = (255, 0, 0)


class Gauges(NamedTuple):
    """What the dashboard shows of a car, in Gymnasium's units."""

    speed: float
    wheels: list[float]
    steering: float
    spin: float

    @classmethod
    def of(cls, car: Any) -> Gauges:
        """Read the gauges of Gymnasium's ``Car``."""
        x, y = car.hull.linearVelocity
        wheels = [wheel.omega for wheel in car.wheels]
        return cls(math.sqrt(x * x + y * y), wheels, car.wheels[0].joint.angle, car.hull.angularVelocity)

    def fit(self) -> bool:
        """Whether no bar stands higher than the dashboard, as bars may at absurd speeds."""
        return max(0.02 * self.speed, 0.01 * max(self.wheels)) < 3.9


def draw_dashboard(surface: pygame.Surface, gauges: Gauges, score: str) -> None:
    """Draw the dashboard exactly as Gymnasium does.

    Onto a surface of the window's size, y downwards.
    """
    surface.fill((0, 0, 0), BOARD)
    _upright_bar(surface, 5, 0.02 * gauges.speed, gauges.speed, _SPEED_COLOR)
    for place, (omega, color) in enumerate(zip(gauges.wheels, _WHEEL_COLORS, strict=True), start=7):
        _upright_bar(surface, place, 0.01 * omega, omega, color)
    _level_bar(surface, 20, -10.0 * gauges.steering, gauges.steering, _STEERING_COLOR)
    _level_bar(surface, 30, -0.8 * gauges.spin, gauges.spin, _SPIN_COLOR)
    text = _score_picture(score)
    frame = text.get_rect()
    frame.center = (60, _HEIGHT - _HEIGHT * 2.5 / 40.0)
    surface.blit(text, frame)


def _upright_bar(surface: pygame.Surface, place: int, length: float, value: float, color: tuple[int, int, int]) -> None:
    if abs(value) > 1e-4:
        left, right, foot = place * _CELL_W, (place + 1) * _CELL_W, _HEIGHT - _CELL_H
        top = _HEIGHT - (_CELL_H + _CELL_H * length)
        pygame.draw.polygon(surface, color, ((left, top), (right, top), (right, foot), (left, foot)))


def _level_bar(surface: pygame.Surface, place: int, length: float, value: float, color: tuple[int, int, int]) -> None:
    if abs(value) > 1e-4:
        left, right = place * _CELL_W, (place + length) * _CELL_W
        top, foot = _HEIGHT - 4 * _CELL_H, _HEIGHT - 2 * _CELL_H
        pygame.draw.polygon(surface, color, ((left, top), (right, top), (right, foot), (left, foot)))


@lru_cache(maxsize=256)
def _score_picture(text: str) -> pygame.Surface:
    """The score in white on black. Opening the font costs as much as drawing the track, hence the cache."""
    pygame.font.init()
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    return font.render(text, True, (255, 255, 255), (0, 0, 0))
