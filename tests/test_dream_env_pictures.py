"""Pictures of the dream, and the keys that drive it by hand."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.play import PlayableGame
from toy_envs import DREAM, GAS, DreamFactory, unwrapped

from dreamgym.dream.rendering import decode_frames, enlarge
from dreamgym.world_model import WorldModel


def test_render_modes(make_dream: DreamFactory) -> None:
    env = make_dream(render_mode="rgb_array", obs_type="rgb")
    observation, _ = env.reset(seed=0)
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert (picture.shape, picture.dtype) == ((560, 640, 3), np.uint8)
    np.testing.assert_array_equal(picture, enlarge(observation[None])[0])
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


def test_enlarging_keeps_the_picture() -> None:
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    frame[:, :32, :, 0] = 200
    frame[:, :, 48:, 2] = 100
    large = enlarge(frame)[0]
    assert large.shape == (560, 640, 3)
    np.testing.assert_array_equal(large[35::70, 40::80], frame[0, 4::8, 4::8])


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
    assert len(keys) == 16
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
