"""Doom Take Cover: dodge fireballs for as long as possible (ViZDoom's VizdoomTakeCover-v1)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamgym.worlds.base import (
    ActionSet,
    Auxiliary,
    FidelityCases,
    Key,
    LabelRecorder,
    Labels,
    ModelSizes,
    Player,
    Preprocess,
    Recording,
    RewardRule,
    ScoreRule,
    World,
    installed_versions,
)
from dreamgym.worlds.doom_take_cover.fireball_gate import check_pictures
from dreamgym.worlds.doom_take_cover.labels import DANGER_SIZE, LABEL_SIZE, GameLabels
from dreamgym.worlds.doom_take_cover.planner import Planner
from dreamgym.worlds.doom_take_cover.preprocess import PREPROCESS_VERSION, RAW_SHAPE, VIEW_ASPECT, preprocess, view
from dreamgym.worlds.doom_take_cover.scripted_players import Constant, Held, InTurn

__all__ = ["DOOM_TAKE_COVER", "make_env"]


def make_env(
    render_mode: str | None = None,
    max_episode_steps: int | None = 2100,
    exact_drawing: bool = True,
    continuous: bool | None = None,
) -> gym.Env[Any, Any]:
    """The real Take Cover with its time limit.

    Args:
        render_mode: None or "rgb_array".
        max_episode_steps: the time limit, tics; None for none.
        exact_drawing: has no meaning here: there is one way to draw.
        continuous: False for three discrete moves instead of the paper's one number.

    Raises:
        ConfigError: ``continuous`` is no bool, and not None.
    """
    from dreamgym.worlds.doom_take_cover.env import DoomTakeCoverEnv

    moves = DOOM_TAKE_COVER.actions.space(continuous)
    env = DoomTakeCoverEnv(render_mode, continuous=isinstance(moves, gym.spaces.Box))
    return env if max_episode_steps is None else gym.wrappers.TimeLimit(env, max_episode_steps)


def _simulated_steps(env: gym.Env[Any, Any]) -> int | None:
    elapsed = getattr(env.unwrapped, "elapsed", None)
    return elapsed if isinstance(elapsed, int) else None


def _picture(env: gym.Env[Any, Any], frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return view(frame)


def _labels(env: gym.Env[Any, Any]) -> LabelRecorder:
    return GameLabels(env)


def _held() -> Player:
    return Held(10)


def _held_long() -> Player:
    return Held(40)


def _uniform() -> Player:
    return Held(1)


def _in_turn() -> Player:
    return InTurn(30, 160, disturbed=0.2)


def _blind() -> Player:
    return InTurn(90, 90)


def _planner() -> Player:
    return Planner()


def _lapsing_planner() -> Player:
    return Planner(lapses=0.7)


def _still() -> Player:
    return Constant(0.0)


def _left() -> Player:
    return Constant(-1.0)


def _right() -> Player:
    return Constant(1.0)


DOOM_TAKE_COVER: Final = World(
    name="DoomTakeCover",
    env_id="VizdoomTakeCover-v1",
    make_env=make_env,
    preprocess=Preprocess(RAW_SHAPE, preprocess, PREPROCESS_VERSION),
    actions=ActionSet(
        low=(-1.0,),
        high=(1.0,),
        names=("move",),
        squash=("tanh",),
        discrete=((0.0,), (1.0,), (-1.0,)),
        discrete_names=("nothing", "right", "left"),
        rule="thresholds",
        threshold=1.0 / 3.0,
        keys=(Key("left", ("left", "a"), 0, -1.0), Key("right", ("right", "d"), 0, 1.0)),
    ),
    # The step of death pays its 1 too, so that only when it comes matters.
    rewards=RewardRule(constant=1.0, scale=0.0, head="none"),
    fps=35,
    max_episode_steps=2100,
    sizes=ModelSizes(latents=64, hidden_units=512, mixtures=3, factors=0, sequence_length=64),
    labels=Labels(
        record=_labels,
        auxiliaries=(
            Auxiliary("game", "value", size=LABEL_SIZE),
            Auxiliary("danger", "value", size=DANGER_SIZE, weight=15.0),
        ),
    ),
    players={
        "held": _held,
        "held_long": _held_long,
        "uniform": _uniform,
        "in_turn": _in_turn,
        "blind": _blind,
        "lapsing_planner": _lapsing_planner,
        "planner": _planner,
        "still": _still,
        "left": _left,
        "right": _right,
    },
    recordings={
        "scripted": Recording(
            # Most of these die soon: what M knows of deaths hangs on how many it has seen. Of the frames planned, some
            # 1,125,000 are recorded.
            mix={
                "held": 0.22,
                "held_long": 0.16,
                "in_turn": 0.24,
                "uniform": 0.1,
                "blind": 0.06,
                "still": 0.03,
                "left": 0.03,
                "right": 0.03,
                "lapsing_planner": 0.13,
            },
            frames=3_500_000,
            lengths=(600, 1200, 2100),
        ),
    },
    own_recording=Recording(mix={"controller": 0.5, "disturbed_controller": 0.5}, frames=200_000, lengths=(1200, 2100)),
    # See docs/experiments/doom-take-cover: fireballs are small and bright; noise that lasts on what M reads hides them.
    recipe={
        "vision": {
            "steps": 7000,
            "batch_size": 64,
            "error_power_weight": 30.0,
            "free_nats": 0.1,
            "checkpoint_every": 1000,
        },
        "memory": {
            "steps": 4000,
            "batch_size": 128,
            "latent_noise": 1.0,
            "lasting_noise": 0.0,
            "start_share": 0.15,
            "termination_weight": 5.0,
            "calibrate_terminations": True,
            "remember_every": 500,
            "checkpoint_every": 500,
        },
        "evolve": {
            "generations": 30,
            "population": 32,
            "rollouts": 24,
            "temperature": (1.0, 1.3),
            "max_episode_steps": 1500,
            "beginning_share": 1.0,
            "sigma": 0.3,
            "smoothness": 0.0,
            "validate_every": 10,
            "validation_episodes": 64,  # scores scatter by half of their mean
        },
        "memory_round_steps": 1000,
        "search_labels": True,
        "temperature": 1.15,
        "factor_gain": 1.0,
    },
    probes={"still": ((1, (0.0,)),), "left": ((1, (-1.0,)),), "right": ((1, (1.0,)),)},
    fidelity=FidelityCases(
        players=("held", "in_turn", "lapsing_planner", "still"), skilled=("in_turn", "lapsing_planner")
    ),
    score=ScoreRule(solved=750.0, failed="died"),
    versions=partial(installed_versions, "gymnasium", "numpy", "vizdoom"),
    reusable=True,
    simulated_steps=_simulated_steps,
    aspect=VIEW_ASPECT,
    picture=_picture,
    check_pictures=check_pictures,
)
