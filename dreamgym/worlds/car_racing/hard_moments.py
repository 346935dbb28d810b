"""Moments of recorded episodes that are worth practising: before a mishap or a sharp bend, and after a mishap."""

from __future__ import annotations

from typing import Final

import numpy as np

from dreamgym.worlds.base import HardMoments, RecordedSteps

__all__ = ["HARD_MOMENTS", "moments_after_mishaps", "moments_before_mishaps", "moments_before_sharp_bends"]

_FIRST: Final = 30
"""The first frame that may be one: M's hidden state then holds speed and slip."""
_FPS: Final = 50


def moments_before_mishaps(episode: RecordedSteps) -> list[int]:
    """Frames at which an episode still makes progress that soon ends.

    4 units or more in the last 30 frames, and at most 3 in all from the 20th to the 80th frame ahead.
    """
    total = np.concatenate([[0.0], np.cumsum(episode.progress)])
    now = np.arange(_FIRST, len(episode) - 80)
    ended = total[now + 80] - total[now + 20] <= 3
    moving = total[now] - total[now - 30] >= 4
    found: list[int] = now[ended & moving].tolist()
    return found


def moments_before_sharp_bends(episode: RecordedSteps) -> list[int]:
    """Frames before a turn of more than 2 radians, at speed.

    At more than 42 units/s, hardly sliding, with the turn in the second that begins 10 frames ahead; none where motion
    was not recorded.
    """
    if "motion" not in episode.labels:
        return []
    forward, sideways, yaw_rate, _ = episode.labels["motion"].astype(np.float64).T  # in 50 units/s, 10 units/s, rad/s
    heading = np.concatenate([[0.0], np.cumsum(yaw_rate)]) / _FPS
    now = np.arange(_FIRST, len(episode) - 60)
    turning = np.abs(heading[now + 60] - heading[now + 10]) > 2.0
    found: list[int] = now[turning & (forward[now] > 0.85) & (np.abs(sideways[now]) < 0.5)].tolist()
    return found


def moments_after_mishaps(episode: RecordedSteps) -> list[int]:
    """Frames after a second and a half without progress.

    Of episodes that had made some before.
    """
    total = np.concatenate([[0.0], np.cumsum(episode.progress)])
    now = np.arange(_FIRST + 75, len(episode))
    found: list[int] = now[(total[now] == total[now - 75]) & (total[now] > 4)].tolist()
    return found


HARD_MOMENTS: Final = (
    HardMoments("before a mishap", 0.4, moments_before_mishaps),
    HardMoments("before a sharp bend", 0.45, moments_before_sharp_bends),
    HardMoments("after a mishap", 0.15, moments_after_mishaps),
)
