"""The batched dream with compiled loops, against the default one."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from filelock import FileLock

from dreamgym.dream import compiled_step
from dreamgym.dream.core import DreamCore
from dreamgym.errors import ConfigError, DivergedError, InstallationError
from dreamgym.world_model import WorldModel
from tests.support.dream_cores import ROUNDING, SIZES, agreement, drive, same, started


@pytest.mark.parametrize("temperature", [1e-30, 1e-6, 0.7, 1.5, 1e6])
@pytest.mark.parametrize("sizes", [*SIZES, {"latent_size": 32, "hidden_size": 256, "mixtures": 5}])
def test_every_step_agrees_with_the_default_one(
    make_world_model: Callable[..., WorldModel], sizes: dict[str, int], temperature: float
) -> None:
    model = make_world_model(**sizes)
    default = started(model, 40, temperature=temperature)
    fast = started(model, 40, temperature=temperature, fast=True)
    undecided = 0
    for frame in range(60):
        actions = drive(default.seed, frame)
        noise = default.memory_step.noise(default._batch.keys[:40], default.elapsed)
        temperatures = default.temperature.clone()
        wanted, got = default.step(actions), fast.step(actions)
        for one, other in zip(fast.last_prediction, default.last_prediction, strict=True):
            torch.testing.assert_close(one, other, atol=ROUNDING, rtol=ROUNDING)
        assert torch.allclose(fast.h, default.h, atol=1e-5)
        assert torch.allclose(fast.c, default.c, atol=1e-5, rtol=1e-5)
        expected = agreement(default, noise, temperatures)
        assert ((fast.z - default.z).abs() <= expected.atol)[expected.components].all()
        rows = expected.outcomes
        assert torch.allclose(got.reward[rows], wanted.reward[rows], atol=2e-4)  # of a thousand points for a lap
        for name in ("terminated", "complete"):
            assert torch.equal(getattr(got, name)[rows], getattr(wanted, name)[rows])
        assert torch.allclose(fast.progress[rows], default.progress[rows], atol=1e-6)
        undecided += int((~expected.components).sum()) + int((~rows).sum())
        fast.set_state(default.get_state())
    assert undecided <= 1e-3 * 60 * default.z.numel()  # nearly everything was compared


def test_in_bfloat16_it_agrees_as_far_as_that_goes(full_size_world_model: WorldModel) -> None:
    default = started(full_size_world_model, 64, precision="bfloat16")
    fast = started(full_size_world_model, 64, precision="bfloat16", fast=True)
    apart = 0
    for frame in range(30):
        actions = drive(default.seed, frame)
        wanted, got = default.step(actions), fast.step(actions)
        assert torch.allclose(fast.h, default.h, atol=1e-5)
        assert torch.allclose(got.reward, wanted.reward, atol=0.05)
        apart += int((~torch.isclose(fast.z, default.z, atol=1e-4, rtol=1e-4)).sum())
        fast.set_state(default.get_state())
    assert apart <= 0.02 * 30 * default.z.numel()  # where h lay between two numbers of bfloat16


@pytest.mark.parametrize("filled", [-1000.0, -88.0, -60.0, -44.0, -20.0, 20.0, 44.0, 60.0, 88.0, 1000.0])
def test_a_cell_that_is_full_gives_what_its_gate_lets_out(
    make_world_model: Callable[..., WorldModel], filled: float
) -> None:
    model = make_world_model(hidden_size=24)
    default, fast = (started(model, 20, fast=fast) for fast in (False, True))
    for core in (default, fast):
        core.c.fill_(filled)
        core.step(drive(core.seed, 0))
    assert torch.allclose(fast.h, default.h, atol=1e-5)
    assert (default.h.abs() > 0.1).any()


def test_latents_are_clipped_and_counted_alike(make_world_model: Callable[..., WorldModel]) -> None:
    model = make_world_model()
    with torch.no_grad():
        model.memory.mixture_head.bias.view(3, model.memory.mixtures, -1)[1, :, 0] = 40.0
    cores = [started(model, 20, fast=fast) for fast in (False, True)]
    for core in cores:
        core.step(drive(core.seed, 0))
    assert cores[0].clamped == cores[1].clamped >= 20
    assert torch.equal(cores[1].z[:, 0], torch.full((20,), 10.0))


def test_rows_that_are_not_finite_are_named(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 6, fast=True)
    core.step(drive(core.seed, 0))
    before = core.get_state()
    core.c[4] = torch.nan
    with pytest.raises(DivergedError, match=r"\[4\]"):
        core.step(drive(core.seed, 1))
    assert core.diverged.tolist() == [False] * 4 + [True, False]
    core.set_state(before)
    core.step(drive(core.seed, 1))
    assert not core.diverged.any()


def test_copies_dream_on_alike(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 5, fast=True)
    core.step(drive(core.seed, 0))
    for other in (copy.deepcopy(core), pickle.loads(pickle.dumps(core))):
        mine = copy.deepcopy(core)
        for frame in range(5):
            mine.step(drive(mine.seed, frame))
            other.step(drive(other.seed, frame))
        assert same(mine.get_state(), other.get_state())


def test_the_vector_environment_has_it(toy_world_model: WorldModel) -> None:
    make = {"id": "dreamgym:DreamCarRacing-v0", "num_envs": 3, "world_model": toy_world_model}
    default, fast = gym.make_vec(**make), gym.make_vec(**make, fast=True)
    for envs in (default, fast):
        envs.reset(seed=3)
    actions = np.full((3, 3), 0.3, np.float32)
    wanted, got = default.step(actions), fast.step(actions)
    np.testing.assert_allclose(got[0], wanted[0], atol=1e-5)
    np.testing.assert_allclose(got[1], wanted[1], atol=1e-4)


def test_what_it_needs(toy_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match='device="cpu"'):
        DreamCore(toy_world_model, 1, fast=True, device="cuda")
    monkeypatch.setitem(sys.modules, "dreamgym.dream.compiled_step", None)
    with pytest.raises(InstallationError, match=r"dreamgym\[fast\]"):
        DreamCore(toy_world_model, 1, fast=True)


def test_compiled_loops_are_kept_apart_by_all_of_their_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> tuple[object, ...]:
        made: Any = compiled_step._loop(lambda: None)
        return tuple(made._cache._index_key((), SimpleNamespace(magic_tuple=tuple)))

    one = key()
    assert key()[-1] == one[-1]
    (tmp_path / "vector_math.py").write_text("changed", encoding="utf-8")
    monkeypatch.setattr(compiled_step, "_COMPILED_IN", (tmp_path / "vector_math.py", *compiled_step._COMPILED_IN[1:]))
    assert key()[-1] != one[-1]


def test_compiled_loops_are_kept_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    made: Any = compiled_step._loop(_twice)
    folder = Path(made._cache._cache_path)
    folder.mkdir(parents=True, exist_ok=True)
    compiling = threading.Thread(target=made, args=(2,))
    with FileLock(folder / ".dreamgym-loops.lock"):
        compiling.start()
        compiling.join(0.5)
        assert compiling.is_alive() and not list(folder.glob("*.nbi"))
    compiling.join(300)
    assert list(folder.glob("*.nbi")) and made(2) == 4


def _twice(value: int) -> int:
    return 2 * value
