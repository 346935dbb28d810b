"""What may be passed as temperature, start state and reset options, parsed in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from dreamgym.errors import ConfigError, ObservationError, TemperatureError
from dreamgym.real.preprocess import FRAME_SHAPE, preprocess

if TYPE_CHECKING:
    from dreamgym.world_model import StartBank

__all__ = ["Temperature", "parse_temperature", "reset_arguments", "start_candidates", "temperature_ranges"]

Temperature = float | Sequence[float] | None
"""None for the card's, a number, or (low, high) to draw from uniformly at each episode's start."""


def _positive(value: Any, given: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TemperatureError(f"temperature must be a number, a (low, high) pair or None; got {given!r}")
    number = float(np.float32(value))  # float32 is what the dream works in
    if not (math.isfinite(number) and number > 0.0):
        raise TemperatureError(f"temperature must be positive and finite; got {given!r}")
    return number


def parse_temperature(value: Any, default: float) -> tuple[float, float]:
    """The range that an episode's temperature is drawn from; both ends are equal for a fixed one.

    Args:
        value: None, a number, or a sequence (low, high).
        default: what None stands for.

    Raises:
        TemperatureError: when not positive and finite, not of these forms, or low > high.
    """
    if value is None:
        value = default
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
    """Each row's range, two tensors of float32 (num_envs,), from one for all or a tensor (num_envs,) of fixed ones.

    Raises:
        TemperatureError: unless positive and finite.
        ConfigError: for a tensor of another length.
    """
    if isinstance(value, Tensor) and value.ndim == 1:
        if len(value) != num_envs:
            raise ConfigError(f"expected {num_envs} temperatures, one a row; got {len(value)}")
        each = torch.tensor([parse_temperature(number, default)[0] for number in value.tolist()], device=device)
        return each, each
    low, high = parse_temperature(value.item() if isinstance(value, Tensor) else value, default)
    return torch.full((num_envs,), low, device=device), torch.full((num_envs,), high, device=device)


def start_candidates(start: Any, bank: StartBank) -> Tensor:
    """Which of the bank's states a reset may choose from.

    Args:
        start: "line" for true starts of a lap, "anywhere" for those and moments of any kind, "hard" for moments before
            a sharp bend or a mishap and after one, or the index of a state.
        bank: the world model's start states.

    Returns:
        int64 of shape (n,), n >= 1.

    Raises:
        ConfigError: for anything else, or an index that the bank does not have.
    """
    count = len(bank.z)
    if isinstance(start, str) and start == "anywhere":
        return _at_least_one(~bank.hard, start)
    if isinstance(start, str) and start == "line":
        return _at_least_one(bank.at_line, start)
    if isinstance(start, str) and start == "hard":
        return _at_least_one(bank.hard, start)
    if isinstance(start, (int, np.integer)) and not isinstance(start, bool):
        if not 0 <= start < count:
            raise ConfigError(f"start index must be in 0..{count - 1} for this world model's bank; got {start}")
        return torch.tensor([int(start)], device=bank.z.device)
    raise ConfigError(f'start must be "line", "anywhere", "hard" or an index into the bank of states; got {start!r}')


def _at_least_one(chosen: Tensor, start: str) -> Tensor:
    found = torch.nonzero(chosen).flatten()
    if not len(found):
        raise ConfigError(f"this world model's bank has no start state for start={start!r}; use another")
    return found


_RESET_OPTIONS: Final = ("start", "temperature", "observation", "state", "progress")


def reset_arguments(options: Mapping[str, Any] | None, start: str | int) -> dict[str, Any]:
    """``options`` of an environment's reset as arguments of :meth:`dreamgym.dream.core.DreamCore.reset`.

    Args:
        options: as given to the environment.
        start: where episodes begin unless the options say otherwise.

    Raises:
        ConfigError: for an option that does not exist, or options that exclude each other.
        ObservationError: for a frame of another shape or type.
    """
    arguments = dict(options or {})
    unknown = sorted(set(arguments) - set(_RESET_OPTIONS), key=str)
    if unknown:
        raise ConfigError(f"reset takes the options {list(_RESET_OPTIONS)}; got {unknown}")
    arguments = {"start": start} | {name: value for name, value in arguments.items() if value is not None}
    if "observation" in arguments:
        if (options or {}).get("start") is not None:
            raise ConfigError("an episode starts at options['observation'] or at options['start'], not both")
        arguments["observation"] = _frames(arguments["observation"])
    if "state" in arguments:
        arguments["state"] = _state(arguments["state"])
    if "progress" in arguments:
        arguments["progress"] = _share(arguments["progress"])
    return arguments


def _frames(value: Any) -> Tensor:
    """One real frame or a batch of them, preprocessed unless they are; uint8 of shape (..., 64, 64, 3)."""
    frames = np.asarray(value)
    if frames.ndim not in (3, 4) or frames.shape[-3:] != FRAME_SHAPE:
        frames = preprocess(frames)
    if frames.dtype != np.uint8:
        raise ObservationError(f"expected a frame as uint8 of shape {FRAME_SHAPE}; got {frames.dtype}")
    return torch.from_numpy(np.array(frames))


def _state(value: Any) -> tuple[Tensor, Tensor]:
    try:
        h, c = (torch.from_numpy(np.array(part, dtype=np.float32)) for part in value)
    except (TypeError, ValueError) as error:
        raise ObservationError(f"options['state'] must be (h, c), two arrays of M's hidden size: {error}") from error
    return h, c


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ConfigError(f"progress is the share of the lap made, a number in [0, 1]; got {value!r}")
    return float(value)
