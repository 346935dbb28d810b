"""What an episode of CarRacing is paid for."""

from __future__ import annotations

import numpy as np

from dreamgym.data.episodes import Episode
from dreamgym.worlds.registry import find


def tiles(episode: Episode) -> np.ndarray:
    """New tiles touched in each step."""
    return find().rewards.units(episode.rewards, episode.total_units)
