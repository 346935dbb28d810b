"""The page's engine, in a browser, dreams what DreamCore dreams."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any

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


def run_in_site(tmp_path: Path, script: str) -> Any:
    """What a script gives that runs beside the page's own."""
    return run_script(shutil.copytree(SOURCES, tmp_path / "site"), script, tmp_path / "profile")


def test_a_link_is_read_again_and_no_cut_one_is(tmp_path: Path) -> None:
    script = """
    const { Log, makeLink, readLink } = await import("./replay.js");
    const log = new Log();
    for (const [step, held, temperature] of [[0, 0, 100], [70, 3, 100], [140, 3, 250]])
      log.note(step, { agent: 1, held, tilt: -64, temperature });
    const link = makeLink({ seed: 5, start: 2, steps: 150, of: "0123456789ab", log });
    const cut = Array.from({ length: link.length - link.indexOf("&do=") - 4 }, (_, i) => link.slice(0, -1 - i));
    const whole = readLink(link, [5, 250]);
    return [whole, log.changes, cut.map((part) => readLink(part, [5, 250]).log), readLink(link, [5, 249]).log];
    """
    whole, changes, cut, too_hot = run_in_site(tmp_path, script)
    assert {name: whole[name] for name in ("seed", "start", "steps", "of")} == {
        "seed": 5, "start": 2, "steps": 150, "of": "0123456789ab"}  # fmt: skip
    assert whole["log"]["changes"] == changes != []
    assert len(cut) > 20
    assert set(cut) == {None}
    assert too_hot is None


def test_a_log_that_ends_within_a_number_is_none(tmp_path: Path) -> None:
    script = """
    const { Log } = await import("./replay.js");
    return ["AMgB", "AMg", "AA"].map((text) => Log.fromText(text)?.changes ?? null);
    """
    whole, *cut = run_in_site(tmp_path, script)
    assert whole == [[0, 0, 100]]
    assert cut == [None, None]


def test_a_bundle_of_an_unusual_temperature_is_dreamt_at_it(tmp_path: Path) -> None:
    script = _SESSION.replace("CONTROLLER", "null").replace("temperature: 1,", "temperature: 3,")
    script += "const own = session.temperature; session.setTemperature(9); return [own, session.temperature];"
    assert run_in_site(tmp_path, script) == [3, 3]


def test_a_start_of_a_link_is_of_its_kind(tmp_path: Path) -> None:
    script = _SESSION.replace("CONTROLLER", "null").replace("{ beginning: [0] }", "{ beginning: [0], hard: [0, 0] }")
    script += "session.begin(5, 2); const linked = session.kind; session.begin(5, 0); return [linked, session.kind];"
    assert run_in_site(tmp_path, script) == ["hard", "beginning"]


def test_tilt_reaches_as_far_as_the_keys(tmp_path: Path) -> None:
    script = """
    const { Controls } = await import("./controls.js");
    const keys = [{ number: 0, value: -2 }, { number: 0, value: 3 }];
    const controls = new Controls({ keys, low: [-2, -1], high: [3, 1] });
    return [1, 0.5, 0, -1].map((tilt) => controls.advance(0, tilt, 0.1)[0]);
    """
    assert run_in_site(tmp_path, script) == [3, 1.5, 0, -2]
