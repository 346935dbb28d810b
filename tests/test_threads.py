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

name, place = sys.argv[1:]

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
envs = gym.make_vec(name, 2, "async", {"context": "fork"}, wrappers)
envs.reset(seed=1)
for _ in range(3):
    envs.step(envs.action_space.sample())
envs.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux starts processes by forking")
@pytest.mark.parametrize("place", ["parent", "child"])
@pytest.mark.parametrize("name", ["DreamCarRacing-v0", "LatentCarRacing-v0"])
def test_forked_environments_step(name: str, place: str) -> None:
    """With torch's pool used by the caller's own code in the parent or in the child; toy weights are too small."""
    command = [sys.executable, "-c", SCRIPT, f"dreamgym:{name}", place]
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
