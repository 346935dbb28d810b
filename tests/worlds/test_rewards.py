"""The reward rule of a world: its formula in numbers computed by hand, what it makes of recordings, what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dreamgym.errors import ConfigError
from dreamgym.worlds.rewards import RewardRule

TRACK = RewardRule(constant=-0.1, scale=1000.0, head="count", unit=250.0, threshold=0.02, cap=1.0, failure=-100.0)


def test_a_rule_of_no_arguments_pays_what_the_head_says() -> None:
    assert dataclasses.asdict(RewardRule()) == {
        "constant": 0.0,
        "scale": 1.0,
        "head": "value",
        "unit": 1.0,
        "threshold": None,
        "cap": None,
        "failure": None,
        "completion": "complete",
    }
    assert RewardRule().expected(torch.tensor([-2.5, 0.0, 3.0])).tolist() == [-2.5, 0.0, 3.0]


def test_a_rule_can_be_neither_changed_nor_told_from_its_equal() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TRACK.scale = 2.0  # type: ignore[misc]
    assert hash(dataclasses.replace(TRACK)) == hash(TRACK)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_what_is_at_the_threshold_or_below_counts_as_nothing(make: type) -> None:
    said = make([0.0, 0.01, 0.02, 0.25, 2.0])
    assert TRACK.counted(said).tolist() == [0.0, 0.0, 0.0, 0.25, 2.0]
    assert dataclasses.replace(TRACK, threshold=None).counted(said) is said


def test_a_threshold_of_nothing_is_a_threshold() -> None:
    assert RewardRule(threshold=0.0).counted(np.array([-1.0, 0.5])).tolist() == [0.0, 0.5]


def test_the_expected_reward_is_the_constant_and_the_scaled_share_of_a_unit() -> None:
    expected = TRACK.expected(np.array([0.01, 0.5, 2.0]))
    assert expected.tolist() == pytest.approx([-0.1, 1000 * 0.5 / 250 - 0.1, 1000 * 2.0 / 250 - 0.1])


def test_completion_is_what_the_last_info_says_under_the_rules_key() -> None:
    assert RewardRule(cap=1.0).completed({"complete": True}) is True
    assert RewardRule().completed({"complete": True}) is False  # an environment's own key: nothing can be complete
    lap = RewardRule(cap=1.0, completion="lap_finished")
    assert lap.completed({"lap_finished": np.True_}) is True
    assert lap.completed({"complete": True}) is False


def test_units_are_what_the_head_should_have_said_of_recorded_rewards() -> None:
    rewards = np.array([-0.1, 1000 / 300 - 0.1, 3 * 1000 / 300 - 0.1, -100.0, 0.9 * 1000 / 300 - 0.1], np.float32)
    units = TRACK.units(rewards, 300.0)
    assert units.dtype == np.float32
    assert units.tolist() == [0.0, 1.0, 3.0, 0.0, 1.0]  # whole, and never negative
    value = RewardRule(constant=0.5, scale=2.0).units(np.array([1.5, -0.5], np.float32), 4.0)
    assert value.dtype == np.float32
    assert value.tolist() == [2.0, -2.0]
    assert RewardRule(constant=1.0, scale=0.0, head="none").units(np.array([1.0, 3.0], np.float32), 1.0).tolist() == [
        0.0,
        2.0,
    ]


@pytest.mark.parametrize("name", ["constant", "scale", "unit", "threshold", "cap", "failure"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", True, 10**400])
def test_what_is_no_finite_number_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"rewards: expected {name} to be a finite number, got"):
        RewardRule(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["unit", "cap"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_unit_and_a_cap_must_be_positive(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"rewards: expected {name} to be positive, got {value}"):
        RewardRule(**{name: value})  # type: ignore[arg-type]
    assert getattr(RewardRule(**{name: 0.5}), name) == 0.5  # type: ignore[arg-type]


def test_more_than_a_whole_episode_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected cap to be 1 or less, got 5; give what a complete episode pays"):
        RewardRule(cap=5)


@pytest.mark.parametrize("name", ["constant", "scale", "threshold", "failure"])
def test_other_numbers_may_be_zero_or_negative(name: str) -> None:
    for value in (0.0, -1.0):
        assert getattr(RewardRule(**{name: value}), name) == value  # type: ignore[arg-type]


@pytest.mark.parametrize("entries", [{"head": "sum"}, {"head": None}, {"completion": 1}])
def test_another_head_or_key_is_refused(entries: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected a head of none, count or value, and a key as text"):
        RewardRule(**entries)  # type: ignore[arg-type]
