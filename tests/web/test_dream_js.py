"""The page's engine, in a browser, dreams what DreamCore dreams."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.world_model import PACKAGED, WorldModel
from dreamgym.worlds import registry
from dreamgym.worlds.cards import to_card
from tests.conftest import ModelFactory
from tests.support.browser import run_script
from tests.support.page_dreams import (
    SOURCES,
    STEPS,
    Recording,
    dream_in_browser,
    largest_differences,
    page_site,
    page_starts,
    record,
)

ROUNDING = 1e-9
"""Of float64, as M amplifies it over 200 steps; a thousand times what was found."""
ENGINES = pytest.mark.parametrize("compiled", [True, False], ids=["wasm", "plain"])
SHIPPED = pytest.mark.parametrize("world", ["car_racing", "doom_take_cover"])


@functools.cache
def shipped_dreams(world: str, precision: str) -> list[Recording]:
    """Three seeds, temperatures and starts of a shipped bundle, the controller playing."""
    world_model = WorldModel.load(PACKAGED.parent / world)
    starts = page_starts(world_model)
    temperatures = (world_model.temperature, 0.3, 2.0)
    return [record(world_model, 7 + i, starts[12 * i], t, precision=precision) for i, t in enumerate(temperatures)]


@ENGINES
@SHIPPED
def test_shipped_dreams_are_pythons_in_float64(world: str, tmp_path: Path, compiled: bool) -> None:
    differences = largest_differences(shipped_dreams(world, "float64"), tmp_path, compiled)
    assert max(differences.values()) < ROUNDING


@ENGINES
@SHIPPED
def test_steps_of_shipped_dreams_are_pythons_in_float32(world: str, tmp_path: Path, compiled: bool) -> None:
    differences = largest_differences(shipped_dreams(world, "float32"), tmp_path, compiled, each_step=True)
    assert differences.pop("reward") < 1e-4  # a lap, a progress of 1 in float32, pays 1000
    assert differences.pop("c") < 1e-4  # reaches 149
    assert max(differences.values()) < 1e-5


@ENGINES
def test_same_dream_where_the_page_has_its_own_controller(
    full_size_world_model: WorldModel, tmp_path: Path, compiled: bool
) -> None:
    recording = record(full_size_world_model, 7, 0, 1.0)
    assert any(recording.steps["ended"])
    assert max(largest_differences([recording], tmp_path, compiled, own_controller=True).values()) < ROUNDING


# Rounding grows in a dream of Take Cover, and the last bit of a sum is the processor's own: this one ends before that.
@pytest.mark.parametrize(("world", "seed"), [("car_racing", 5), ("doom_take_cover", 33)])
def test_episode_of_the_shipped_controller_scores_as_in_python(world: str, seed: int, tmp_path: Path) -> None:
    world_model = WorldModel.load(PACKAGED.parent / world)
    core = DreamCore(world_model, 1, precision="float64")
    core.reset(seeds=torch.tensor([seed]), start=page_starts(world_model)[0])
    score, over = 0.0, False
    assert world_model.controller is not None
    while not over:
        step = core.step(torch.from_numpy(world_model.controller(core.features.numpy())))
        score, over = score + step.reward.item(), bool(step.terminated | step.truncated)
    script = f"""
    const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
    const {{ openDream }} = await import("./dream.js");
    const dream = await openDream(await bytes("dream.safetensors"), await bytes("kernel.wasm"));
    dream.reset({seed}, 0);
    while (!dream.over) dream.step(dream.executed(dream.act()), dream.manifest.temperature);
    return [dream.elapsed, dream.score];
    """
    elapsed, return_ = run_script(page_site(world_model, tmp_path), script, tmp_path / "profile")
    assert elapsed == int(core.elapsed) > STEPS
    assert return_ == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(("factors", "temperature"), [(0, 0.3), (4, 2.5), (1, 1.0)])
def test_same_dream_at_other_sizes_and_temperatures(
    make_world_model: ModelFactory, tmp_path: Path, factors: int, temperature: float
) -> None:
    world_model = make_world_model(latent_size=7, hidden_size=13, mixtures=1 + factors, factors=factors)
    actions = np.random.default_rng(0).uniform([-1, 0, 0], 1, (STEPS, 3)).astype(np.float32)
    start = int(torch.nonzero(world_model.starts.hard)[0])  # h and c are not zero
    recording = record(world_model, 7, start, temperature, actions)
    assert max(largest_differences([recording], tmp_path, compiled=True).values()) < ROUNDING


def doom_like(make_world_model: ModelFactory) -> WorldModel:
    """A toy with Take Cover's actions, rewards and time, and without a controller."""
    world_model = make_world_model(latent_size=9, hidden_size=16)
    world = registry.find("DoomTakeCover")
    world_model.memory = (
        MDNRNN(9, world.actions.size, 16, 3, 2, reward="none", event=False).eval().requires_grad_(False)
    )
    with torch.no_grad():
        world_model.memory.termination_head.bias.fill_(-3.0)
    world_model.controller = None
    card = {"world": world.name, "fps": world.fps, "max_episode_steps": STEPS}
    world_model.card |= {**card, "actions": to_card(world.actions), "rewards": to_card(world.rewards)}
    return world_model


def test_other_rewards_and_ends(make_world_model: ModelFactory, tmp_path: Path) -> None:
    vectors = np.linspace(-1, 1, STEPS, dtype=np.float32)[:, None]
    recording = record(doom_like(make_world_model), 7, 0, 1.0, vectors)
    (steps,) = dream_in_browser([recording], tmp_path, compiled=True)
    assert {step["reward"] for step in steps} == {1.0}
    assert "ended" in [step["over"] for step in steps]
    assert steps[-1]["over"] == "time"
    assert max(largest_differences([recording], tmp_path, compiled=True).values()) < ROUNDING


DISCRETE = ((0.0, 0.0, 0.1), (1.0, 0.0, 0.0), (-0.7, 0.3, 0.0), (0.0, 1.0, 1.0))


def test_executed_actions_are_pythons(toy_world_model: WorldModel, tmp_path: Path) -> None:
    own = toy_world_model.actions
    sets = [
        own,
        dataclasses.replace(own, rule="thresholds", threshold=0.3),
        dataclasses.replace(own, rule="argmax"),
        dataclasses.replace(own, discrete=DISCRETE, box=False),
        dataclasses.replace(own, discrete=DISCRETE, box=False, rule="argmax"),
    ]
    vectors = np.random.default_rng(0).uniform(own.low, own.high, (STEPS, 3)).astype(np.float32)
    told = {"sets": [to_card(actions) for actions in sets], "vectors": vectors.tolist()}
    script = f"""
    const {{ Dream }} = await import("./dream.js");
    const {{ sets, vectors }} = {json.dumps(told)};
    return sets.map((actions) => {{
      const dream = Object.assign(Object.create(Dream.prototype), {{ manifest: {{ actions }} }});
      return vectors.map((vector) => dream.executed(vector));
    }});
    """
    site = shutil.copytree(SOURCES, tmp_path / "site")
    for actions, got in zip(sets, run_script(site, script, tmp_path / "profile"), strict=True):
        wanted = actions.executed(vectors)
        np.testing.assert_array_equal(got, wanted)
        assert len(np.unique(wanted, axis=0)) > 2


_SESSION = """
    const { Session } = await import("./session.js");
    const actions = { keys: [{ number: 1, value: 1 }], low: [-1, -1, -1], high: [1, 1, 1] };
    const dream = { manifest: { actions, fps: 10, temperature: 1, starts: { beginning: [0] } }, controller: CONTROLLER,
      elapsed: 0, z: [], reset() {}, step() { this.elapsed++; }, executed: Array.from, act: () => [0.5, -0.5, 0.7] };
    const session = new Session(dream);
    session.inputs.agent = 1;
    const played = () => (session.tick(), session.action);
"""


def test_numbers_without_a_key_rest_when_the_agent_has_stopped(tmp_path: Path) -> None:
    script = "const before = played(); session.setAgent(false); session.controls.press(0); return [before, played()];"
    site = shutil.copytree(SOURCES, tmp_path / "site")
    found = run_script(site, _SESSION.replace("CONTROLLER", "{}") + script, tmp_path / "profile")
    assert found == [[0.5, -0.5, 0.7], [0, 1, 0]]


def test_a_link_asks_in_vain_for_an_agent_that_there_is_not(tmp_path: Path) -> None:
    script = _SESSION.replace("CONTROLLER", "null") + "return [session.agentPlays, played()];"
    site = shutil.copytree(SOURCES, tmp_path / "site")
    assert run_script(site, script, tmp_path / "profile") == [False, [0, 0, 0]]


def test_keys_have_the_names_that_browsers_give_them(tmp_path: Path) -> None:
    names = {"left": "left", "W": "w", "return": "enter", "lshift": "shift", "right shift": "shift", "f1": "f1",
             "page up": "pageup", "period": ".", "kp_plus": "+", "[4]": "4", "[+]": "+", "kp7": "7"}  # fmt: skip
    script = f"""
    const {{ browserKey }} = await import("./controls.js");
    return {json.dumps(list(names))}.map(browserKey);
    """
    site = shutil.copytree(SOURCES, tmp_path / "site")
    assert run_script(site, script, tmp_path / "profile") == list(names.values())


def test_both_engines_give_the_same_bits(toy_world_model: WorldModel, tmp_path: Path) -> None:
    recording = record(toy_world_model, 7, 0, 1.0)
    compiled, plain = (dream_in_browser([recording], tmp_path, kind, own_controller=True) for kind in (True, False))
    assert compiled == plain
