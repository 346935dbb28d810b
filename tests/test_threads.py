"""Environments in forked processes, where torch's pool of threads is no longer there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import gymnasium as gym
import torch

name, place, fast = sys.argv[1:]

def use_pool():
    torch.ones(1 << 20).exp()

class UsesPool(gym.Wrapper):
    def reset(self, **options):
        use_pool()
        return super().reset(**options)

torch.set_num_threads(2)
if place == "parent":
    use_pool()
wrappers = [UsesPool] if place == "child" else None
options = {"fast": True} if fast else {}
envs = gym.make_vec(name, 2, "async", {"context": "fork"}, wrappers, **options)
envs.reset(seed=1)
for _ in range(3):
    envs.step(envs.action_space.sample())
envs.close()
"""


FORKED = """
import copy
import multiprocessing
import gymnasium as gym
import torch
from dreamgym.world_model import WorldModel

name = "dreamgym:DreamCarRacing-v0"

def child():
    envs = gym.make_vec(name, num_envs=512)
    envs.reset(seed=1)
    envs.step(envs.action_space.sample())
    envs.set_state(envs.get_state())
    core = envs.unwrapped.core
    assert len(core.event()) == len(core.last_prediction.reward) == 512
    env = gym.make(name, world_model=WorldModel.load())
    env.reset(seed=1)
    assert env.spec.kwargs["world_model"].card
    copy.deepcopy(env.unwrapped).step(env.action_space.sample())

torch.set_num_threads(2)
torch.ones(1 << 20).exp()
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
assert process.exitcode == 0
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux starts processes by forking")


@on_linux
@pytest.mark.parametrize("place", ["parent", "child"])
@pytest.mark.parametrize("name", ["DreamCarRacing-v0", "LatentCarRacing-v0"])
def test_forked_environments_step(name: str, place: str) -> None:
    """With torch's pool used by the caller's own code in the parent or in the child; toy weights are too small."""
    run(SCRIPT, f"dreamgym:{name}", place, "")


@on_linux
def test_forked_compiled_environments_step() -> None:
    pytest.importorskip("numba")
    run(SCRIPT, "dreamgym:DreamCarRacing-v0", "parent", "fast")


@on_linux
def test_forked_batches_and_copies_step() -> None:
    run(FORKED)


def run(script: str, *arguments: str) -> None:
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, problem = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        pytest.fail("the environments did not answer in ten minutes")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, problem


HELD = """
import multiprocessing
import threading
from dreamgym.threads import single_thread

inside, over = threading.Event(), threading.Event()

def hold():
    with single_thread():
        inside.set()
        over.wait()

def child():
    with single_thread():
        pass

holder = threading.Thread(target=hold)
holder.start()
inside.wait()
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join(60)
came_through = process.exitcode == 0
process.kill()
over.set()
assert came_through
"""


@on_linux
def test_a_child_is_let_in_though_a_thread_of_its_parent_was_inside() -> None:
    run(HELD)
