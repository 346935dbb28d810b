"""The window's loop, driven by synthetic events without a display: states are compared, not pixels."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest

from dreamgym.config import PlayConfig
from dreamgym.errors import ConfigError
from dreamgym.play.commands import BINDINGS, Command
from dreamgym.play.loop import Loop, Window, _fitting, key_code
from dreamgym.play.players import players
from dreamgym.play.recordings import Recordings
from dreamgym.play.session import Session
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find


@pytest.fixture
def loop(toy_world_model: WorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """A loop on the dream, in a window of SDL's that nobody sees, as fast as it goes."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Window((320, 180))
    session = Session(toy_world_model, players(toy_world_model), find("CarRacing"), view="dream", seed=1)
    recordings = Recordings(PlayConfig(out=tmp_path / "kept"), session.fps)
    pygame.event.clear()
    yield Loop(session, recordings, window, paced=False)
    recordings.close()
    session.close()
    window.close()


def send(loop: Loop, *events: pygame.event.Event, ticks: int = 1) -> None:
    for event in events:
        pygame.event.post(event)
    for _ in range(ticks):
        loop.tick()


def down(key: int) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN, key=key)


def up(key: int) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYUP, key=key)


def press(loop: Loop, command: Command) -> None:
    (binding,) = (binding for binding in BINDINGS if binding.command is command)
    key = key_code(binding.keys[0])
    send(loop, down(key), up(key))


@pytest.mark.parametrize("key", [pygame.K_UP, pygame.K_w])
def test_held_key_acts_until_it_is_released(loop: Loop, key: int) -> None:
    send(loop, ticks=3)
    assert loop.session.dream.steps == 0
    send(loop, down(key), ticks=10)
    assert loop.session.dream.steps == 10
    gas = loop.session.action[1]
    assert gas > 0.5
    send(loop, up(key), ticks=10)
    assert loop.session.action[1] == 0.0
    assert loop.session.dream.steps == 20


@pytest.mark.parametrize(("key", "sign"), [(pygame.K_LEFT, -1), (pygame.K_a, -1), (pygame.K_RIGHT, 1), (pygame.K_d, 1)])
def test_steering_keys_have_the_environments_signs(loop: Loop, key: int, sign: int) -> None:
    send(loop, down(key), ticks=20)
    assert loop.session.action.tolist() == [sign, 0.0, 0.0]


def test_every_commands_key_does_what_it_says(loop: Loop) -> None:
    session = loop.session
    press(loop, Command.INSIDE)
    assert session.inside
    press(loop, Command.HELP)
    assert session.help
    press(loop, Command.HELP)
    press(loop, Command.PLAYER)
    assert session.player.name == "controller"
    press(loop, Command.WARMER)
    assert session.dream.temperature == pytest.approx(1.05)
    press(loop, Command.COOLER)
    assert session.dream.temperature == pytest.approx(1.0)
    press(loop, Command.PAUSE)
    steps = session.dream.steps
    send(loop, ticks=3)
    assert session.dream.steps == steps
    press(loop, Command.STEP)
    assert session.dream.steps == steps + 1
    press(loop, Command.PAUSE)
    press(loop, Command.SLOWER)
    assert session.clock.speed == 0.5
    press(loop, Command.NEW)
    assert session.seed == 2
    send(loop, ticks=8)
    assert session.dream.steps > 2
    press(loop, Command.RESTART)
    assert session.seed == 2
    assert session.dream.steps <= 1
    press(loop, Command.REALITY)
    assert session.view == "reality"
    press(loop, Command.DREAM_FROM_HERE)
    assert session.asleep
    press(loop, Command.BOTH)
    assert session.view == "both"
    assert not session.asleep
    press(loop, Command.DREAM)
    assert session.view == "dream"
    assert loop.running
    press(loop, Command.QUIT)
    assert not loop.running


def test_escape_closes_the_help_first_and_closing_the_window_ends_the_loop(loop: Loop) -> None:
    press(loop, Command.HELP)
    press(loop, Command.QUIT)
    assert loop.running
    assert not loop.session.help
    send(loop, pygame.event.Event(pygame.QUIT))
    assert not loop.running


def test_keys_of_someone_who_does_not_play_explain_themselves(loop: Loop) -> None:
    press(loop, Command.PLAYER)
    send(loop, down(pygame.K_UP), ticks=5)
    assert "press C" in loop.session.message
    press(loop, Command.PLAYER)
    press(loop, Command.PLAYER)  # the key is still held when the wheel comes back
    send(loop)
    assert loop.session.action[1] > 0.0


def test_temperature_moves_by_wheel_and_by_holding_the_key(loop: Loop) -> None:
    send(loop, pygame.event.Event(pygame.MOUSEWHEEL, y=3, x=0))
    assert loop.session.dream.temperature == pytest.approx(1.15)
    send(loop, pygame.event.Event(pygame.MOUSEWHEEL, y=-1, x=0))
    assert loop.session.dream.temperature == pytest.approx(1.1)
    send(loop, down(pygame.K_MINUS), ticks=31)
    held = loop.session.dream.temperature
    assert held == pytest.approx(1.1 - 4 * 0.05)
    send(loop, up(pygame.K_MINUS), ticks=20)
    assert loop.session.dream.temperature == held


def test_temperature_moves_by_holding_the_gamepads_cross(loop: Loop) -> None:
    cross = {"button": pygame.CONTROLLER_BUTTON_DPAD_UP, "instance_id": 0}
    send(loop, pygame.event.Event(pygame.CONTROLLERBUTTONDOWN, **cross), ticks=31)
    assert loop.session.dream.temperature == pytest.approx(1.0 + 4 * 0.05)
    send(loop, pygame.event.Event(pygame.CONTROLLERBUTTONUP, **cross), ticks=20)
    assert loop.session.dream.temperature == pytest.approx(1.0 + 4 * 0.05)


def test_game_waits_behind_the_help(loop: Loop) -> None:
    press(loop, Command.PLAYER)
    press(loop, Command.HELP)
    steps = loop.session.dream.steps
    send(loop, ticks=5)
    assert loop.session.dream.steps == steps
    press(loop, Command.HELP)
    send(loop, ticks=5)
    assert loop.session.dream.steps > steps


def test_losing_the_keyboard_releases_everything(loop: Loop) -> None:
    send(loop, down(pygame.K_UP), down(pygame.K_PLUS), ticks=10)
    send(loop, pygame.event.Event(pygame.WINDOWFOCUSLOST), ticks=40)
    assert loop.session.action.tolist() == [0.0, 0.0, 0.0]
    assert loop.session.dream.temperature == pytest.approx(1.05)


def test_gamepad_steers_and_commands(loop: Loop) -> None:
    def axis(number: int, value: int) -> pygame.event.Event:
        return pygame.event.Event(pygame.CONTROLLERAXISMOTION, axis=number, value=value, instance_id=0)

    left, gas = axis(pygame.CONTROLLER_AXIS_LEFTX, -32768), axis(pygame.CONTROLLER_AXIS_TRIGGERRIGHT, 32767)
    send(loop, left, gas, axis(pygame.CONTROLLER_AXIS_RIGHTY, 20000))
    assert loop.session.action.tolist() == [-1.0, 1.0, 0.0]
    send(loop, axis(pygame.CONTROLLER_AXIS_TRIGGERLEFT, 16384), axis(pygame.CONTROLLER_AXIS_LEFTX, 900))
    assert loop.session.action[0] == 0.0
    assert 0.2 < loop.session.action[2] < 0.4
    button = pygame.event.Event(pygame.CONTROLLERBUTTONDOWN, button=pygame.CONTROLLER_BUTTON_Y, instance_id=0)
    send(loop, button)
    assert loop.session.player.name == "controller"
    send(loop, pygame.event.Event(pygame.CONTROLLERDEVICEREMOVED, instance_id=0))
    assert not loop.controls.touched


def test_unbound_keys_change_nothing(loop: Loop) -> None:
    before = loop.session.dream.core.get_state()
    send(loop, down(pygame.K_q), up(pygame.K_q), down(pygame.K_F5), pygame.event.Event(pygame.MOUSEMOTION, pos=(1, 1)))
    after = loop.session.dream.core.get_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert loop.running and not loop.session.inside and not loop.session.clock.paused


def test_image_key_writes_images_under_free_names(loop: Loop, tmp_path: Path) -> None:
    press(loop, Command.IMAGE)
    press(loop, Command.IMAGE)
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert kept == ["image-001.png", "image-002.png"]
    assert pygame.image.load(tmp_path / "kept" / "image-001.png").get_size() == (320, 180)


def test_window_may_take_any_size(loop: Loop) -> None:
    for size in ((640, 200), (200, 640), (64, 40)):
        pygame.display.set_mode(size, pygame.RESIZABLE)
        send(loop)
    press(loop, Command.FULLSCREEN)
    press(loop, Command.FULLSCREEN)
    assert loop.window.surface.get_size() == (64, 40)


def test_window_that_an_environment_closed_opens_again(loop: Loop) -> None:
    pygame.display.quit()
    pygame.display.init()  # events need it
    send(loop)
    assert loop.window.surface.get_size() == (320, 180)


def test_keys_are_named_as_pygame_does_in_either_way() -> None:
    pygame.display.init()
    names = ("w", "W", "return", "lshift", "left shift", "page up", ";", "kp_plus")
    codes = [pygame.K_w, pygame.K_w, pygame.K_RETURN, pygame.K_LSHIFT, pygame.K_LSHIFT]
    codes += [pygame.K_PAGEUP, pygame.K_SEMICOLON, pygame.K_KP_PLUS]
    assert [key_code(name) for name in names] == codes
    with pytest.raises(ConfigError, match="keys: expected the name of a key"):
        key_code("no such key")


def test_a_full_disk_is_a_message_and_the_game_goes_on(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop.session, "save", full)
    press(loop, Command.NEW)
    assert loop.running and "No space left" in loop.session.message
    assert loop.session.seed == 1
    monkeypatch.setattr(loop.session, "tick", full)  # as where an episode ends by itself
    loop.session.say("")
    loop.tick()
    assert loop.running and "No space left" in loop.session.message
    monkeypatch.undo()


def test_command_that_cannot_be_done_is_explained(corridor_model: WorldModel, tmp_path: Path) -> None:
    window = Window((320, 180))
    session = Session(corridor_model, players(corridor_model), view="dream", seed=1)  # its real side is not known
    loop = Loop(session, Recordings(PlayConfig(out=tmp_path), session.fps), window, paced=False)
    press(loop, Command.REALITY)
    assert "real Corridor is not known" in session.message
    assert loop.running
    send(loop, down(pygame.K_RIGHT), ticks=4)
    assert session.dream.steps > 0
    window.close()


def test_missing_display_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setenv("DISPLAY", ":404")
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(ConfigError, match=r"no display.*--record"):
        Window(None)

    def fail() -> None:
        raise pygame.error("No available video device")

    monkeypatch.setattr(pygame.display, "init", fail)
    with pytest.raises(ConfigError, match=r"No available video device.*--record"):
        Window(None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a display needs no variable")
def test_display_that_nothing_names_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pygame.display, "init", lambda: pytest.fail("asked"))
    with pytest.raises(ConfigError, match=r"no display.*WAYLAND_DISPLAY.*--record"):
        Window(None)


def test_keys_record_the_window_and_save_the_episode(loop: Loop, tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    kept = tmp_path / "kept"
    for command, name in ((Command.VIDEO, "video-001.mp4"), (Command.GIF, "video-001.gif")):
        press(loop, command)
        assert loop.session.message == f"Recording {kept / name}"
        send(loop, ticks=9)
        assert loop.recordings.recording == pytest.approx(10 / 50)  # every tick is a frame
        press(loop, command)
        assert loop.session.message == f"Finishing {kept / name} ..."
        loop.recordings.close()
        send(loop)
        assert loop.session.message == f"Saved {kept / name}"
    press(loop, Command.PLAYER)
    press(loop, Command.SAVE)
    assert "Too little to save yet" in loop.session.message


def test_late_ticks_are_made_up_for_unless_they_are_very_late(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 100.0, []

    class Time:
        perf_counter = staticmethod(lambda: now)
        sleep = staticmethod(slept.append)

    monkeypatch.setattr("dreamgym.play.loop.time", Time)
    loop._due = now
    for late in (0.0, 0.03, 0.0, 5.0, *6 * [0.0]):  # at 50 a second; it is the clock that the waiting moves on
        now += late
        count = len(slept)
        loop._wait()
        now += sum(slept[count:])
    # 0.03 late is 0.01 too late and made up for; of 5 seconds, a tenth is
    assert slept == pytest.approx([0.02, 0.01, 0.02], abs=1e-6)


def test_rate_is_of_steps_a_second(loop: Loop) -> None:
    assert loop._rate() is None
    loop._steps.extend([10.0, 10.02, 10.04])
    assert loop._rate() == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("screen", "size"),
    [((1280, 720), (1152, 648)), ((1920, 1080), (1600, 900)), ((3840, 1080), (1600, 900)), ((640, 2000), (576, 324))],
)
def test_window_fits_the_screen(
    screen: tuple[int, int], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pygame.display, "get_desktop_sizes", lambda: [screen])
    assert _fitting() == size
