"""What may be passed as temperature, parsed in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamgym.errors import ConfigError, TemperatureError

__all__ = ["Temperature", "parse_temperature", "temperature_ranges"]

Temperature = float | Sequence[float] | None
"""None for the card's, a number, or (low, high) to draw from uniformly at each episode's start."""


def _positive(value: Any, given: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TemperatureError(f"temperature must be a number, a (low, high) pair or None; got {given!r}")
    try:
        number = float(np.float32(value))  # float32 is what the dream works in
    except OverflowError:  # a whole number of any length
        number = math.inf
    if not (math.isfinite(number) and number > 0.0):
        raise TemperatureError(f"temperature must be positive and finite; got {given!r}")
    return number


def parse_temperature(value: Any, default: float) -> tuple[float, float]:
    """The range that an episode's temperature is drawn from.

    Both limits are equal for a fixed one.

    Args:
        value: None, a number, or a sequence (low, high); arrays and tensors count as what they hold.
        default: what None stands for.

    Raises:
        TemperatureError: when not positive and finite, not of these forms, or low > high.
    """
    if value is None:
        value = default
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes)) and np.ndim(value) == 1:
        if len(value) != 2:
            raise TemperatureError(f"a temperature range is (low, high); got {len(value)} values: {value!r}")
        low, high = (_positive(end, value) for end in value)
        if low > high:
            raise TemperatureError(f"a temperature range is (low, high) with low <= high; got {value!r}")
        return low, high
    number = _positive(value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value, value)
    return number, number


def temperature_ranges(
    value: Temperature | Tensor, default: float, num_envs: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Each row's range, two tensors of float32 (num_envs,).

    From one range for all rows, or from a tensor (num_envs,) of fixed temperatures.

    Raises:
        TemperatureError: unless positive and finite.
        ConfigError: for a tensor of another length.
    """
    if isinstance(value, Tensor) and value.ndim == 1:
        if len(value) != num_envs:
            raise ConfigError(f"expected {num_envs} temperatures, one a row; got {len(value)}")
        numbers = [parse_temperature(number, default)[0] for number in value.tolist()]
        each = torch.tensor(numbers, dtype=torch.float32, device=device)
        return each, each
    low, high = (
        torch.full((num_envs,), end, dtype=torch.float32, device=device) for end in parse_temperature(value, default)
    )
    return low, high
