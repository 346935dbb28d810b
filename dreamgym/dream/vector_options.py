"""What a vector environment's constructor and reset may be passed, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from dreamgym.errors import ConfigError

__all__ = ["Seeds", "parse_autoreset_mode", "parse_seeds", "take_reset_mask"]

Seeds = int | Sequence[int | None] | None
"""An int gives environment i seed + i; a list gives each its own, or None to go on; None: all go on."""


def parse_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode, also by its value, such as "SameStep".

    Raises:
        ConfigError: for anything else.
    """
    try:
        return AutoresetMode(mode)
    except ValueError as error:
        wanted = [each.value for each in AutoresetMode]
        raise ConfigError(f"autoreset_mode must be an AutoresetMode or one of {wanted}, got {mode!r}") from error


def parse_seeds(seed: Seeds, num_envs: int) -> list[int | None]:
    """Each environment's seed, or None to go on.

    Raises:
        ConfigError: for a list of another length, or a negative seed in it.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + row for row in range(num_envs)]
    seeds = [None if each is None else int(each) for each in seed]
    if len(seeds) != num_envs or any(each is not None and each < 0 for each in seeds):
        raise ConfigError(f"expected {num_envs} seeds of at least 0, one an environment; got {seeds[:8]}")
    return seeds


def take_reset_mask(options: dict[str, Any] | None, num_envs: int) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """The environments to reset, bool of shape (num_envs,), and the other options.

    The options given stay as they are: wrappers read the mask in them after us.

    Raises:
        ConfigError: for a mask of another type or shape, or with none true.
    """
    others = dict(options or {})
    mask = others.pop("reset_mask", None)
    if mask is None:
        return np.ones(num_envs, np.bool_), others
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else repr(type(mask))
        raise ConfigError(f"options['reset_mask'] must be a bool array of shape ({num_envs},); got {got}")
    if not mask.any():
        raise ConfigError("options['reset_mask'] must have at least one True; got none")
    return mask.copy(), others
