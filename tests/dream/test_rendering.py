"""Pictures of the dream, and the keys that drive it by hand."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.play import PlayableGame

from dreamgym.dream.rendering import decode_frames, render_size, resize
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find
from tests.support.toy_envs import DREAM, GAS, DreamFactory, unwrapped


def test_render_modes(make_dream: DreamFactory) -> None:
    env = make_dream(render_mode="rgb_array", obs_type="rgb")
    observation, _ = env.reset(seed=0)
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert (picture.shape, picture.dtype) == ((448, 640, 3), np.uint8)
    np.testing.assert_array_equal(picture, resize(observation[None], (448, 640))[0])
    listed = make_dream(render_mode="rgb_array_list")
    listed.reset(seed=0)
    listed.step(GAS)
    frames = listed.render()
    assert isinstance(frames, list)
    assert len(frames) == 2
    human = make_dream(render_mode="human")
    human.reset(seed=0)
    human.step(GAS)
    assert human.render() is None
    human.close()
    human.reset(seed=0)  # opens it again
    silent = make_dream()
    silent.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert silent.render() is None


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(find("car-racing").aspect, (448, 640)), (2.5, (256, 640)), (1.0, (640, 640)), (0.7501, (640, 480))],
)
def test_rendered_pictures_have_the_proportions_of_their_world(aspect: float, size: tuple[int, int]) -> None:
    assert render_size(aspect) == size


def test_a_wide_view_is_rendered_wide(toy_world_model: WorldModel) -> None:
    wide = dataclasses.replace(toy_world_model, card={**toy_world_model.card, "aspect": 2.5})
    env = gym.make(DREAM, world_model=wide, render_mode="rgb_array")
    envs = gym.make_vec(DREAM, num_envs=2, world_model=wide, render_mode="rgb_array")
    env.reset(seed=1)
    envs.reset(seed=0)
    single, batch = env.render(), envs.render()
    assert isinstance(single, np.ndarray) and batch is not None
    assert single.shape == (256, 640, 3)
    np.testing.assert_array_equal(single, batch[1])


def test_resizing_keeps_the_picture() -> None:
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    frame[:, :32, :, 0] = 200
    frame[:, :, 48:, 2] = 100
    large = resize(frame, (560, 640))[0]
    assert large.shape == (560, 640, 3)
    np.testing.assert_array_equal(large[35::70, 40::80], frame[0, 4::8, 4::8])
    small = resize(large[None], (32, 16))
    assert small.shape == (1, 32, 16, 3)
    np.testing.assert_allclose(small[0, 2::4, 1::4].astype(int), frame[0, 4::8, 4::16].astype(int), atol=30)


def test_decoded_frames_do_not_depend_on_their_neighbours(toy_world_model: WorldModel, threads: Any) -> None:
    torch.manual_seed(0)
    z = torch.randn(35, 8)
    threads(1)
    together = decode_frames(toy_world_model.vision, z)
    for count, used in ((1, 1), (2, 2), (9, 1), (17, 2), (35, 2)):
        threads(used)
        assert torch.equal(decode_frames(toy_world_model.vision, z[-count:]), together[-count:])
        assert torch.get_num_threads() == used


@pytest.mark.parametrize("continuous", [True, False])
def test_keys_drive(make_dream: DreamFactory, continuous: bool) -> None:
    env = make_dream(continuous=continuous, render_mode="rgb_array")
    env.reset(seed=0)
    keys = unwrapped(env).get_keys_to_action()
    assert all(env.action_space.contains(action) for action in keys.values())
    assert len(keys) == 18  # with gas and brake at once
    a, d, w, s = (ord(key) for key in "adws")
    combinations = [(a,), (d,), (w,), (s,), tuple(sorted((a, w))), tuple(sorted((d, s)))]
    if continuous:
        wanted = [[-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0.8], [-1, 1, 0], [1, 0, 0.8]]
        np.testing.assert_allclose([keys[combination] for combination in combinations], wanted)
    else:
        assert [keys[combination] for combination in combinations] == [2, 1, 3, 4, 2, 1]
    pygame = pytest.importorskip("pygame")
    arrows = (pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_DOWN)
    for letter, arrow in zip("adws", arrows, strict=True):
        np.testing.assert_array_equal(keys[(ord(letter),)], keys[(arrow,)])
    assert set(arrows) < set(PlayableGame(env).relevant_keys)
    pygame.quit()


def test_a_copy_of_an_environment_with_a_window_opens_its_own(
    toy_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gym.make(DREAM, world_model=toy_world_model, render_mode="human")
    env.reset(seed=1)
    twin = copy.deepcopy(env)
    np.testing.assert_array_equal(twin.step(GAS)[0], env.step(GAS)[0])
    for each in (twin, env):
        each.close()


# In a process of its own, since what fails here is a crash.
CLOSED_BY_OTHERS = """
import gymnasium as gym, numpy as np, pygame, sys

def shown():
    return pygame.surfarray.array3d(pygame.display.get_surface())

def step(env):
    env.step(np.zeros(3, np.float32))
    return shown()

def cart_pole(mode):
    env = gym.make("CartPole-v1", render_mode=mode)
    env.reset()
    env.render()
    return env

def close_other():
    cart_pole("rgb_array").close()

def leave_other_open():
    others.append(cart_pole("human"))

def open_anew():
    pygame.quit()
    leave_other_open()

def resize():
    pygame.display.set_mode((64, 40))

def restart():
    pygame.quit()
    pygame.init()

others = []
make = dict(id="dreamgym:DreamCarRacing-v0", world_model=sys.argv[1])
env, reference = gym.make(**make, render_mode="human"), gym.make(**make, render_mode="rgb_array")
for each in (env, reference):
    each.reset(seed=1)
for disturb in (close_other, leave_other_open, pygame.quit, pygame.display.quit, open_anew, resize, restart):
    disturb()
    picture = step(env)
    reference.step(np.zeros(3, np.float32))
    np.testing.assert_array_equal(picture, reference.render().swapaxes(0, 1))
pygame.quit()
env.close()
"""


def test_window_survives_what_others_do_to_pygame(toy_bundle: Path) -> None:
    command = [sys.executable, "-c", CLOSED_BY_OTHERS, str(toy_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


def test_closing_a_dream_leaves_a_window_opened_since(make_dream: DreamFactory) -> None:
    pygame = pytest.importorskip("pygame")
    env = make_dream(render_mode="human")
    env.reset(seed=0)
    pygame.quit()
    pygame.display.set_mode((64, 40))
    env.close()
    assert pygame.display.get_surface() is not None
    pygame.quit()
