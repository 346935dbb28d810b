"""``dreamgym import``: episodes of recordings that were made elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym.config import ImportConfig
from dreamgym.data.episodes import Episode, episode_paths, read_arrays, write_episode
from dreamgym.errors import ActionError, ConfigError, EpisodeFileError, InstallationError, RewardError
from dreamgym.files import claim_folder, file_sha256
from dreamgym.worlds.base import FRAME_SHAPE, RewardRule, World
from dreamgym.worlds.registry import find
from dreamgym.worlds.resize import Resize

__all__ = ["import_recordings", "run"]

_ROUNDING = 1e-3
"""What actions may be beyond their range: the reference code stores them in half precision."""


class _Steps(NamedTuple):
    """A recording of T steps, each action between the frames before and after it."""

    source: str
    lasted: int
    """Steps of the episode, of which the first may not be among the T."""
    frames: NDArray[Any]
    """(T + 1, H, W) or (T + 1, H, W, C); (T, ...) where the frame after the last action was not recorded."""
    actions: NDArray[Any]
    """(T,) or (T, A), as recorded."""
    rewards: NDArray[Any] | None
    """(T,)."""
    done: bool | None
    """Whether the episode was over after its last step; None where that was not recorded."""
    time_limit: bool = True
    """Whether ``done`` may come from a time limit."""
    unseen: float = 0.0
    """Reward of a step without its frame, which counts towards a complete episode."""


def import_recordings(config: ImportConfig) -> Path:
    """Write the episodes that are not there yet.

    A folder of other episodes is left alone.

    Returns:
        The folder of the episodes.

    Raises:
        ActionError: actions that the world does not have.
        ConfigError: no recordings, or something is not recorded and no setting says what it was.
        EpisodeFileError: a recording that is damaged or of another layout.
        InstallationError: the format "minari" without Minari.
        OutputFolderError: the output folder holds something else.
        RewardError: rewards that are not finite.
    """
    world = find(config.world)
    if not config.recordings.is_dir():
        raise ConfigError(f"recordings: expected a folder, there is none at {config.recordings}; correct its name")
    inputs = {"recordings_sha256": _sha256(config), "preprocess_version": str(world.preprocess.version)}
    with claim_folder(config.out, config, inputs=inputs):
        found = 0
        for steps in tqdm(_read(config), desc="import", unit="episode", mininterval=2):
            path = config.out / f"episode-{found:06d}.npz"
            if not path.exists():
                write_episode(path, _episode(steps, config, world, found))
            found += 1
    if not found:
        raise ConfigError(f"recordings: expected recordings below {config.recordings}, found none")
    return config.out


def _files(config: ImportConfig, pattern: str) -> list[Path]:
    """Files of the recordings; what is made of them may lie among them."""
    paths = sorted(config.recordings.rglob(pattern))
    return [path for path in paths if not path.is_dir() and not path.absolute().is_relative_to(config.out.absolute())]


def _sha256(config: ImportConfig) -> str:
    paths = (path for path in _files(config, "*") if path.is_file())
    lines = (f"{path.relative_to(config.recordings).as_posix()} {file_sha256(path)}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _read(config: ImportConfig) -> Iterator[_Steps]:
    if config.format == "minari":
        yield from _minari(config.recordings)
        return
    read = _obs if config.format == "obs" else _observations
    for path in _files(config, "*.npz"):
        yield read(path)


def _obs(path: Path) -> _Steps:
    """A frame beside the action that was taken in it."""
    arrays = read_arrays(path)
    frames, actions = _named(path, arrays, "obs", "action")
    rewards, done = (_one_a_step(path, name, arrays[name]) if name in arrays else None for name in ("reward", "done"))
    over = None if done is None or not len(done) else _over(path, done)
    return _Steps(str(path), len(actions), frames, actions, rewards, over)


def _observations(path: Path) -> _Steps:
    """A frame beside the action that led to it, so that the first action and reward are of a frame that is missing."""
    arrays = read_arrays(path)
    frames, actions, rewards, terminals = _named(path, arrays, "observations", "actions", "rewards", "terminals")
    rewards, terminals = _one_a_step(path, "rewards", rewards), _one_a_step(path, "terminals", terminals)
    count = len(frames)  # actions may have been drawn for longer than the episode lasted
    over = _over(path, terminals) if len(terminals) else False
    return _Steps(str(path), count, frames, actions[1:count], rewards[1:count], over, unseen=float(rewards[:1].sum()))


def _over(path: Path, ends: NDArray[Any]) -> bool:
    """Whether the episode was over after its last step."""
    if (ends[:-1].astype(bool) & ~ends[1:].astype(bool)).any():  # a recorder may go on saying that it is over
        raise EpisodeFileError(
            f"{path}: expected one episode, got the end of one in step {int(ends.argmax()) + 1} of {len(ends)}; "
            "write each episode to a file of its own"
        )
    return bool(ends[-1])


def _minari(folder: Path) -> Iterator[_Steps]:
    data = folder / "data"
    try:
        import minari

        recorded = minari.MinariDataset(data if data.is_dir() else folder)
    except ImportError as error:
        raise InstallationError(f"Minari data sets need Minari ({error}); run: pip install 'minari[hdf5]'") from error
    except (OSError, ValueError, KeyError) as error:
        raise EpisodeFileError(f"{folder}: expected a Minari data set, with its folder data; got {error}") from error
    for episode in recorded.iterate_episodes():
        over = bool(episode.terminations[-1]) if len(episode.terminations) else False
        yield _Steps(
            f"{folder}, episode {episode.id}",
            len(episode.actions),
            episode.observations,
            episode.actions,
            episode.rewards,
            over,
            time_limit=False,
        )


def _named(path: Path, arrays: Mapping[str, NDArray[Any]], *names: str) -> list[NDArray[Any]]:
    if not set(names) <= set(arrays):
        raise EpisodeFileError(
            f"{path}: expected the arrays {', '.join(names)}, got {', '.join(arrays)}; choose the --format that fits"
        )
    return [_numbers(path, name, arrays[name]) for name in names]


def _numbers(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if not array.ndim or array.dtype.kind not in "biuf":
        raise EpisodeFileError(
            f"{path}: expected numbers of each step as {name}, got {array.dtype} of shape {array.shape}"
        )
    return array


def _one_a_step(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    """(T,), of (T,) or (T, 1)."""
    array = _numbers(path, name, array)
    if array.size != len(array):
        raise EpisodeFileError(f"{path}: expected one number of each step as {name}, got the shape {array.shape}")
    return array.reshape(-1)


def _episode(steps: _Steps, config: ImportConfig, world: World, index: int) -> Episode:
    terminated = _terminated(steps, config, world.max_episode_steps)
    steps = _whole(steps, terminated)
    rewards = _rewards(steps, config, world.rewards)
    recorded = steps.rewards is not None  # what is put in their place says nothing of units
    units, complete = _units(world.rewards, rewards, steps.unseen) if recorded else (world.rewards.unit, False)
    return Episode(
        frames=_pictures(steps, world, config.invert),
        actions=_actions(steps, config, world),
        rewards=rewards,
        terminated=terminated,
        truncated=not terminated,
        complete=complete,
        total_units=units,
        seed=index,
        player="imported",
        versions={"preprocess": world.preprocess.version, "imported": config.format},
        world=world.name,
    )


def _whole(steps: _Steps, terminated: bool) -> _Steps:
    """The recording with a frame after its last action: the one before it stands for that of a termination, whose step
    says that the episode ends; any other last step is left out.
    """
    count, frames = len(steps.actions), steps.frames
    fits = count > 0 and len(frames) - count in (0, 1) and (steps.rewards is None or len(steps.rewards) == count)
    if not fits or (count, len(frames), terminated) == (1, 1, False):
        paid = "none" if steps.rewards is None else len(steps.rewards)
        raise EpisodeFileError(
            f"{steps.source}: expected T actions and rewards, at least 1, with T + 1 frames, or T of at least 2; got "
            f"{count} actions, {len(frames)} frames and {paid} rewards"
        )
    if len(frames) > count:
        return steps
    if terminated:
        return steps._replace(frames=np.concatenate([frames, frames[-1:]]))
    return steps._replace(actions=steps.actions[:-1], rewards=None if steps.rewards is None else steps.rewards[:-1])


def _pictures(steps: _Steps, world: World, invert: bool) -> NDArray[np.uint8]:
    """Frames for V: raw ones by the world's preprocessing, 64 x 64 ones as they are, others resized as a whole."""
    frames = steps.frames
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim not in (3, 4):
        came = f"{frames.dtype} of shape {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise EpisodeFileError(
            f"{steps.source}: expected frames as uint8 of shape (T + 1, H, W) or (T + 1, H, W, C), got {came}"
        )
    raw = world.preprocess.raw_shape
    one_channel = {(), (1,)}
    if frames.shape[1:3] == raw[:2] and {frames.shape[3:], raw[2:]} == one_channel:
        frames = frames.reshape(-1, *raw)
    shape = frames.shape[1:]
    if shape[2:] not in ((), (1,), (3,)):
        raise EpisodeFileError(
            f"{steps.source}: expected frames of one or three channels, which come last, got the shape {shape}"
        )
    if invert:
        frames = 255 - frames
    if shape == raw:
        return np.concatenate([world.preprocess(frame[None]) for frame in frames])
    grey = isinstance(world.preprocess.convert, Resize) and world.preprocess.convert.grey
    if shape == FRAME_SHAPE and not grey:
        return frames
    resize = Resize(shape, (0, shape[0], 0, shape[1]), grey)
    return np.concatenate([resize(frame[None]) for frame in frames])


def _actions(steps: _Steps, config: ImportConfig, world: World) -> NDArray[np.float32]:
    """What the world executed, (T, A): of the environment's own actions, of numbers, or of indices of discrete ones."""
    given, actions = np.asarray(steps.actions), world.actions
    if world.own_actions is not None and config.action_low is None:
        try:
            return actions.executed(world.own_actions(given))
        except ActionError as error:
            ranges = ". Where the recording has another range, name it by --action-low and --action-high"
            raise ActionError(f"{steps.source}: {error}{ranges if actions.rule == 'given' else ''}") from error
    integers = np.issubdtype(given.dtype, np.integer)
    if integers and actions.discrete and given.size == len(given):
        index = given.reshape(-1)
        if index.min() < 0 or index.max() >= len(actions.discrete):
            raise ActionError(
                f"{steps.source}: expected discrete actions 0 to {len(actions.discrete) - 1}, got {index.min()} to "
                f"{index.max()}"
            )
        return actions.executed(np.array(actions.discrete, np.float32)[index])
    vectors = given.reshape(len(given), -1).astype(np.float32)
    low, high = np.array(actions.low, np.float32), np.array(actions.high, np.float32)
    if config.action_low is not None and config.action_high is not None:
        vectors = low + (vectors - config.action_low) / (config.action_high - config.action_low) * (high - low)
    fits = vectors.shape[1] == actions.size and np.isfinite(vectors).all()
    if not fits or (vectors < low - _ROUNDING).any() or (vectors > high + _ROUNDING).any():
        raise ActionError(
            f"{steps.source}: expected actions of {actions.size} numbers within {actions.low} and {actions.high}; "
            f"got {given.dtype} of shape {given.shape}, from {given.min()} to {given.max()}. Where the recording has "
            "another range, name it by --action-low and --action-high"
        )
    return actions.executed(np.clip(vectors, low, high).astype(np.float32))


def _rewards(steps: _Steps, config: ImportConfig, rule: RewardRule) -> NDArray[np.float32]:
    if steps.rewards is not None:
        rewards = np.asarray(steps.rewards, np.float32).reshape(-1)
        if not np.isfinite(rewards).all():
            raise RewardError(f"{steps.source}: expected finite rewards, got NaN or infinity; correct the recording")
        return rewards
    missing = rule.constant if rule.head == "none" else config.missing_reward
    if missing is None:
        raise ConfigError(
            f"{steps.source} has no rewards; say --missing-reward 0 and train M with --reward-weight 0, or record them"
        )
    return np.full(len(steps.actions), missing, np.float32)


def _units(rule: RewardRule, rewards: NDArray[np.float32], unseen: float) -> tuple[float, bool]:
    """Units in a progress of 1, by the smallest gain where they are counted, and whether the cap was reached."""
    gains = rewards.astype(np.float64) - rule.constant
    paid = gains[gains > abs(rule.scale) * 1e-6]
    units = rule.scale / float(paid.min()) if rule.head == "count" and len(paid) else rule.unit
    made = float(gains.sum()) + max(unseen - rule.constant, 0.0)
    complete = rule.cap is not None and made >= rule.scale * rule.cap * (1 - 1e-6)
    return units, complete


def _terminated(steps: _Steps, config: ImportConfig, limit: int) -> bool:
    short = steps.lasted < limit
    if config.terminations != "recorded":
        return config.terminations == "short" and short
    if steps.done is None:
        raise ConfigError(
            f"{steps.source} does not say how it ended; say --terminations short where only the time limit cuts "
            "episodes off otherwise, or --terminations never"
        )
    return steps.done and (short or not steps.time_limit)


def run(config: ImportConfig) -> None:
    """The command ``dreamgym import``."""
    folder = import_recordings(config)
    print(f"{len(episode_paths(folder))} episodes in {folder}")
