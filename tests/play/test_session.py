"""The game without a window: reality, dream and players, and what the commands do to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dreamgym.errors import ConfigError
from dreamgym.play.commands import TEMPERATURES, Command, change_temperature, obey
from dreamgym.play.players import PolicyPlayer, choose, players
from dreamgym.play.session import SPEEDS, Clock, Session, View, difference
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.policies import Noting

AHEAD = np.array([0.1, 0.3, 0.0], np.float32)
STILL = np.zeros(3, np.float32)
SessionFactory = Callable[..., Session]


@pytest.fixture
def make_session(steady_world_model: WorldModel) -> Iterator[SessionFactory]:
    """Sessions of the toy world model, closed at the end of the test."""
    made = []

    def make(player: str = "you", **arguments: object) -> Session:
        found, world = players(steady_world_model), find("CarRacing")
        made.append(Session(steady_world_model, found, world, player=choose(found, player), **arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for session in made:
        session.close()


def play(session: Session, ticks: int, action: np.ndarray = AHEAD) -> None:
    for _ in range(ticks):
        session.tick(action)


def test_both_begin_in_one_state_and_take_the_same_actions(make_session: SessionFactory) -> None:
    session = make_session("controller", view="both", seed=3)
    assert np.array_equal(session.real.features, session.dream.features)
    assert np.array_equal(session.real.encoder.state.c[0], session.dream.core.c[0].numpy())
    wanted = session.player.act(session.real.features)
    play(session, 1, STILL)
    assert np.array_equal(session.action, wanted)
    # M's first step is the same computation in both worlds; z then goes its own way.
    size = session.world_model.memory.latent_size
    assert np.array_equal(session.real.features[size:], session.dream.features[size:])
    assert not np.array_equal(session.real.z, session.dream.z)
    play(session, 4, STILL)
    assert session.real.steps == session.dream.steps == 5


def test_reality_is_frozen_while_dreaming_from_here_and_resumes_exactly(
    make_session: SessionFactory,
) -> None:
    straight = make_session(view="reality", seed=5)
    play(straight, 24)
    session = make_session(view="reality", seed=5)
    play(session, 12)
    frozen, features = session.real.frame, session.real.features
    obey(session, Command.DREAM_FROM_HERE)
    assert session.asleep
    assert session.leader is session.dream
    assert np.array_equal(session.dream.features, features)
    assert session.dream.progress == pytest.approx(session.real.progress)
    assert session.dream.total == session.real.total
    play(session, 9)
    assert session.real.steps == 12
    assert session.dream.steps == 9
    assert np.array_equal(session.real.frame, frozen)
    assert np.array_equal(session.real.features, features)
    obey(session, Command.DREAM_FROM_HERE)
    assert not session.asleep
    play(session, 12)
    assert np.array_equal(session.real.frame, straight.real.frame)
    assert np.array_equal(session.real.features, straight.real.features)
    assert session.real.total == straight.real.total


def test_waking_in_the_view_of_both_rejoins_them(make_session: SessionFactory) -> None:
    session = make_session(view="both", seed=5)
    play(session, 6)
    obey(session, Command.DREAM_FROM_HERE)
    play(session, 6)
    assert not np.array_equal(session.real.features, session.dream.features)
    obey(session, Command.DREAM_FROM_HERE)
    assert np.array_equal(session.real.features, session.dream.features)
    assert session.dream.steps == 0


def test_asking_for_both_again_rejoins_them(make_session: SessionFactory) -> None:
    session = make_session(view="both", seed=5)
    play(session, 6)
    steps = session.real.steps
    assert not np.array_equal(session.real.features, session.dream.features)
    obey(session, Command.BOTH)
    assert np.array_equal(session.real.features, session.dream.features)
    assert (session.real.steps, session.dream.steps) == (steps, 0)
    assert not session.asleep


def test_dream_that_did_not_begin_in_reality_cannot_be_woken_from(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    play(session, 3)
    obey(session, Command.DREAM_FROM_HERE)
    assert not session.asleep
    assert "reality" in session.message
    assert session.dream.steps == 3


def test_views_resume_where_they_were_left(make_session: SessionFactory) -> None:
    session = make_session(view="reality", seed=2)
    play(session, 8)
    features = session.real.features
    obey(session, Command.DREAM)
    assert session.dream.steps == 0
    play(session, 5)
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


def test_an_episode_that_is_not_shown_keeps_its_seed(make_session: SessionFactory) -> None:
    session = make_session(view="reality", seed=2)
    play(session, 8)
    features = session.real.features
    obey(session, Command.DREAM)
    obey(session, Command.NEW)
    assert (session.real.seed, session.dream.seed) == (2, 3)
    obey(session, Command.REALITY)
    assert np.array_equal(session.real.features, features)
    assert session.leader.seed == 2
    obey(session, Command.RESTART)  # what is shown
    assert (session.real.steps, session.real.seed, session.seed) == (0, 2, 2)
    obey(session, Command.DREAM_FROM_HERE)
    assert session.leader.seed == 2


def test_players_change_in_the_middle_of_an_episode(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    play(session, 4)
    assert np.array_equal(session.action, AHEAD)
    obey(session, Command.PLAYER)
    assert session.player.name == "controller"
    wanted = session.player.act(session.dream.features)
    play(session, 1)
    assert np.array_equal(session.action, wanted)
    obey(session, Command.PLAYER)
    assert session.player.name == "random_keys"
    play(session, 1)
    assert not np.array_equal(session.action, AHEAD)
    obey(session, Command.PLAYER)
    play(session, 1)
    assert np.array_equal(session.action, AHEAD)
    assert session.dream.steps == 7


def test_temperature_moves_in_steps_within_its_range_and_survives_a_restart(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    assert session.dream.temperature == 1.0
    obey(session, Command.WARMER)
    assert session.dream.temperature == pytest.approx(1.05)
    change_temperature(session, 100)
    assert session.dream.temperature == TEMPERATURES[1]
    change_temperature(session, -100)
    assert session.dream.temperature == pytest.approx(TEMPERATURES[0])
    obey(session, Command.RESTART)
    assert session.dream.temperature == pytest.approx(TEMPERATURES[0])
    session.dream.temperature = 2.4  # a bundle's own
    change_temperature(session, 1)
    assert session.dream.temperature == pytest.approx(2.4)
    change_temperature(session, -1)
    assert session.dream.temperature == TEMPERATURES[1]


@pytest.mark.parametrize("view", ["dream", "both", "reality"])
def test_restart_repeats_the_dream_and_a_new_episode_does_not(make_session: SessionFactory, view: View) -> None:
    def dreamed(session: Session) -> np.ndarray:
        play(session, 10)
        if view == "reality":
            obey(session, Command.DREAM_FROM_HERE)
            play(session, 10)
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


def test_game_waits_for_a_person_at_the_start(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    play(session, 5, STILL)
    assert session.waiting
    assert session.dream.steps == 0
    play(session, 1, AHEAD)
    play(session, 4, STILL)
    assert not session.waiting
    assert session.dream.steps == 5
    other = make_session("random", view="dream", seed=1)
    play(other, 5, STILL)
    assert other.dream.steps == 5


def test_pause_and_single_step_hold_the_game(make_session: SessionFactory) -> None:
    session = make_session("controller", view="dream", seed=1)
    obey(session, Command.PAUSE)
    play(session, 5, STILL)
    assert session.dream.steps == 0
    obey(session, Command.STEP)
    play(session, 5, STILL)
    assert session.dream.steps == 1
    obey(session, Command.PAUSE)
    obey(session, Command.SLOWER)
    play(session, 10, STILL)
    assert session.dream.steps == 6


def test_after_the_end_a_person_is_waited_for_and_others_go_on(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1, max_steps=4)
    play(session, 200)
    assert session.dream.ended in ("time", "failed", "complete")
    assert session.dream.steps <= 4
    assert session.seed == 1
    obey(session, Command.RESTART)
    assert session.dream.ended is None
    other = make_session("controller", view="dream", seed=1, max_steps=4)
    play(other, 4 + 101, STILL)
    assert other.seed == 2
    assert other.dream.ended is None


def test_dream_that_ends_beside_reality_begins_again_there(make_session: SessionFactory) -> None:
    session = make_session(view="both", seed=1)
    play(session, 5)
    session.dream.ended = "failed"
    play(session, 50)
    assert session.dream.ended == "failed"
    assert session.readings[-1].drift is None
    assert session.real.steps == 55
    features = session.real.features
    total = session.real.total
    play(session, 1)
    size = session.world_model.memory.latent_size
    assert session.dream.ended is None
    assert session.dream.steps == 1
    # one step of M from the same state and action
    assert np.array_equal(session.dream.features[size:], session.real.features[size:])
    assert not np.array_equal(features, session.real.features)
    assert session.dream.total - session.dream.reward == pytest.approx(total)


def test_a_dream_that_is_lost_records_no_step(make_session: SessionFactory) -> None:
    session = make_session(view="dream")
    for _ in range(3):
        session.tick(AHEAD)
    session.dream.core.z[0, 0] = float("nan")
    session.tick(AHEAD)
    assert session.dream.ended == "lost"
    assert (session.dream.steps, len(session.dream.log)) == (3, 3)


def test_readings_hold_what_was_expected_and_what_came(make_session: SessionFactory) -> None:
    session = make_session(view="both", seed=1)
    play(session, 3)
    reading = session.readings[-1]
    assert len(session.readings) == 3
    assert reading.real_reward == session.real.reward
    assert session.dream.expected is not None
    assert reading.expected_reward == session.dream.expected.reward == pytest.approx(session.dream.reward, abs=1e-4)
    assert 0.0 < reading.end < 1e-9
    assert reading.drift == difference(session.dream.picture, session.real.frame)
    assert reading.reconstruction == difference(session.real.picture, session.real.frame)
    obey(session, Command.REALITY)
    play(session, 1)
    reading = session.readings[-1]
    assert reading.drift is None
    assert reading.real_reward == session.real.reward
    obey(session, Command.DREAM)
    play(session, 1)
    assert session.readings[-1].real_reward is None


def test_random_player_presses_keys_the_same_for_the_same_seed(make_session: SessionFactory) -> None:
    def actions(seed: int) -> list[list[float]]:
        session = make_session("random", view="dream", seed=seed)
        seen = []
        for _ in range(60):
            play(session, 1, STILL)
            seen.append(session.action.tolist())
        return seen

    first = actions(1)
    assert first == actions(1) != actions(2)
    assert len({tuple(action) for action in first}) > 5
    low, high = find("CarRacing").actions.low, find("CarRacing").actions.high
    assert (np.array(first) >= low).all()
    assert (np.array(first) <= high).all()


def test_another_world_is_played_by_its_own_actions(corridor: Session) -> None:
    env = corridor.real.env
    play(corridor, 3, np.array([-0.7], np.float32))
    assert corridor.action.tolist() == [-1.0]  # the nearest of its discrete actions
    play(corridor, 2, np.array([0.2], np.float32))
    assert env.taken == [1, 1, 1, 0, 0]
    assert corridor.real.steps == corridor.dream.steps == 5
    assert corridor.real.total == corridor.dream.total == 5.0
    assert corridor.real.progress == corridor.dream.progress == 0.0
    assert corridor.readings[-1].expected_reward == 1.0
    obey(corridor, Command.PLAYER)
    play(corridor, 60, np.zeros(1, np.float32))
    assert set(env.taken) == {0, 1, 2}  # random keys
    obey(corridor, Command.PLAYER)
    play(corridor, 64, np.ones(1, np.float32))
    assert corridor.real.ended == "failed"


def test_a_world_without_keys_does_not_wait_for_any(corridor_model: WorldModel) -> None:
    corridor_model.card["actions"] = {**corridor_model.card["actions"], "keys": []}
    session = Session(corridor_model, players(corridor_model), view="dream")
    assert not session.actions.keys and not session.waiting
    assert session.tick(np.zeros(1, np.float32))
    session.close()


def test_dream_alone_is_played_where_the_real_world_is_not_known(corridor_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match=r"real Corridor.*--world.*--view dream"):
        Session(corridor_model, players(corridor_model), view="both")
    session = Session(corridor_model, players(corridor_model), view="dream")
    play(session, 3, np.ones(1, np.float32))
    before = session.dream.features
    with pytest.raises(ConfigError, match="real Corridor"):
        obey(session, Command.REALITY)
    assert session.view == "dream"
    assert np.array_equal(session.dream.features, before)
    play(session, 1, np.ones(1, np.float32))
    assert session.dream.steps == 4
    session.close()


def test_slow_motion_takes_every_so_many_ticks() -> None:
    clock = Clock()
    for speed in SPEEDS:
        assert clock.speed == speed
        assert sum(clock.tick() for _ in range(100)) == round(100 * speed)
        clock.slower()
    assert clock.speed == SPEEDS[0]


def test_single_step_pauses_the_clock() -> None:
    clock = Clock()
    clock.single_step()
    assert [clock.tick() for _ in range(3)] == [True, False, False]
    assert clock.paused
    clock.paused = False
    assert clock.tick()


def test_message_is_shown_for_three_seconds(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=1)
    session.say("hello")
    play(session, 3 * session.fps - 1, STILL)
    assert session.message == "hello"
    play(session, 1, STILL)
    assert session.message == ""


def test_whoever_is_no_person_wakes_from_a_dream_that_is_over(make_session: SessionFactory) -> None:
    session = make_session("controller", view="reality", seed=1)
    play(session, 5, STILL)
    obey(session, Command.DREAM_FROM_HERE)
    session.dream.ended = "failed"
    play(session, 2 * session.fps, STILL)
    assert session.asleep
    play(session, 2, STILL)
    assert (session.asleep, session.seed, session.real.steps) == (False, 1, 6)  # the same episode goes on


def test_player_that_takes_over_is_told_of_the_episode(make_session: SessionFactory) -> None:
    session = make_session(view="dream", seed=4)
    (player,) = (each for each in session.players if each.name == "controller")
    assert isinstance(player, PolicyPlayer)
    player.policy = Noting(player.policy)  # type: ignore[arg-type]
    play(session, 3)
    obey(session, Command.PLAYER)
    assert session.player is player and player.policy.seeds == [[4]]


def test_the_end_is_shown_for_as_long_after_a_dream_from_here(make_session: SessionFactory) -> None:
    session = make_session("controller", view="reality", seed=1)
    play(session, 5, STILL)
    obey(session, Command.DREAM_FROM_HERE)
    session.dream.ended = "failed"
    play(session, 2 * session.fps + 2, STILL)
    assert not session.asleep
    session.real.ended = "failed"
    play(session, 2 * session.fps, STILL)
    assert session.seed == 1
    play(session, 1, STILL)
    assert session.seed == 2
