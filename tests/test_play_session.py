"""The game without a window: worlds, drivers, and what the commands do to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dreamgym.play.commands import TEMPERATURES, heat, obey
from dreamgym.play.drivers import choose, drivers
from dreamgym.play.inside import difference
from dreamgym.play.keymap import Command
from dreamgym.play.session import Session, View
from dreamgym.world_model import WorldModel

AHEAD = np.array([0.1, 0.3, 0.0], np.float32)
STILL = np.zeros(3, np.float32)
SessionFactory = Callable[..., Session]


@pytest.fixture
def make_session(steady_world_model: WorldModel) -> Iterator[SessionFactory]:
    """Sessions of the toy world model, closed at the end of the test."""
    made = []

    def make(driver: str = "you", **arguments: object) -> Session:
        found = drivers(steady_world_model)
        made.append(Session(steady_world_model, found, driver=choose(found, driver), **arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for session in made:
        session.close()


def drive(session: Session, ticks: int, action: np.ndarray = AHEAD) -> None:
    for _ in range(ticks):
        session.tick(action)


def test_side_by_side_begins_in_the_same_state_and_takes_the_same_actions(make_session: SessionFactory) -> None:
    session = make_session("controller", view="both", seed=3)
    assert np.array_equal(session.real.features, session.dream.features)
    assert np.array_equal(session.real.encoder.state.c[0], session.dream.core.c[0].numpy())
    wanted = session.driver.act(session.real.features)
    drive(session, 1, STILL)
    assert np.array_equal(session.action, wanted)
    # M's first step is the same computation in both worlds; z then goes its own way.
    size = session.world_model.memory.latent_size
    assert np.array_equal(session.real.features[size:], session.dream.features[size:])
    assert not np.array_equal(session.real.z, session.dream.z)
    drive(session, 4, STILL)
    assert session.real.steps == session.dream.steps == 5


def test_dreaming_from_here_freezes_reality_and_waking_goes_on_as_if_nothing_had_been(
    make_session: SessionFactory,
) -> None:
    straight = make_session(view="reality", seed=5)
    drive(straight, 24)
    session = make_session(view="reality", seed=5)
    drive(session, 12)
    frozen, features = session.real.frame, session.real.features
    obey(session, Command.DREAM_FROM_HERE)
    assert session.asleep
    assert session.leader is session.dream
    assert np.array_equal(session.dream.features, features)
    assert session.dream.progress == pytest.approx(session.real.progress)
    assert session.dream.total == session.real.total
    drive(session, 9)
    assert session.real.steps == 12
    assert session.dream.steps == 9
    assert np.array_equal(session.real.frame, frozen)
    assert np.array_equal(session.real.features, features)
    obey(session, Command.DREAM_FROM_HERE)
    assert not session.asleep
    drive(session, 12)
    assert np.array_equal(session.real.frame, straight.real.frame)
    assert np.array_equal(session.real.features, straight.real.features)
    assert session.real.total == straight.real.total


def test_waking_beside_the_dream_brings_both_together(make_session: SessionFactory) -> None:
    session = make_session(view="both", seed=5)
    drive(session, 6)
    obey(session, Command.DREAM_FROM_HERE)
    drive(session, 6)
    assert not np.array_equal(session.real.features, session.dream.features)
    obey(session, Command.DREAM_FROM_HERE)
    assert np.array_equal(session.real.features, session.dream.features)
    assert session.dream.steps == 0


def test_asking_for_both_again_brings_the_dream_back_to_reality(make_session: SessionFactory) -> None:
    session = make_session(view="both", seed=5)
    drive(session, 6)
    steps = session.real.steps
    assert not np.array_equal(session.real.features, session.dream.features)
    obey(session, Command.BOTH)
    assert np.array_equal(session.real.features, session.dream.features)
    assert (session.real.steps, session.dream.steps) == (steps, 0)
    assert not session.asleep


def test_a_dream_of_its_own_cannot_be_woken_from(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    drive(session, 3)
    obey(session, Command.DREAM_FROM_HERE)
    assert not session.asleep
    assert "reality" in session.message
    assert session.dream.steps == 3


def test_worlds_go_on_where_they_stood(make_session: SessionFactory) -> None:
    session = make_session(view="reality", seed=2)
    drive(session, 8)
    features = session.real.features
    obey(session, Command.DREAM)
    assert session.dream.steps == 0
    drive(session, 5)
    obey(session, Command.REALITY)
    assert session.real.steps == 8
    assert np.array_equal(session.real.features, features)
    obey(session, Command.DREAM)
    assert session.dream.steps == 5
    obey(session, Command.BOTH)
    assert np.array_equal(session.real.features, session.dream.features)
    obey(session, Command.DREAM)  # that one began in reality, so a dream of its own begins
    assert session.dream.steps == 0
    assert not session.dream.from_reality


def test_taking_the_wheel_in_the_middle_of_a_drive(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    drive(session, 4)
    assert np.array_equal(session.action, AHEAD)
    obey(session, Command.DRIVER)
    assert session.driver.name == "controller"
    wanted = session.driver.act(session.dream.features)
    drive(session, 1)
    assert np.array_equal(session.action, wanted)
    obey(session, Command.DRIVER)
    assert session.driver.name == "smooth_random"
    drive(session, 1)
    assert not np.array_equal(session.action, AHEAD)
    obey(session, Command.DRIVER)
    drive(session, 1)
    assert np.array_equal(session.action, AHEAD)
    assert session.dream.steps == 7


def test_temperature_moves_in_steps_within_its_range_and_outlasts_a_restart(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    assert session.dream.temperature == 1.0
    obey(session, Command.WARMER)
    assert session.dream.temperature == pytest.approx(1.05)
    heat(session, 100)
    assert session.dream.temperature == TEMPERATURES[1]
    heat(session, -100)
    assert session.dream.temperature == pytest.approx(TEMPERATURES[0])
    obey(session, Command.RESTART)
    assert session.dream.temperature == pytest.approx(TEMPERATURES[0])


@pytest.mark.parametrize("view", ["dream", "both", "reality"])
def test_restart_repeats_the_dream_and_a_new_track_does_not(make_session: SessionFactory, view: View) -> None:
    def dreamed(session: Session) -> np.ndarray:
        drive(session, 10)
        if view == "reality":
            obey(session, Command.DREAM_FROM_HERE)
            drive(session, 10)
        return session.dream.features

    session = make_session(view=view, seed=1)
    first = dreamed(session)
    obey(session, Command.RESTART)
    assert session.leader.steps == 0
    assert session.seed == 1
    assert np.array_equal(dreamed(session), first)
    obey(session, Command.NEW)
    assert session.seed == 2
    assert not np.array_equal(dreamed(session), first)


def test_worlds_wait_for_the_player_at_the_start(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    drive(session, 5, STILL)
    assert session.waiting
    assert session.dream.steps == 0
    drive(session, 1, AHEAD)
    drive(session, 4, STILL)
    assert not session.waiting
    assert session.dream.steps == 5
    other = make_session("random", view="dream", seed=1)
    drive(other, 5, STILL)
    assert other.dream.steps == 5


def test_pause_and_single_step(make_session: SessionFactory) -> None:
    session = make_session("controller", view="dream", seed=1)
    obey(session, Command.PAUSE)
    drive(session, 5, STILL)
    assert session.dream.steps == 0
    obey(session, Command.STEP)
    drive(session, 5, STILL)
    assert session.dream.steps == 1
    obey(session, Command.PAUSE)
    obey(session, Command.SLOWER)
    drive(session, 10, STILL)
    assert session.dream.steps == 6


def test_after_the_end_a_person_is_waited_for_and_others_go_on(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1, max_steps=4)
    drive(session, 200)
    assert session.dream.ended in ("time", "left", "lap")
    assert session.dream.steps <= 4
    assert session.seed == 1
    obey(session, Command.RESTART)
    assert session.dream.ended is None
    other = make_session("controller", view="dream", seed=1, max_steps=4)
    drive(other, 4 + 101, STILL)
    assert other.seed == 2
    assert other.dream.ended is None


def test_a_dream_that_ends_beside_reality_begins_again_there(make_session: SessionFactory) -> None:
    session = make_session(view="both", seed=1)
    drive(session, 5)
    session.dream.ended = "left"
    drive(session, 50)
    assert session.dream.ended == "left"
    assert session.readings[-1].drift is None
    assert session.real.steps == 55
    features = session.real.features
    total = session.real.total
    drive(session, 1)
    size = session.world_model.memory.latent_size
    assert session.dream.ended is None
    assert session.dream.steps == 1
    # one step of M from the same state and action
    assert np.array_equal(session.dream.features[size:], session.real.features[size:])
    assert not np.array_equal(features, session.real.features)
    assert session.dream.total - session.dream.reward == pytest.approx(total)


def test_readings_say_what_was_expected_and_what_came(make_session: SessionFactory) -> None:
    session = make_session(view="both", seed=1)
    drive(session, 3)
    reading = session.readings[-1]
    assert len(session.readings) == 3
    assert reading.real_reward == session.real.reward
    assert session.dream.expected is not None
    assert reading.expected_reward == session.dream.expected.reward == pytest.approx(session.dream.reward, abs=1e-4)
    assert 0.0 < reading.end < 1e-9
    assert reading.drift == difference(session.dream.picture, session.real.frame)
    assert reading.floor == difference(session.real.picture, session.real.frame)
    obey(session, Command.REALITY)
    drive(session, 1)
    reading = session.readings[-1]
    assert reading.drift is None
    assert reading.real_reward == session.real.reward
    obey(session, Command.DREAM)
    drive(session, 1)
    assert session.readings[-1].real_reward is None
