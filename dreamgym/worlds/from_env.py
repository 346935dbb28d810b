"""The description of any Gymnasium environment that shows pictures, made by looking at it."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import gymnasium as gym
import numpy as np

from dreamgym.errors import ConfigError, InstallationError
from dreamgym.worlds import registry
from dreamgym.worlds.base import ActionSet, Preprocess, Recording, RewardRule, World
from dreamgym.worlds.found_actions import described_actions
from dreamgym.worlds.random_players import DriftingPlayer, RandomPlayer
from dreamgym.worlds.recording import LONGEST
from dreamgym.worlds.resize import Crop, Resize
from dreamgym.worlds.world_env import WorldEnv, is_picture

__all__ = ["from_env"]

PROBED_STEPS: Final = 50
"""Random steps in which an environment is looked at before it is described."""

RECIPE: Final[Mapping[str, Any]] = {
    "rounds": 3,
    "vision": {
        "batch_size": 64,
        "error_power_weight": 30.0,
        "free_nats": 0.1,
        "frame_stride": 2,
        "start_at_mean": True,
    },
    "memory": {"steps": 4000, "input_noise": 0.1, "lasting_noise": 0.0},
    "evolve": {
        "population": 32,
        "rollouts": 16,
        "sigma": 0.3,
        "smoothness": 0.0,
        "beginning_share": 0.5,
    },
    "factor_gain": 1.0,
}
"""Settings of ``train all`` where a description gives none. V learns to draw small things; actions may be hasty."""

Source = str | Callable[[str | None], gym.Env[Any, Any]]


def from_env(
    env: Source,
    *,
    name: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    picture: Literal["observation", "render"] | None = None,
    crop: Crop | None = None,
    grey: bool = False,
    frame_skip: int = 1,
    max_episode_steps: int | None = None,
    frames: int = 60_000,
    **changes: Any,
) -> World:
    """Describe an environment that shows pictures.

    It is made, and played at random for a few steps. M learns the reward and when episodes end. Players act at random:
    anew in each step, or holding an action for a while; those of a ``Box`` drift as well.

    Args:
        env: Gymnasium's id, ``module:id`` where a module registers it, or a function of the render mode that makes it.
        name: in CamelCase, for the ids ``Dream<name>-v0`` and ``Latent<name>-v0``; from the id when None.
        arguments: of ``gym.make``.
        picture: where frames come from; None for the observation where it is a picture, else ``render()``.
        crop: top, bottom, left and right of the part that V sees, pixels; the lower or right end is not in it.
        grey: whether V sees brightness alone, in all three channels.
        frame_skip: steps of the environment in which an action is repeated; their rewards are added up.
        max_episode_steps: time limit, after skipping; that of Gymnasium's registration when None.
        frames: how many are recorded before the first round of ``train all``, about.
        changes: other fields of :class:`~dreamgym.worlds.base.World`, in place of those made here. Settings in
            ``recipe`` replace those of their names; the others stay.

    Raises:
        ActionError: actions other than Discrete, MultiBinary, or a finite Box of one dimension.
        ConfigError: an environment that cannot be made, no time limit, or a setting out of range.
        InstallationError: a library that the environment needs is missing.
        ObservationError: no pictures, or pictures that change their size.
        RewardError: a reward that is not finite.
    """
    name = name or _name(env)
    registry.require_new(name)
    for setting, value in (("frame_skip", frame_skip), ("max_episode_steps", max_episode_steps), ("frames", frames)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
            raise ConfigError(f"{setting}: expected a whole number, 1 or more, got {value!r}")
    if crop is not None and (len(crop) != 4 or any(int(edge) != edge for edge in crop)):
        raise ConfigError(f"crop: expected four whole numbers, top, bottom, left and right, got {crop}")
    if picture not in (None, "observation", "render"):
        raise ConfigError(f"picture: expected 'observation', 'render' or None, got {picture!r}")
    arguments = dict(arguments or {})
    rendered = picture == "render" or (picture is None and not _shows_pictures(env, arguments))
    frame_skip, frames = int(frame_skip), int(frames)  # of NumPy's kind they could not be recorded as JSON
    make = functools.partial(_make, env, arguments, rendered, frame_skip)
    seen = _probe(make)
    limit = int(max_episode_steps or 0) or _registered_limit(seen.env_id if isinstance(env, str) else None, frame_skip)
    top, bottom, left, right = map(int, crop or (0, seen.frame_shape[0], 0, seen.frame_shape[1]))
    chosen = picture == "render" and _shows_pictures(env, arguments)  # in place of the observation
    resize = Resize(seen.frame_shape, (top, bottom, left, right), bool(grey))
    players = changes.get("players") or _players(seen)
    described: dict[str, Any] = {
        "name": name,
        "env_id": env if isinstance(env, str) else name,
        "make_env": functools.partial(make_env, make, seen.actions, rendered, max_episode_steps=limit),
        "preprocess": Preprocess(seen.frame_shape, resize, _frames_version(resize, chosen, frame_skip)),
        "actions": seen.actions,
        "rewards": RewardRule(head="value"),
        "fps": max(1, round(seen.fps / frame_skip)),
        "max_episode_steps": limit,
        "players": players,
        "recordings": {
            "random": Recording(mix=dict.fromkeys(players, 1.0), frames=frames, lengths=(min(limit, LONGEST),))
        },
        "own_recording": Recording(
            mix={"controller": 0.5, "disturbed_controller": 0.5},
            frames=max(frames // 3, 1),
            lengths=(min(limit, LONGEST),),
        ),
        "recipe": _merged(RECIPE, changes.pop("recipe", {})),
        "versions": functools.partial(_versions, f"crop {resize.crop}, grey {grey}, frame skip {frame_skip}"),
        "aspect": (right - left) / (bottom - top),
    }
    if "make_env" not in changes:
        described |= {"accepts": functools.partial(_unlike_recorded, frame_skip), "simulated_steps": _steps}
        if "actions" not in changes:
            described["own_actions"] = functools.partial(described_actions, seen.space)
    return World(**{**described, **changes})


def _merged(recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with changes in it; those of a stage are changes of that stage."""
    stages = {name: {**recipe[name], **changes[name]} for name in changes if isinstance(recipe.get(name), Mapping)}
    return {**recipe, **changes, **stages}


@dataclass(frozen=True)
class _Seen:
    """What an environment turned out to be."""

    frame_shape: tuple[int, ...]
    actions: ActionSet
    space: gym.Space[Any]
    fps: float
    env_id: str | None


def _probe(make: Callable[..., WorldEnv]) -> _Seen:
    env = make(None)
    try:
        frame, _ = env.reset(seed=0)
        env.action_space.seed(0)
        for _ in range(PROBED_STEPS):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        spec = env.env.spec
        fps = float(env.metadata.get("render_fps") or 30)
        return _Seen(frame.shape, env.actions, env.env.action_space, fps, None if spec is None else spec.id)
    finally:
        env.close()


def _make(source: Source, arguments: Mapping[str, Any], rendered: bool, skip: int, render_mode: str | None) -> WorldEnv:
    """The environment as the world shows it, without a time limit."""
    return WorldEnv(_made(source, arguments, "rgb_array" if rendered else render_mode), rendered, skip)


def _shows_pictures(source: Source, arguments: Mapping[str, Any]) -> bool:
    env = _made(source, arguments, None)
    space = env.observation_space
    env.close()
    return isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and is_picture(space.shape)


def _made(source: Source, arguments: Mapping[str, Any], render_mode: str | None) -> gym.Env[Any, Any]:
    if callable(source):
        return source(render_mode)
    try:
        # -1 leaves out the registered time limit: it counts steps before skipping.
        return gym.make(source, render_mode=render_mode, max_episode_steps=-1, disable_env_checker=True, **arguments)
    except gym.error.DependencyNotInstalled as error:
        raise InstallationError(f"{source} needs a library that is not installed: {error}") from error
    except (gym.error.Error, ModuleNotFoundError, TypeError) as error:
        raise ConfigError(
            f"env: cannot make {source!r} in the render mode {render_mode!r} ({error}); expected Gymnasium's id, "
            "module:id where a module registers it (such as ale_py:ALE/Pong-v5), or a function of the render mode that "
            "makes it"
        ) from error


def make_env(
    make: Callable[[str | None], WorldEnv],
    actions: ActionSet,
    rendered: bool,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    exact_drawing: bool = True,
    continuous: bool | None = None,
) -> gym.Env[Any, Any]:
    """A world's real environment, with the actions of its description.

    Args:
        make: makes it without a time limit.
        actions: its actions.
        rendered: whether what it draws is what agents see.
        render_mode: None, or what the environment knows.
        max_episode_steps: the time limit; None for none.
        exact_drawing: has no meaning here: there is one way to draw.
        continuous: whether actions are vectors; of these there is one kind.

    Raises:
        ConfigError: the other kind of actions, or a window of an environment that draws what agents see.
    """
    actions.space(continuous)  # refuses the other kind
    if rendered and render_mode not in (None, "rgb_array"):
        raise ConfigError(
            f"render_mode: expected None or 'rgb_array', since agents see what is drawn; got {render_mode!r}"
        )
    env = make(render_mode)
    return env if max_episode_steps is None else gym.wrappers.TimeLimit(env, max_episode_steps)


def _frames_version(resize: Resize, chosen: bool, skip: int) -> int:
    """Another number for frames that are made otherwise, or between which other times pass."""
    made: tuple[Any, ...] = (tuple(int(size) for size in resize.shape), resize.crop, resize.grey)
    if chosen or skip > 1:
        made = (*made, chosen, skip)
    return zlib.crc32(repr(made).encode())


def _unlike_recorded(skip: int, env: gym.Env[Any, Any]) -> str | None:
    """Why an environment is not what a description makes; None where it is."""
    made = env.unwrapped
    if isinstance(made, WorldEnv) and made.skip == skip:
        return None
    skips = f" that repeats actions {made.skip} times" if isinstance(made, WorldEnv) else ""
    return (
        f"got {made}{skips}, which is not made by its description. Wrap what the description's make_env() makes, or "
        'take gym.make("dreamgym:Latent-v0", world_model=..., world=...)'
    )


def _steps(env: gym.Env[Any, Any]) -> int | None:
    made = env.unwrapped
    return made.steps if isinstance(made, WorldEnv) else None


def _players(seen: _Seen) -> dict[str, Callable[[], Any]]:
    players: dict[str, Callable[[], Any]] = {
        "uniform": functools.partial(RandomPlayer, seen.actions, 1),
        "held": functools.partial(RandomPlayer, seen.actions, 10),
        "held_long": functools.partial(RandomPlayer, seen.actions, 40),
    }
    if isinstance(seen.space, gym.spaces.Box):
        players["drifting"] = functools.partial(DriftingPlayer, seen.actions)
    return players


def _name(env: Source) -> str:
    """CamelCase of an id without its namespace and version."""
    if not isinstance(env, str):
        raise ConfigError("name: expected one, since the environment has no id; add name=...")
    words = re.split(r"[^A-Za-z0-9]+", re.sub(r"-v\d+$", "", re.split(r"[/:]", env)[-1]))
    return "".join(word[:1].upper() + word[1:] for word in words)


def _registered_limit(env_id: str | None, skip: int) -> int:
    limit = None if env_id is None else gym.spec(env_id).max_episode_steps
    if not limit or limit < skip:
        raise ConfigError(
            f"max_episode_steps: expected a number, since {env_id or 'the environment'} has no time limit of its own; "
            "add one"
        )
    return limit // skip


def _versions(frames: str) -> dict[str, Any]:
    """What decides a recorded frame."""
    libraries = {name: importlib.metadata.version(name) for name in ("gymnasium", "numpy")}
    return {"python": platform.python_version(), **libraries, "frames": frames}
