"""Frames a second of the play window, and the time from a key press to the picture that shows it.

    python docs/measure_play.py --view both --seconds 10

Opens a real window. A second thread presses and releases the gas at random moments, as events of pygame's; the time
counts from there to the return of the flip that shows the picture of the step driven with it.
"""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from dataclasses import dataclass
from typing import Literal

import pygame
import tyro

from dreamgym.config import PlayConfig
from dreamgym.play.command import make_session
from dreamgym.play.loop import Loop, Window
from dreamgym.play.recordings import Recordings
from dreamgym.threads import one_thread_for_long


@dataclass
class Measurement:
    """What to measure."""

    view: Literal["reality", "dream", "both"] = "both"
    seconds: float = 10.0
    inside: bool = False
    size: tuple[int, int] = (1280, 720)


def measure(wanted: Measurement) -> None:
    config = PlayConfig(view=wanted.view, size=wanted.size, seed=7, player="you")
    window, session = Window(config.size), make_session(config, "you")
    session.inside = wanted.inside
    loop = Loop(session, Recordings(config, session.fps), window)
    pressed: list[float] = []
    latencies: list[float] = []
    flips: list[float] = []
    flip = pygame.display.flip

    def flip_and_look() -> None:
        flip()
        flips.append(time.perf_counter())
        if pressed and session.action[1] > 0.0:
            latencies.append(flips[-1] - pressed.pop())

    def press() -> None:
        while loop.running:
            time.sleep(random.uniform(0.2, 0.4))
            pressed.append(time.perf_counter())
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_UP))
            time.sleep(0.1)
            pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_UP))

    pygame.display.flip = flip_and_look  # type: ignore[assignment]
    for _ in range(50):
        loop.tick()
    flips.clear()
    threading.Thread(target=press, daemon=True).start()
    until = time.perf_counter() + wanted.seconds
    processor = -time.process_time()
    while time.perf_counter() < until:
        loop.tick()
        if session.leader.ended is not None:
            session.begin(session.seed)
    processor += time.process_time()
    loop.running = False
    session.close()
    gaps = [1000 * (after - before) for before, after in itertools.pairwise(flips)]
    late = [1000 * latency for latency in latencies]
    print(f"{wanted.view}, inside {wanted.inside}, {wanted.size[0]}x{wanted.size[1]}:")
    print(f"  {1000 / statistics.mean(gaps):.1f} frames/s, {_ninety_five(gaps)}")
    print(f"  key to picture: median {statistics.median(late):.1f} ms, {_ninety_five(late)}, {len(late)} key presses")
    print(f"  processor time: {1000 * processor / len(flips):.1f} ms a frame")


def _ninety_five(milliseconds: list[float]) -> str:
    return f"95 % within {statistics.quantiles(milliseconds, n=20)[-1]:.1f} ms"


if __name__ == "__main__":
    with one_thread_for_long():
        measure(tyro.cli(Measurement, description=__doc__))
