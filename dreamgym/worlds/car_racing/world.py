"""CarRacing-v3: a car, seen from above, on a random track (Gymnasium's Box2D environment)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym._compat import require_box2d, require_pygame
from dreamgym.errors import ConfigError
from dreamgym.worlds.base import (
    ActionSet,
    Auxiliary,
    Key,
    Labels,
    Preprocess,
    RewardRule,
    ScoreRule,
    World,
    installed_versions,
)
from dreamgym.worlds.car_racing.hard_moments import HARD_MOMENTS
from dreamgym.worlds.car_racing.missed_tiles import TileWatch
from dreamgym.worlds.car_racing.players import CASES, OWN_RECORDING, PLAYERS, PROBES, RECIPE, RECORDINGS
from dreamgym.worlds.car_racing.preprocess import PREPROCESS_VERSION, RAW_SHAPE, preprocess

__all__ = [
    "CAR_RACING",
    "LAP_RULE",
    "MIRRORED_ACTION",
    "MIRRORED_MOTION",
    "MOTION_SIZE",
    "motion",
]

MOTION_SIZE: Final = 4
"""Numbers that :func:`motion` gives: speed forward (in 50 units/s), speed to the right (in 10 units/s), yaw rate (in
rad/s) and angle of the front wheels (in 0.4 rad)."""

MIRRORED_ACTION: Final = (-1.0, 1.0, 1.0)
"""What a mirror makes of an action, as factors: it steers the other way. The world is the same on both sides of it."""
MIRRORED_MOTION: Final = (1.0, -1.0, -1.0, -1.0)
"""What it makes of the motion, as factors."""

LAP_RULE: Final = "a lap ends when every tile was visited"
"""CarRacing-v3's rule, and that of v0 to v2; tests/worlds/car_racing/test_lap_rule.py fails when Gymnasium's moves."""

_RENDER_MODES: Final = ("human", "rgb_array")


def _make_env(
    render_mode: str | None = None,
    max_episode_steps: int | None = 1000,
    exact_drawing: bool = True,
    continuous: bool | None = None,
) -> gym.Env[Any, Any]:
    """CarRacing-v3.

    Args:
        render_mode: as in CarRacing-v3.
        max_episode_steps: the time limit, frames; None for none.
        exact_drawing: draw with :class:`~dreamgym.worlds.car_racing.fast_rendering.env.ExactCarRacing`, which gives the
            same bytes in a fraction of the time; False for Gymnasium's own class.
        continuous: as in CarRacing-v3; None for True.

    Raises:
        ConfigError: unknown ``render_mode`` or ``continuous``.
        InstallationError: pygame or Box2D is missing or broken.
    """
    if render_mode not in (None, *_RENDER_MODES):
        raise ConfigError(f"expected render_mode to be None or one of {_RENDER_MODES}, got {render_mode!r}")
    require_pygame()
    require_box2d()
    box = isinstance(CAR_RACING.actions.space(continuous), gym.spaces.Box)
    if not exact_drawing:
        limit = -1 if max_episode_steps is None else max_episode_steps  # -1: none, not even the registered one
        arguments: dict[str, Any] = {"render_mode": render_mode, "continuous": box}
        return gym.make(CAR_RACING.env_id, max_episode_steps=limit, disable_env_checker=True, **arguments)
    from dreamgym.worlds.car_racing.fast_rendering.env import ExactCarRacing

    env: gym.Env[Any, Any] = ExactCarRacing(render_mode=render_mode, continuous=box)
    return env if max_episode_steps is None else gym.wrappers.TimeLimit(env, max_episode_steps)


def _accepts(env: gym.Env[Any, Any]) -> str | None:
    """Recordings are of fixed colours, which V knows."""
    if getattr(env.unwrapped, "domain_randomize", False):
        return "domain_randomize=True draws the colours of each track anew, and V knows CarRacing's own alone"
    return None


def _simulated_steps(env: gym.Env[Any, Any]) -> int | None:
    time = getattr(env.unwrapped, "t", None)  # in seconds; CarRacing's reset makes a step of its own
    return round(time * CAR_RACING.fps) - 1 if isinstance(time, float) else None


def motion(env: gym.Env[Any, Any]) -> NDArray[np.float32]:
    """How the car moves, which no single frame shows.

    float32 (4,), each about 1 in lively driving.

    Speed forward (in 50 units/s), speed to its right (in 10 units/s), yaw rate (in rad/s), angle of the front wheels
    (in 0.4 rad).

    Args:
        env: CarRacing-v3, reset.
    """
    car = env.unwrapped.car  # type: ignore[attr-defined]
    velocity, ahead, right = car.hull.linearVelocity, *(car.hull.GetWorldVector(axis) for axis in ((0, 1), (1, 0)))
    forward = velocity[0] * ahead[0] + velocity[1] * ahead[1]
    sideways = velocity[0] * right[0] + velocity[1] * right[1]
    wheel = car.wheels[0].joint.angle
    return np.array([forward / 50.0, sideways / 10.0, car.hull.angularVelocity, wheel / 0.4], np.float32)


class _Labels:
    """How the car moves, and which tiles it leaves behind: a :class:`~dreamgym.worlds.base.LabelRecorder`."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._env = env
        self._motion = [motion(env)]
        self._watch = TileWatch(env)

    def step(self) -> None:
        self._motion.append(motion(self._env))
        self._watch.look()

    def labels(self) -> dict[str, NDArray[np.float32]]:
        return {"motion": np.stack(self._motion), "missed": self._watch.missed()}


def _tiles(env: gym.Env[Any, Any]) -> float:
    return float(len(env.unwrapped.track))  # type: ignore[attr-defined]


def _progress(env: gym.Env[Any, Any]) -> tuple[float, float]:
    return float(env.unwrapped.tile_visited_count), _tiles(env)  # type: ignore[attr-defined]


def _picture(env: gym.Env[Any, Any], frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    sharp_view = getattr(env.unwrapped, "sharp_view", None)
    return frame[:84] if sharp_view is None else np.asarray(sharp_view())  # the rows above the dashboard


# Per second: full lock takes a quarter of one, and letting go is quicker than turning in. From a brake of 0.9 up,
# CarRacing's wheels lock and the car slides straight on.
_KEYS: Final = (
    Key("steer left", ("left", "a"), 0, -1.0, on=4.0, off=8.0),
    Key("steer right", ("right", "d"), 0, 1.0, on=4.0, off=8.0),
    Key("gas", ("up", "w"), 1, 1.0, on=3.0, off=10.0),
    Key("brake", ("down", "s"), 2, 0.8, on=5.0, off=10.0),
)

CAR_RACING: Final = World(
    name="CarRacing",
    env_id="CarRacing-v3",
    make_env=_make_env,
    preprocess=Preprocess(RAW_SHAPE, preprocess, PREPROCESS_VERSION),
    actions=ActionSet(
        low=(-1.0, 0.0, 0.0),
        high=(1.0, 1.0, 1.0),
        names=("steering", "gas", "brake"),
        squash=("tanh", "unit", "positive"),
        discrete=((0.0, 0.0, 0.0), (0.6, 0.0, 0.0), (-0.6, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.8)),
        discrete_names=("nothing", "right", "left", "gas", "brake"),
        penalty=(1.0, 0.0, 0.0),
        mirror=MIRRORED_ACTION,
        keys=_KEYS,
    ),
    rewards=RewardRule(
        constant=-0.1,
        scale=1000.0,
        head="count",
        unit=280.0,
        threshold=0.02,
        cap=1.0,
        failure=-100.0,
        completion="lap_finished",
    ),
    fps=50,
    max_episode_steps=1000,
    labels=Labels(
        record=_Labels,
        total_units=_tiles,
        auxiliaries=(
            Auxiliary("motion", "value", size=MOTION_SIZE, weight=1.0, mirror=MIRRORED_MOTION),
            Auxiliary("missed", "event", weight=10.0, kept=True),
        ),
    ),
    players=PLAYERS,
    recordings=RECORDINGS,
    own_recording=OWN_RECORDING,
    recipe=RECIPE,
    hard_moments=HARD_MOMENTS,
    probes=PROBES,
    fidelity=CASES,
    score=ScoreRule(solved=900.0, complete="laps", failed="left the playfield", progress=_progress, rule=LAP_RULE),
    versions=partial(installed_versions, "gymnasium", "numpy", "pygame-ce", "box2d"),
    accepts=_accepts,
    simulated_steps=_simulated_steps,
    aspect=10 / 7,
    picture=_picture,
)
