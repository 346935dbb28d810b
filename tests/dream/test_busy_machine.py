"""A dream keeps its share of a machine whose processors others keep busy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, signal, subprocess, sys, time
import gymnasium as gym
import torch

torch.set_num_threads(2)
envs = gym.make_vec("dreamgym:DreamCarRacing-v0", num_envs=int(sys.argv[2]), world_model=sys.argv[1])
envs.reset(seed=1)
actions = envs.action_space.sample()

def rates(seconds):
    # a second, of the clock and of processors
    started, used, steps = time.monotonic(), time.process_time(), 0
    while time.monotonic() - started < seconds:
        envs.step(actions)
        steps += 1
    return steps / (time.monotonic() - started), steps / (time.process_time() - used)

rates(0.5)
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
try:
    found = {"quiet": [], "hogged": []}
    for _ in range(5):
        for name, number in (("quiet", signal.SIGSTOP), ("hogged", signal.SIGCONT)):
            for each in others:
                each.send_signal(number)
            found[name].append(rates(0.4))
finally:
    for each in others:
        each.kill()
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="stops and continues processes by signals")
@pytest.mark.parametrize("count", [1, 64])
def test_with_all_processors_hogged_a_quarter_of_the_quiet_rate_is_left(full_size_bundle: Path, count: int) -> None:
    """As a library that was told nothing: threads of torch that spin while they wait would leave a hundredth.

    Of the rate by the processors' time, which is the same whatever else the machine has to do; by the clock, other
    work may take a part of the hogged rate alone.
    """
    told = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in told}
    command = [sys.executable, "-c", SCRIPT, str(full_size_bundle), str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    found = json.loads(done.stdout.splitlines()[-1])
    (quiet, quiet_of_used), (hogged, hogged_of_used) = (
        (max(clock for clock, _ in found[name]), max(used for _, used in found[name])) for name in ("quiet", "hogged")
    )
    assert hogged_of_used >= 0.25 * quiet_of_used, found
    assert hogged >= 0.05 * quiet, found
