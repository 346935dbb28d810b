"""The numbers of a drive, the temperature, and the controls."""

from __future__ import annotations

from dreamgym.play import theme
from dreamgym.play.commands import TEMPERATURES
from dreamgym.play.session import Session
from dreamgym.play.theme import Painter, Rect
from dreamgym.play.worlds import World

__all__ = ["draw_controls", "draw_numbers", "draw_temperature", "signed"]


def signed(value: float) -> str:
    """A number with one decimal and a proper minus."""
    return f"{value:.1f}".replace("-", "−")


def draw_numbers(
    painter: Painter, world: World, place: tuple[float, float, float], color: theme.Color, *, bar: Rect | None = None
) -> None:
    """Return, lap and time in a row at ``place`` (left, top, width), and the lap as a bar above them or at ``bar``."""
    left, top, width = place
    below = top if bar is not None else top + 22
    x, y, length, height = bar or (left, top, width, 6.0)
    painter.fill((x, y, length, height), theme.LINE)
    painter.fill((x, y, max(length * world.progress, 1.0), height), color)
    lap = "Lap, as M counts" if world.dreamt else "Lap"
    numbers = (
        ("Return", signed(world.total)),
        (lap, f"{100 * world.progress:.0f} %"),
        ("Time", f"{world.steps / 50:.1f} s"),
    )
    for column, (label, value) in enumerate(numbers):
        painter.text(label, left + column * width / 3, below, theme.SMALL, theme.MUTED)
        painter.text(value, left + column * width / 3, below + 22, theme.NUMBER, bold=True)


def draw_temperature(painter: Painter, session: Session, box: Rect) -> None:
    """The temperature, large, with its keys and where it stands in its range."""
    left, top, width, _ = box
    dreaming = session.view != "reality" or session.asleep
    painter.text("Temperature", left, top, theme.SMALL, theme.MUTED)
    painter.text(
        f"{session.dream.temperature:.2f}",
        left,
        top + 22,
        theme.LARGE,
        theme.DREAM if dreaming else theme.FAINT,
        bold=True,
    )
    painter.keycap("−", left + width - 56, top + 28)
    painter.keycap("+", left + width - 24, top + 28)
    low, high = TEMPERATURES
    y = top + 76
    painter.fill((left, y, width, 2), theme.LINE)
    usual = (session.world_model.temperature - low) / (high - low)
    painter.fill((left + width * usual - 0.5, y - 4, 1, 10), theme.FAINT)
    share = (session.dream.temperature - low) / (high - low)
    painter.rounded((left + (width - 10) * share, y - 4, 10, 10), theme.DREAM if dreaming else theme.FAINT, radius=5)


def draw_controls(painter: Painter, session: Session, box: Rect) -> None:
    """Steering, gas and brake as they were executed."""
    left, top, width, _ = box
    steer, gas, brake = (float(value) for value in session.action)
    bar, length = left + 52, width - 52
    for row, label in enumerate(("Steer", "Gas", "Brake")):
        painter.text(label, left, top + 26 * row, theme.SMALL, theme.MUTED)
        painter.fill((bar, top + 26 * row + 2, length, 6), theme.LINE)
    middle = bar + length / 2
    painter.fill((min(middle, middle + steer * length / 2), top + 2, max(abs(steer) * length / 2, 1), 6), theme.TEXT)
    painter.fill((bar, top + 28, max(gas * length, 1), 6), theme.TEXT)
    painter.fill((bar, top + 54, max(brake * length, 1), 6), theme.ALERT if brake > 0 else theme.LINE)
    painter.fill((middle, top - 1, 1, 12), theme.MUTED)
