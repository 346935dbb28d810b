"""What constructors and resets may be passed, checked in one place for single and vector environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.errors import BundleVersionError, ConfigError, ObservationError
from dreamgym.world_model import StartBank, WorldModel
from dreamgym.worlds.base import FRAME_SHAPE, Preprocess
from dreamgym.worlds.registry import find, find_registered

__all__ = [
    "Seeds",
    "has_render_mode",
    "known_preprocess",
    "open_world_model",
    "parse_autoreset_mode",
    "parse_device",
    "parse_seeds",
    "parse_steps",
    "refuse_dream_options",
    "require_count",
    "require_flag",
    "reset_arguments",
    "start_candidates",
    "take_reset_mask",
]

Seeds = int | Sequence[int | None] | None
"""An int gives environment i seed + i; a list gives each its own, or None to go on; None: all go on."""


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def require_count(name: str, value: Any) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError` unless a number is whole and at least 1."""
    if not _is_whole(value) or value < 1:
        raise ConfigError(f"{name} must be a whole number, at least 1, got {value!r}")


def require_flag(name: str, value: Any) -> None:
    """Raise :class:`~dreamgym.errors.ConfigError` unless a value is a bool: "no" would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} must be True or False, got {value!r}")


def has_render_mode(mode: str | None, make: str) -> bool:
    """Whether there is a mode to render in; warns where there is none.

    Args:
        mode: the environment's.
        make: what made it, such as ``"gym.make"``.
    """
    if mode is None:
        gym.logger.warn(f'render() needs a mode: {make}(..., render_mode="rgb_array")')
    return mode is not None


def parse_steps(name: str, value: Any, default: int) -> int | None:
    """A time limit: whole steps, None for never, or "world" for the world model's.

    Raises:
        ConfigError: for anything else.
    """
    if value is None:
        return None
    if isinstance(value, str) and value == "world":
        return default
    if not _is_whole(value) or value < 1:
        raise ConfigError(
            f'{name} must be at least 1 and whole, None for never, or "world" for the world model\'s; got {value!r}'
        )
    return int(value)


def open_world_model(world_model: WorldModel | str | Path | None, world: str | None) -> WorldModel:
    """A world model as it is, or the bundle of a folder; see :meth:`~dreamgym.world_model.WorldModel.load`.

    Raises:
        ConfigError: it is neither.
        BundleError: the bundle is missing, damaged, or of another world.
    """
    if isinstance(world_model, WorldModel):
        if world not in (None, world_model.world_name) and find(world).name != world_model.world_name:
            raise BundleVersionError(f"world_model: expected one of {world!r}, got one of {world_model.world_name!r}")
        return world_model
    if world_model is not None and not isinstance(world_model, (str, Path)):
        raise ConfigError(f"world_model must be a folder, a WorldModel, or None for the default; got {world_model!r}")
    return WorldModel.load(world_model, world=world)


def known_preprocess(world_model: WorldModel) -> Preprocess | None:
    """How the world's raw frames are preprocessed, where the world is registered here."""
    try:
        return find_registered(world_model.world_name).preprocess
    except ConfigError:
        return None


def parse_device(device: Any) -> torch.device:
    """A device that torch can use.

    Raises:
        ConfigError: there is no such device here.
    """
    try:
        parsed = torch.device(device)
        torch.empty(1, device=parsed)
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:  # what torch says varies
        raise ConfigError(
            f'device must be one that torch can use here, such as device="cpu"; got {device!r}'
        ) from error
    return parsed


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
        ConfigError: for anything but whole numbers of at least 0, or a list of another length.
    """
    if seed is None:
        return [None] * num_envs
    given: Any = seed
    if _is_whole(given):
        seeds = [given + row for row in range(num_envs)]
    else:
        seeds = list(given) if isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, (str, bytes)) else []
    if len(seeds) != num_envs or any(each is not None and not (_is_whole(each) and each >= 0) for each in seeds):
        got = seeds[:8] if seeds else repr(seed)
        raise ConfigError(f"expected {num_envs} seeds, whole numbers of at least 0, one an environment; got {got}")
    return [None if each is None else int(each) for each in seeds]


def take_reset_mask(options: Mapping[str, Any] | None, num_envs: int) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """The environments to reset, bool of shape (num_envs,), and the other options.

    The options given stay as they are: wrappers read the mask in them after us.

    Raises:
        ConfigError: for a mask of another type or shape, or with none true; for options that are no dict.
    """
    others = _options(options)
    mask = others.pop("reset_mask", None)
    if mask is None:
        return np.ones(num_envs, np.bool_), others
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else repr(type(mask))
        raise ConfigError(f"options['reset_mask']: expected a bool array of shape ({num_envs},), got {got}")
    if not mask.any():
        raise ConfigError("options['reset_mask']: expected at least one True, got none")
    return mask.copy(), others


def _options(options: Any) -> dict[str, Any]:
    """A copy."""
    if options is not None and not isinstance(options, Mapping):
        raise ConfigError(f"reset takes options as a dict or None; got {options!r}")
    return dict(options or {})


def start_candidates(start: Any, bank: StartBank) -> Tensor:
    """Which of the bank's states a reset may choose from.

    Args:
        start: "beginning" for true starts, "anywhere" for those and moments of any kind, "hard" for moments
            before a sharp bend or a mishap and after one, or the index of a state.
        bank: the world model's start states.

    Returns:
        int64 of shape (n,), n >= 1.

    Raises:
        ConfigError: for anything else, or an index that the bank does not have.
    """
    count = len(bank.z)
    if isinstance(start, str) and start == "anywhere":
        return _at_least_one(~bank.hard, start)
    if isinstance(start, str) and start == "beginning":
        return _at_least_one(bank.at_start, start)
    if isinstance(start, str) and start == "hard":
        return _at_least_one(bank.hard, start)
    if isinstance(start, (int, np.integer)) and not isinstance(start, bool):
        if not 0 <= start < count:
            raise ConfigError(f"start index must be in 0..{count - 1} for this world model's bank; got {start}")
        return torch.tensor([int(start)], device=bank.z.device)
    raise ConfigError(
        f'start must be "beginning", "anywhere", "hard" or an index into the bank of states; got {start!r}'
    )


def _at_least_one(chosen: Tensor, start: str) -> Tensor:
    found = torch.nonzero(chosen).flatten()
    if not len(found):
        raise ConfigError(f"this world model's bank has no start state for start={start!r}; use another")
    return found


_RESET_OPTIONS: Final = ("start", "temperature", "observation", "state", "progress")


def reset_arguments(
    options: Mapping[str, Any] | None, start: str | int, preprocess: Preprocess | None
) -> dict[str, Any]:
    """``options`` of an environment's reset as arguments of :meth:`dreamgym.dream.core.DreamCore.reset`.

    Args:
        options: as given to the environment.
        start: where episodes begin unless the options say otherwise.
        preprocess: for real frames as the world gives them; None takes preprocessed ones alone.

    Raises:
        ConfigError: for an option that does not exist, or options that exclude each other.
        ObservationError: for a frame of another shape or type.
    """
    arguments = _options(options)
    unknown = sorted(set(arguments) - set(_RESET_OPTIONS), key=str)
    if unknown:
        raise ConfigError(f"reset takes the options {list(_RESET_OPTIONS)}; got {unknown}")
    arguments = {"start": start} | {name: value for name, value in arguments.items() if value is not None}
    if "observation" in arguments:
        if (options or {}).get("start") is not None:
            raise ConfigError("an episode starts at options['observation'] or at options['start'], not both")
        arguments["observation"] = _frames(arguments["observation"], preprocess)
    if "state" in arguments:
        arguments["state"] = _state(arguments["state"])
    if "progress" in arguments:
        arguments["progress"] = _share(arguments["progress"])
    return arguments


def refuse_dream_options(options: Mapping[str, Any] | None) -> None:
    """Refuse options of a dream's reset, which a real environment would take no notice of.

    Raises:
        ConfigError: it got some, or options that are no dict.
    """
    found = sorted(set(_options(options)) & set(_RESET_OPTIONS))
    if found:
        raise ConfigError(f"reset of a real environment takes none of a dream's options; got {found}, leave them out")


def _frames(value: Any, preprocess: Preprocess | None) -> Tensor:
    """One real frame or a batch of them, preprocessed unless they are; uint8 of shape (..., 64, 64, 3)."""
    frames = np.asarray(value)
    if frames.ndim not in (3, 4) or frames.shape[-3:] != FRAME_SHAPE:
        if preprocess is None:
            raise ObservationError(f"expected a preprocessed frame, uint8 of shape {FRAME_SHAPE}; got {frames.shape}")
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
        raise ConfigError(f"progress is the share of an episode made, a number in [0, 1]; got {value!r}")
    return float(value)
